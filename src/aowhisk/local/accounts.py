"""Who may use a local OpenWhisk: namespaces, each with its key and limits of its own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aowhisk.errors import ConfigError
from aowhisk.local.http import Refusal
from aowhisk.local.limits import Limits
from aowhisk.local.names import check_namespace
from aowhisk.manifest.document import parse
from aowhisk.models import JSON

__all__ = ["Account", "is_private", "load_accounts"]

_DOCUMENTS = (".json", ".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Account:
    """A namespace and its key (`user:secret`). `limits` are by OpenWhisk's names
    (`invocationsPerMinute`, `storeActivations`, ...) and lie over those of the server; raises
    ConfigError."""

    namespace: str
    key: str = field(repr=False)
    limits: Mapping[str, JSON] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            check_namespace(self.namespace)
        except Refusal as refusal:
            raise ConfigError(f"namespace {self.namespace!r}: {refusal.text}") from refusal
        if self.namespace == "_":
            raise ConfigError("namespace '_' means one's own; give it a name")
        user, colon, secret = self.key.partition(":")
        if not (user and colon and secret):
            raise ConfigError(f"the key of namespace {self.namespace!r} is not `user:secret`")
        Limits().overlaid(self.limits)


def load_accounts(file: Path) -> tuple[Account, ...]:
    """The accounts of an auth file; raises ConfigError, naming the place.

    A line each, `namespace user:secret [limit=value ...]`, with # for comments; or, in a file
    that ends in .json, .yaml or .yml, a mapping from namespace to `user:secret` or to
    `{auth: user:secret, limits: {limit: value}}`.
    """
    is_document = file.suffix.lower() in _DOCUMENTS
    accounts = _from_document(file) if is_document else _from_lines(file)
    if not accounts:
        raise ConfigError(f"{file} names no namespace")
    for what, values in (
        ("namespace", [account.namespace for account in accounts]),
        ("key", [account.key for account in accounts]),
    ):
        if len(set(values)) < len(values):
            raise ConfigError(f"{file} gives a {what} twice; each account needs its own")
    return tuple(accounts)


def is_private(file: Path) -> bool:
    """Whether only its owner can read it."""
    return not os.stat(file).st_mode & 0o077


def _from_lines(file: Path) -> list[Account]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"cannot read the auth file {file}: {problem}") from problem
    found = []
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) < 2:
            raise ConfigError(f"{file}:{number}: is not `namespace user:secret [limit=value ...]`")
        found.append(
            _account(f"{file}:{number}", words[0], words[1], _settings(file, number, words[2:]))
        )
    return found


def _settings(file: Path, number: int, words: Iterable[str]) -> dict[str, JSON]:
    found: dict[str, JSON] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"{file}:{number}: {word!r} is not `limit=value`")
        if value in ("true", "false"):
            found[name] = value == "true"
        else:
            found[name] = int(value) if value.isascii() and value.isdigit() else value
    return found


def _from_document(file: Path) -> list[Account]:
    document = parse(file)
    if not isinstance(document, dict):
        raise ConfigError(f"{file} is no mapping from namespaces to keys")
    found = []
    for namespace, value in document.items():
        where = f"{file}: {namespace}"
        given = {"auth": value} if isinstance(value, str) else value
        if not isinstance(given, dict) or not isinstance(given.get("auth"), str):
            raise ConfigError(f"{where}: is neither a text `user:secret` nor has such an `auth`")
        if unknown := set(given) - {"auth", "limits"}:
            raise ConfigError(f"{where}: there is no field {min(map(str, unknown))!r}")
        limits = given.get("limits") or {}
        if not isinstance(limits, dict):
            raise ConfigError(f"{where}: limits is no mapping")
        found.append(_account(where, str(namespace), given["auth"], limits))
    return found


def _account(where: str, namespace: str, key: str, limits: Mapping[str, JSON]) -> Account:
    try:
        return Account(namespace, key, limits)
    except ConfigError as problem:
        raise ConfigError(f"{where}: {problem}") from problem
