"""Feeds: actions that make a trigger fire, called with what is to become of it (OpenWhisk's
docs/feeds.md)."""

from __future__ import annotations

from collections.abc import Mapping

from aowhisk.client.actions import Actions
from aowhisk.errors import ActionError, DeveloperError
from aowhisk.models import JSON, Accepted, Status

__all__ = ["Feeds"]


class Feeds:
    """`client.feeds`; a feed is the name of an action, a trigger that of one of the client's
    namespace. The feed gets the API key: it fires the trigger with it."""

    def __init__(self, actions: Actions, *, auth: str, namespace: str) -> None:
        self._actions = actions
        self._auth = auth
        self._namespace = namespace

    async def create(
        self, feed: str, trigger: str, params: Mapping[str, JSON] | None = None
    ) -> None:
        """Let `feed` fire the trigger, which must exist; raises ActivationFailed if it refuses."""
        await self._tell(feed, trigger, "CREATE", params or {})

    async def delete(self, feed: str, trigger: str) -> None:
        """Let `feed` forget the trigger."""
        await self._tell(feed, trigger, "DELETE", {})

    async def _tell(self, feed: str, trigger: str, event: str, params: Mapping[str, JSON]) -> None:
        told: dict[str, JSON] = {
            **params,
            "lifecycleEvent": event,
            "triggerName": f"/{self._namespace}/{trigger}",
            "authKey": self._auth,
        }
        done = await self._actions.invoke(feed, told)
        if isinstance(done, Accepted) or done.status is Status.SUCCESS:
            return
        kind = ActionError if done.status is Status.APPLICATION_ERROR else DeveloperError
        error = done.result.get("error") if isinstance(done.result, dict) else None
        said = str(error if error is not None else "it failed without a word")
        for secret in (self._auth, self._auth.partition(":")[2]):
            said = said.replace(secret, "***")
        raise kind(
            f"the feed {feed} did not {event.lower()} the trigger {trigger!r}: {said[:500]}",
            action=feed,
            activation=done,
        )
