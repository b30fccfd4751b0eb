"""The routes of activations: their list, and one by its id."""

from __future__ import annotations

from aowhisk.local.http import Refusal, Reply
from aowhisk.local.invocation import User
from aowhisk.local.listing import Page, whole
from aowhisk.local.names import check_activation_id, is_name
from aowhisk.local.records import Record, Records
from aowhisk.local.request import Request

__all__ = ["Activations"]


class Activations:
    """What can be read of activations; nothing can be written."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def __call__(
        self, request: Request, user: User, namespace: str, names: list[str]
    ) -> Reply:
        """Answer a request for activations/`names`."""
        if request.method != "GET" or len(names) > 2:
            raise Refusal.no_route()
        if names in ([], [""]):
            return self._list(request, namespace)
        if len(names) == 2 and names[1] not in ("", "logs", "result"):
            raise Refusal.no_route()
        check_activation_id(names[0])
        record = self._records.get(namespace, names[0])
        if record is None:
            raise Refusal.no_entity()
        if len(names) == 1 or not names[1]:
            return Reply(record.document)
        return Reply({"logs": record.document["logs"]} if names[1] == "logs" else record.response)

    def _list(self, request: Request, namespace: str) -> Reply:
        page, docs = Page.of(request, "activations"), request.flag("docs")
        name, since, upto = _name(request), _time(request, "since"), _time(request, "upto")
        if docs and page.count:
            raise Refusal(400, "The parameter 'docs' is not permitted with 'count'.")
        found = self._records.find(namespace, name=name, since=since, upto=upto)
        return page.reply(found, (lambda record: record.document) if docs else Record.to_summary)


def _name(request: Request) -> str | None:
    name = request.query.get("name", "")
    parts = [part for part in name.split("/") if part]
    if parts and len(parts) <= 2 and all(map(is_name, parts)):
        return "/".join(parts)
    if not name.strip():
        return None
    text = f"Parameter may be a 'simple' name or 'package-name/simple' name: {name}"
    raise Refusal.query("name", text)


def _time(request: Request, name: str) -> int | None:
    value = request.query.get(name)
    if value is None:
        return None
    number = whole(value, bits=64)
    if number is None:
        text = f"Parameter is not a valid value for epoch seconds: {value}"  # sic: milliseconds
        raise Refusal.query(name, text)
    return number
