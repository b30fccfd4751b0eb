"""What `make docs` adds to MkDocs: pages that lie outside docs/, and one about the command line.

A page is written for whoever reads it where it lies; its links are turned for the site here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = {
    "bench/README.md": "bench.md",
    "examples/sample/README.md": "examples/sample.md",
    "examples/transcoder/README.md": "examples/transcoder.md",
    "examples/chatbot/README.md": "examples/chatbot.md",
    "kind/README.md": "kind.md",
    "packaging/images/README.md": "images.md",
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Files of the repository that are pages of the site, too."""
_NOTED_FENCE = re.compile(r"^```(\w+) [^\n]*$", re.M)
"""A fence with a note for the tests behind its language."""
_REMOTE = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\ssrc=\"?(?:https?:)?//[^>]*"
    r"|<link\b[^>]*rel=\"?(?:stylesheet|preconnect|preload|icon)[^>]*href=\"?(?:https?:)?//[^>]*"
)
_TEST = re.compile(r"<code>test_\w+</code>")
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages."""
    for source, page in ELSEWHERE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    files.append(File.generated(config, "reference/cli.md", content=_command_line()))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Turn the links of a page, which lead to files of the repository."""
    source = {page_: source for source, page_ in ELSEWHERE.items()}.get(page.file.src_uri)
    here = source or f"docs/{page.file.src_uri}"

    def turned(found: re.Match[str]) -> str:
        text, target = found.groups()
        path, hash_, anchor = target.partition("#")
        if not path or re.match(r"\w+:", target):
            return found[0]
        wanted = os.path.normpath(os.path.join(os.path.dirname(here), path))
        if (ROOT / wanted).is_dir() and f"{wanted}/README.md" in ELSEWHERE:
            wanted = f"{wanted}/README.md"
        on_site = ELSEWHERE.get(wanted, wanted.removeprefix("docs/"))
        if files.get_file_from_path(on_site) is None:
            # in the repository alone; what is not even there stays, and MkDocs complains
            return text if (ROOT / wanted).exists() else found[0]
        start = os.path.dirname(page.file.src_uri) or "."
        return f"[{text}]({os.path.relpath(on_site, start)}{hash_}{anchor})"

    return _NOTED_FENCE.sub(r"```\1", _LINK.sub(turned, markdown))


def on_page_content(html: str, **_: Any) -> str:
    """Let the names of tests break at their underscores, in narrow columns."""
    return _TEST.sub(lambda found: found[0].replace("_", "_<wbr>"), html)


def on_post_build(*, config: Any) -> None:
    """No page may load anything from another place."""
    for page in Path(config.site_dir).rglob("*.html"):
        if found := _REMOTE.search(page.read_text(encoding="utf-8")):
            raise PluginError(f"{page.name} loads from elsewhere: {found[0]}")


def _command_line() -> str:
    """What --help says of every command, as a page."""
    from typer.cli import get_docs_for_click

    from aowhisk.cli import app_of

    group = typer.main.get_command(app_of())
    context = typer.Context(group, info_name="aowhisk")
    text = get_docs_for_click(obj=group, ctx=context, name="aowhisk", title="The command line")
    for name, command in _commands(group):  # in lists their first sentences are cut short
        line = f"* `{name}`: {command.get_short_help_str(limit=200)}"
        text = re.sub(rf"^\* `{name}`:.*$", lambda _, line=line: line, text, flags=re.M)
    return text


def _commands(group: Any) -> Iterator[tuple[str, Any]]:
    for name, command in getattr(group, "commands", {}).items():
        yield name, command
        yield from _commands(command)
