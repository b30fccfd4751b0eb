"""README's own pipeline, as printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def test_the_pipeline_in_the_readme_runs_as_printed(tmp_path: Path) -> None:
    blocks = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", README.read_text(), re.DOTALL)
    files = dict(blocks)
    assert set(files) == {"actions.py", "manifest.yaml", "flow.py"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "flow.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("{'words': 7} [2, 5] ")


def test_the_dag_on_its_first_screen_is_that_of_the_demo() -> None:
    (shown,) = re.findall(r"```python\n(dag = .*?)\n\nasync with", README.read_text(), re.DOTALL)
    code = shown + "\nprint(json.dumps(dag.to_json()))"
    demo = "from flow import transcoding; print(json.dumps(transcoding('film.mp4').to_json()))"
    told = [
        subprocess.run(
            [sys.executable, "-c", f"import json\nfrom aowhisk import *\n{each}"],
            cwd=README.parent / "examples" / "transcoder",
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for each in (code, demo)
    ]
    assert told[0] == told[1] != ""


def test_the_commands_in_the_readme_are_there() -> None:
    text, root = README.read_text(), README.parent
    known = subprocess.run(
        [sys.executable, "dev.py", "--help"], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    for command in re.findall(r"python3 dev\.py (\w+)", text):
        assert re.search(rf"^  {command}\b", known, re.M), command
    targets = re.findall(r"^([\w-]+):", (root / "Makefile").read_text(), re.M)
    assert set(re.findall(r"\bmake ([\w-]+)", text)) <= set(targets)


def test_the_links_in_the_readme_and_the_docs_lead_somewhere() -> None:
    pages = [README, README.with_name("CONTRIBUTING.md"), *README.parent.glob("docs/*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if not target.startswith(("http:", "https:")):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
