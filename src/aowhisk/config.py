"""Settings: an argument wins over the environment, the environment over `~/.wskprops`.

That file, or the one that WSK_CONFIG_FILE names, is wsk's; a line `AOWHISK_STORE=...` in it, or any
other of our variables, is read, too, and wsk skips it: one file is the whole profile of a place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from aowhisk.errors import ConfigError

__all__ = ["Settings", "Survey", "state_folder", "survey"]

_VARIABLES: dict[str, tuple[str, ...]] = {
    "apihost": ("AOWHISK_APIHOST", "__OW_API_HOST"),
    "auth": ("AOWHISK_AUTH", "__OW_API_KEY"),
    "namespace": ("AOWHISK_NAMESPACE",),
    "ca_bundle": ("AOWHISK_CA_BUNDLE",),
    "insecure": ("AOWHISK_INSECURE",),
    "store": ("AOWHISK_STORE",),
    "action_store": ("AOWHISK_ACTION_STORE",),
    "journal": ("AOWHISK_JOURNAL",),
    "concurrency": ("AOWHISK_CONCURRENCY",),
    "log_file": ("AOWHISK_LOG_FILE",),
}
_PROPERTIES = {"apihost": "APIHOST", "auth": "AUTH"}
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class Settings:
    """Where OpenWhisk, the store and the journal are, and how much to do at once.

    `store` and `journal` are URLs, None where not given; `action_store` is the store's URL as
    actions reach it, None for the same. `concurrency` is calls at once in a run, None for the
    namespace's limit. Neither the key nor URLs, which may hold credentials, are in
    the repr.
    """

    apihost: str
    auth: str = field(repr=False)
    namespace: str = "_"
    ca_bundle: str | None = None
    insecure: bool = False
    store: str | None = field(default=None, repr=False)
    action_store: str | None = field(default=None, repr=False, kw_only=True)
    journal: str | None = field(default=None, repr=False)
    concurrency: int | None = None
    log_file: str | None = None

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **overrides: object) -> Self:
        """Read the settings; an override of None is not given.

        `environ` is the process's environment where None. An empty variable counts as unset, but
        an empty WSK_CONFIG_FILE means: read no file. Raises ConfigError, which names the setting
        and every place looked at.
        """
        found = survey(environ, **overrides)
        for problem in found.problems.values():
            raise problem
        return cls(**found.values)


@dataclass(frozen=True, slots=True)
class Survey:
    """What is set, and what is wrong with it.

    `values` has the settings that are given and right, `sources` says in words where each of those
    given was found, and `problems` why one is missing or wrong.
    """

    values: Mapping[str, Any] = field(repr=False)
    sources: Mapping[str, str]
    problems: Mapping[str, ConfigError]


def survey(environ: Mapping[str, str] | None = None, **overrides: object) -> Survey:
    """Look at every setting, whether or not others are wrong; arguments as of `Settings.load`.

    Raises ConfigError only for a file that cannot be read, and a setting that there is not.
    """
    found, place = _collect(os.environ if environ is None else environ, overrides)
    values: dict[str, Any] = {}
    problems = {name: _missing(name, place) for name in _PROPERTIES if name not in found}
    for name, (value, source) in found.items():
        try:
            values[name] = _CHECKS.get(name, _text)(name, value, source)
        except ConfigError as error:
            problems[name] = error
    return Survey(values, {name: source for name, (_, source) in found.items()}, problems)


def state_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where the user's own journal lies, and what else has to survive a process: `aowhisk` in the
    folder for state (XDG Base Directory)."""
    environ = os.environ if environ is None else environ
    state = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "aowhisk"


def _collect(
    environ: Mapping[str, str], overrides: Mapping[str, object]
) -> tuple[dict[str, tuple[object, str]], str]:
    """What was found, with its source; and the file that was looked at, in words."""
    known = {each.name for each in fields(Settings)}
    for name in overrides:
        if name not in known:
            raise ConfigError(f"there is no setting {name!r}; there are {', '.join(sorted(known))}")
    properties, place = _properties(environ)
    found: dict[str, tuple[object, str]] = {}
    for name, variables in _VARIABLES.items():
        named = [_PROPERTIES[name]] if name in _PROPERTIES else []
        for key in (*named, variables[0]):
            if properties.get(key):
                found[name] = (properties[key], f"{key} in {place}")
        for variable in reversed(variables):
            if environ.get(variable):
                found[name] = (environ[variable], f"environment variable {variable}")
    given = {name: value for name, value in overrides.items() if value is not None}
    return found | {name: (value, f"argument {name}=") for name, value in given.items()}, place


def _properties(environ: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """The pairs of the wskprops file, and where that is, in words."""
    chosen = environ.get("WSK_CONFIG_FILE")
    if chosen == "":
        return {}, "no file (WSK_CONFIG_FILE is empty)"
    home = environ.get("HOME")
    path = Path(chosen) if chosen else (Path(home) if home else Path.home()) / ".wskprops"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}, f"{path} (which does not exist)"
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    return _pairs(text), str(path)


def _pairs(text: str) -> dict[str, str]:
    """KEY=VALUE lines; unlike wsk, a value may contain `=`, and blanks around are dropped."""
    pairs = {}
    for line in text.splitlines():
        key, equals, value = line.partition("#")[0].partition("=")
        if equals:
            pairs[key.strip()] = value.strip()
    return pairs


def _missing(name: str, place: str) -> ConfigError:
    what = {"apihost": "OpenWhisk's address", "auth": "the API key (user:secret)"}[name]
    variables = ", ".join(_VARIABLES[name])
    return ConfigError(
        f"{what} is not set: looked at argument {name}=, environment variables {variables}, "
        f"and {_PROPERTIES[name]} in {place}; set {_VARIABLES[name][0]}"
    )


def _text(name: str, value: object, source: str) -> str:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} must be a text that is not empty ({source})")
    return value


def _key(name: str, value: object, source: str) -> str:
    text = _text(name, value, source)
    user, colon, secret = text.partition(":")
    if not (user and colon and secret) or not text.isascii() or any(c.isspace() for c in text):
        raise ConfigError(f"{name} must be an API key in the form user:secret ({source})")
    return text


def _number(name: str, value: object, source: str) -> int:
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name} must be a whole number of at least 1, not {value!r} ({source})")
    return value


def _switch(name: str, value: object, source: str) -> bool:
    if isinstance(value, bool):
        return value
    text = value.strip().lower() if isinstance(value, str) else None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ConfigError(f"{name} must be 1 or 0 (true, false), not {value!r} ({source})")


_CHECKS: Mapping[str, Callable[[str, object, str], object]] = {
    "auth": _key,
    "concurrency": _number,
    "insecure": _switch,
}
