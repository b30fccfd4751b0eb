"""Files that say where a local OpenWhisk is."""

import json
import os
from pathlib import Path

import pytest

from aowhisk.errors import ConfigError
from aowhisk.local.notice import Notice

NOTICE = Notice("http://127.0.0.1:3233", "guest", "user:secret")


def test_wskprops_are_for_the_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / ".wskprops"

    NOTICE.write_wskprops(file)

    assert file.read_text() == "APIHOST=http://127.0.0.1:3233\nAUTH=user:secret\n"
    assert file.stat().st_mode & 0o777 == 0o600


def test_other_lines_of_wskprops_stay_and_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("# mine\nAPIHOST=https://old\nAPIVERSION=v1\nAUTH = old\n")
    (tmp_path / "link").symlink_to("real")

    NOTICE.write_wskprops(tmp_path / "link")

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text().split("\n") == [
        "# mine",
        "APIVERSION=v1",
        "APIHOST=http://127.0.0.1:3233",
        "AUTH=user:secret",
        "",
    ]


def test_the_ready_file_is_there_only_while_it_answers(tmp_path: Path) -> None:
    file = tmp_path / "ready.json"
    file.write_text("of one that was killed")

    with NOTICE.remove_after(file):
        assert not file.exists()
        NOTICE.write_ready(file)
        told = json.loads(file.read_text())

    assert told == {
        "url": "http://127.0.0.1:3233",
        "auth": "user:secret",
        "namespace": "guest",
        "pid": os.getpid(),
    }
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match="cannot write"):
        NOTICE.write_ready(tmp_path / "file" / "ready")
    with pytest.raises(ConfigError, match="cannot read"):
        NOTICE.write_wskprops(tmp_path)
