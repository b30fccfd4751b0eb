"""Where settings come from, and what is said where they are missing or wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aowhisk.config import Settings, survey
from aowhisk.errors import ConfigError

GOOD = {"AOWHISK_APIHOST": "host", "AOWHISK_AUTH": "user:secret"}


def read(environ: dict[str, str] | None = None, **overrides: object) -> Settings:
    return Settings.load({"WSK_CONFIG_FILE": "", **(environ or {})}, **overrides)


def test_an_argument_wins_over_the_environment() -> None:
    settings = read(GOOD, apihost="other", namespace=None)
    assert (settings.apihost, settings.auth, settings.namespace) == ("other", "user:secret", "_")


def test_our_own_variables_win_over_those_inside_an_action() -> None:
    inside = {"__OW_API_HOST": "inner", "__OW_API_KEY": "a:b"}
    assert read(inside).apihost == "inner"
    assert read({**inside, **GOOD}).apihost == "host"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / ".wskprops").write_text("APIHOST=filehost\nAUTH=file:key\n")
    settings = Settings.load({"HOME": str(tmp_path), "AOWHISK_APIHOST": "host"})
    assert (settings.apihost, settings.auth) == ("host", "file:key")


def test_fact_12_a_wskprops_value_may_hold_an_equals_sign(tmp_path: Path) -> None:
    path = tmp_path / "props"
    path.write_text(
        "# made by hand\n\n APIHOST = http://x?a=b # here\nAUTH=u:k=\nnonsense\nAPIVERSION=v1\n"
    )
    settings = Settings.load({"WSK_CONFIG_FILE": str(path)})
    assert (settings.apihost, settings.auth) == ("http://x?a=b", "u:k=")


def test_a_file_may_hold_every_setting(tmp_path: Path) -> None:
    path = tmp_path / "profile"
    path.write_text(
        "APIHOST=theirs\nAOWHISK_APIHOST=ours\nAUTH=u:k\nAOWHISK_INSECURE=1\n"
        "AOWHISK_STORE=s3://host?region=eu\n__OW_API_KEY=no:setting\n"
    )
    settings = Settings.load({"WSK_CONFIG_FILE": str(path), "AOWHISK_INSECURE": "0"})
    assert settings == Settings("ours", "u:k", store="s3://host?region=eu", insecure=False)


def test_a_survey_has_what_is_right_beside_what_is_wrong() -> None:
    environ = {"WSK_CONFIG_FILE": "", "AOWHISK_APIHOST": "host", "AOWHISK_CONCURRENCY": "many"}
    found = survey(environ, store="s3://x")
    assert found.values == {"apihost": "host", "store": "s3://x"}
    assert list(found.problems) == ["auth", "concurrency"]
    assert found.sources["apihost"] == "environment variable AOWHISK_APIHOST"
    assert "s3" not in repr(found)


def test_an_empty_wsk_config_file_means_no_file(tmp_path: Path) -> None:
    (tmp_path / ".wskprops").write_text("APIHOST=filehost\nAUTH=file:key\n")
    with pytest.raises(ConfigError, match="WSK_CONFIG_FILE is empty"):
        Settings.load({"HOME": str(tmp_path), "WSK_CONFIG_FILE": ""})


def test_an_empty_variable_is_unset() -> None:
    inside = {"__OW_API_HOST": "inner", "__OW_API_KEY": "a:b"}
    assert read({**inside, "AOWHISK_APIHOST": "", "AOWHISK_NAMESPACE": ""}).apihost == "inner"


@pytest.mark.parametrize(
    ("left", "names"),
    [
        ("AOWHISK_AUTH", ["apihost=", "AOWHISK_APIHOST", "__OW_API_HOST", "APIHOST in"]),
        ("AOWHISK_APIHOST", ["auth=", "AOWHISK_AUTH", "__OW_API_KEY", "AUTH in"]),
    ],
)
def test_what_is_missing_names_every_place_looked_at(
    left: str, names: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.load({"HOME": str(tmp_path), left: GOOD[left]})
    for name in [*names, str(tmp_path / ".wskprops")]:
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("AOWHISK_CONCURRENCY", "abc", "concurrency"),
        ("AOWHISK_CONCURRENCY", "0", "concurrency"),
        ("AOWHISK_CONCURRENCY", "-1", "concurrency"),
        ("AOWHISK_INSECURE", "perhaps", "insecure"),
    ],
)
def test_a_bad_value_names_the_setting_and_its_source(variable: str, value: str, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name} must .*{value}.*variable {variable}"):
        read({**GOOD, variable: value})


@pytest.mark.parametrize("value", ["hush", ":hush", "hush:", "hu sh:hush", "hush:hüsh"])
def test_a_bad_key_names_its_source_and_is_not_shown(value: str) -> None:
    with pytest.raises(ConfigError, match="environment variable AOWHISK_AUTH") as caught:
        read({**GOOD, "AOWHISK_AUTH": value})
    assert value not in str(caught.value)


def test_a_bad_argument_names_itself() -> None:
    with pytest.raises(ConfigError, match="argument concurrency="):
        read(GOOD, concurrency=True)
    with pytest.raises(ConfigError, match="no setting 'api_host'; there are action_store, apihost"):
        read(GOOD, api_host="x")


def test_every_setting_has_its_variable() -> None:
    settings = read(
        {
            **GOOD,
            "AOWHISK_NAMESPACE": "ns",
            "AOWHISK_CA_BUNDLE": "/ca.pem",
            "AOWHISK_INSECURE": "1",
            "AOWHISK_STORE": "s3://x",
            "AOWHISK_ACTION_STORE": "s3://inside",
            "AOWHISK_JOURNAL": "memory:",
            "AOWHISK_CONCURRENCY": "16",
            "AOWHISK_LOG_FILE": "/log",
        }
    )
    assert settings == Settings(
        "host",
        "user:secret",
        namespace="ns",
        ca_bundle="/ca.pem",
        insecure=True,
        store="s3://x",
        action_store="s3://inside",
        journal="memory:",
        concurrency=16,
        log_file="/log",
    )


def test_a_path_is_taken_as_text(tmp_path: Path) -> None:
    assert read(GOOD, log_file=tmp_path).log_file == os.fspath(tmp_path)


def test_the_secrets_are_not_in_the_repr() -> None:
    shown = repr(read(GOOD, store="s3://user:pass@host", journal="mongodb://a:pass@b"))
    assert "secret" not in shown
    assert "pass" not in shown


def test_a_file_that_cannot_be_read_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Settings.load({"WSK_CONFIG_FILE": str(tmp_path)})
