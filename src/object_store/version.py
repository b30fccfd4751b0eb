"""The version of both wheels, `aowhisk` and `aowhisk-object-store`; they only go together."""

from __future__ import annotations

import os

__all__ = ["__version__", "check_same_version"]

__version__ = "0.1.0"

_WHEELS = {"aowhisk": "aowhisk", "aowhisk_object_store": "aowhisk-object-store"}


def check_same_version() -> None:
    """Raise ImportError if the two wheels are installed side by side in different versions.

    Both carry the package `object_store`, so one of them has overwritten the other's files. Looks
    at the names beside this package only: one directory listing, nothing is parsed or imported.
    """
    site = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    found = _installed(site)
    if not found or set(found.values()) == {__version__}:
        return
    listed = " and ".join(f"{name} {version}" for name, version in sorted(found.items()))
    wanted = found.get("aowhisk", __version__)
    raise ImportError(
        f"{listed} in {site} do not go together (object_store is {__version__} there): "
        "both carry the package object_store and must be of one version; install one again with "
        f"pip install --force-reinstall --no-deps aowhisk=={wanted}, "
        "after pip uninstall aowhisk-object-store"
    )


def _installed(site: str) -> dict[str, str]:
    try:
        names = os.listdir(site)
    except OSError:  # imported from a zip file
        return {}
    found = {}
    for name in names:
        stem, dot, _ = name.rpartition(".dist-info")
        project, dash, version = stem.partition("-")
        if dot and dash and project in _WHEELS:
            found[_WHEELS[project]] = version
    return found
