"""The transcoder as a person starts it: a process of its own on the OpenWhisk inside aowhisk."""

from __future__ import annotations

from pathlib import Path

import pytest
from loading import EXAMPLES, load, start

pytest.importorskip("aowhisk", reason="aowhisk needs Python 3.11", exc_type=ImportError)
pytest.importorskip("av", reason="PyAV is not installed")

import films
from films import Film

from aowhisk.manifest import Manifest

FLOW = "transcoder/flow.py"


def test_the_clip_is_transcoded_and_a_lost_piece_recovered(tmp_path: Path) -> None:
    clip = load("transcoder/clip.py")
    try:
        source = clip.find_clip()
    except FileNotFoundError as problem:
        pytest.skip(str(problem))
    code, out, err = start(FLOW, tmp_path)
    assert code == 0, out + err
    film = tmp_path / "bigbuckbunny-360p.mp4"
    assert out.splitlines()[-1] == f"the film: {film}"
    assert films.frame_times(film) == films.frame_times(source)
    assert "recovered for combiner" in out
    assert "transcoder.1 ran again and wrote output-chunks/" in out
    again = [line.split()[0] for line in out.splitlines() if "recovery" in line]
    assert again == ["transcoder.1"]
    assert "combiner: missing output-chunks/" in err


def test_a_film_of_ones_own_goes_where_one_wants_it(tmp_path: Path) -> None:
    Film(frames=30).write(tmp_path / "my film.mp4")
    code, out, err = start(
        FLOW,
        tmp_path,
        *("my film.mp4", "--no-lose", "--chunks", "2", "--resolution", "144p"),
        *("--concurrency", "1", "--root", "objects", "--output", "small.mp4"),
    )
    assert code == 0, out + err
    assert len(films.frame_times(tmp_path / "small.mp4")) == 30
    assert "recovered" not in out
    assert [path.name for path in (tmp_path / "objects/store/output-video").glob("*/*")] == [
        "my film-144p.mp4"
    ]


def test_a_piece_that_does_not_exist_cannot_be_lost_and_it_says_so(tmp_path: Path) -> None:
    Film(frames=10, sound=None).write(tmp_path / "film.mp4")
    code, out, err = start(FLOW, tmp_path, "film.mp4", "--chunks", "1", "--lose", "7")
    assert code == 0, out + err
    assert "nothing was lost: there is no piece 7" in out


def test_what_is_not_a_film_fails_at_once_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_text("once upon a time")
    code, out, err = start(FLOW, tmp_path, "film.mp4")
    assert code == 1
    assert "input-video/film.mp4 cannot be read as a film" in err
    assert "Traceback" not in err
    row = next(line for line in out.splitlines() if line.split()[:1] == ["splitter"])
    assert row.split()[1] == "1"  # one attempt: another would end the same way


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.mp4"], "there is no film gone.mp4"),
        (["."], "there is no film ."),
        (["film.mp4", "--concurrency", "0"], "--concurrency is 0"),
        (["film.mp4", "--output", "film.mp4"], "--output is the film itself"),
        (["--lose", "2", "--no-lose"], "not allowed with"),
        (["--chunks", "many"], "invalid int value"),
        (["film.mp4", "--chunks", "0"], "--chunks is 0"),
        (["film.mp4", "--resolution", "361p"], "choose from"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_says_what_is_wrong(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "film.mp4").touch()
    code, _, err = start(FLOW, tmp_path, *arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_help_needs_no_video_library(tmp_path: Path) -> None:
    code, out, err = start(FLOW, tmp_path, "--help")
    assert code == 0
    assert "--chunks" in out
    imported = {line.rpartition("|")[2].strip() for line in err.splitlines()}
    assert "argparse" in imported
    assert not {name for name in imported if name.partition(".")[0] in ("av", "numpy", "skvideo")}


def test_the_manifest_declares_the_three_actions() -> None:
    actions = Manifest.load(EXAMPLES / "transcoder/manifest.yaml").actions
    assert {name: spec.main for name, spec in actions.items()} == {
        "splitter": "splitter",
        "transcoder": "transcoder",
        "combiner": "combiner",
    }
