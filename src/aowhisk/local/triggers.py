"""The routes of triggers: list, read, write, delete, fire."""

from __future__ import annotations

from aowhisk.local.entities import Trigger
from aowhisk.local.event_bodies import check_feed, trigger_changes
from aowhisk.local.firing import Firing
from aowhisk.local.http import NO_CONTENT, Refusal, Reply
from aowhisk.local.invocation import User
from aowhisk.local.listing import Page
from aowhisk.local.payload import check_length
from aowhisk.local.request import Request
from aowhisk.local.store import Store
from aowhisk.models import JSON

__all__ = ["Triggers"]


class Triggers:
    """What can be done with triggers."""

    def __init__(self, store: Store, firing: Firing) -> None:
        self._store = store
        self._firing = firing

    async def __call__(
        self, request: Request, user: User, namespace: str, names: list[str]
    ) -> Reply:
        """Answer a request for triggers/`names`."""
        if names in ([], [""]) and request.method == "GET":
            page = Page.of(request, "triggers")
            return page.reply(self._store.all(Trigger, namespace), Trigger.to_summary)
        if len(names) != 1 or not names[0]:
            raise Refusal.no_route()
        path = f"{namespace}/{names[0]}"
        match request.method:
            case "GET":
                return Reply(self._store.get(Trigger, path).to_json())
            case "PUT":
                body = await request.json()
                overwrite = request.flag("overwrite")
                return Reply(self.put(path, body, overwrite=overwrite).to_json())
            case "DELETE":
                return self._delete(path)
            case "POST":
                return await self._fire(request, user, path)
        raise Refusal.no_route()

    def put(self, path: str, body: JSON, *, overwrite: bool) -> Trigger:
        """Store the trigger that `body` describes."""
        changes = trigger_changes(body)
        old = self._store.find(Trigger, path)
        if old is not None:
            if not overwrite:
                raise Refusal(409, "resource already exists")
            return self._store.put(changes.updated(old))
        namespace, _, name = path.rpartition("/")
        made = changes.made(Trigger(namespace=namespace, name=name))
        check_feed(made.annotations)
        return self._store.put(made)

    def _delete(self, path: str) -> Reply:
        # Its rules stay; without their trigger they are inactive.
        trigger = self._store.get(Trigger, path)
        self._store.delete(path)
        return Reply(trigger.to_json())

    async def _fire(self, request: Request, user: User, path: str) -> Reply:
        check_length(request.length)
        payload = request.parse_object(await request.body())
        trigger = self._store.get(Trigger, path)
        activation = self._firing.fire(user, trigger, payload, request)
        if activation is None:
            return Reply(None, 204, content=NO_CONTENT)
        return Reply({"activationId": activation}, 202, activation=activation)
