"""Whom the doctor looks at: the settings, and OpenWhisk as they name it, asked once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from aowhisk.client import Client, Limits
from aowhisk.client.address import base_url
from aowhisk.config import Survey
from aowhisk.doctor.needs import Needs
from aowhisk.models import JSON

__all__ = ["Subject", "is_this_machine"]

_STAND_IN = "nobody:nothing"  # a key for the pages that need none


@dataclass
class Subject:
    """The settings, what is to run, and what OpenWhisk said of itself.

    `limits`, `info` and `kind` (the Python to use) are None until the checks that ask for them have
    passed. `invoke`: an action may be made, run and deleted.
    """

    survey: Survey
    needs: Needs
    stack: AsyncExitStack
    invoke: bool = False
    info: Mapping[str, JSON] | None = None
    limits: Limits | None = None
    kind: str | None = None
    _clients: dict[bool, Client] = field(default_factory=dict)

    def get(self, name: str) -> Any:
        """The setting, None where it is not given or wrong."""
        return self.survey.values.get(name)

    @property
    def base(self) -> str:
        """`scheme://host[:port]` of OpenWhisk; raises ConfigError."""
        if "apihost" in self.survey.problems:
            raise self.survey.problems["apihost"]
        return base_url(self.get("apihost"))

    @property
    def is_local(self) -> bool:
        """Whether OpenWhisk is reached through this machine's loopback."""
        return is_this_machine(urlsplit(self.base).hostname)

    async def client(self, *, keyed: bool = True) -> Client:
        """A client, open until the examination ends; without the key where not `keyed`. Raises
        ConfigError."""
        if keyed not in self._clients:
            if keyed and "auth" in self.survey.problems:
                raise self.survey.problems["auth"]
            self._clients[keyed] = await self.stack.enter_async_context(
                Client(
                    self.base,
                    self.get("auth") if keyed else _STAND_IN,
                    namespace=self.get("namespace") or "_",
                    ca_bundle=self.get("ca_bundle"),
                    insecure=bool(self.get("insecure")),
                )
            )
        return self._clients[keyed]


def is_this_machine(host: str | None) -> bool:
    """Whether a host name or address is loopback."""
    if host == "localhost":
        return True
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return False
