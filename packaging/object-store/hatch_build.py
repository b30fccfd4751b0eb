"""Where the package is: beside this file in an sdist, in src/ of the repository in a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Hook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the package into the wheel and into the sdist, as `object_store`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds."""
        here = Path(self.root)
        places = (here / "object_store", here.parents[1] / "src/object_store")
        found = next(place for place in places if (place / "version.py").is_file())
        build_data["force_include"][str(found)] = "object_store"
