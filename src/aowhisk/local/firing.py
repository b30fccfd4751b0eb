"""From a trigger that is fired to what its rules begin, and to the record that tells of it
(CTRL/Triggers.scala)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping

from aowhisk.local.actions import Actions
from aowhisk.local.entities import Link, Trigger
from aowhisk.local.entitlement import Entitlement
from aowhisk.local.http import Refusal, to_json
from aowhisk.local.invocation import User
from aowhisk.local.payload import check_length, headers_of
from aowhisk.local.records import Record, Records
from aowhisk.local.request import Request
from aowhisk.models import JSON, Status

__all__ = ["Firing"]

HEADERS = "__ow_headers"
_SUCCESS, _REFUSED, _BROKEN = 0, 1, 3


class Firing:
    """Does for triggers what their rules say."""

    def __init__(self, actions: Actions, records: Records, entitlement: Entitlement) -> None:
        self._actions = actions
        self._records = records
        self._entitlement = entitlement

    def fire(
        self, user: User, trigger: Trigger, payload: Mapping[str, JSON], request: Request
    ) -> str | None:
        """Begin what the rules of `trigger` name, and store a record of it; its activation id.

        None where no rule is active: then nothing happens at all.
        """
        links = trigger.links or {}
        if not any(link.active for link in links.values()):
            return None
        start = int(time.time() * 1000)
        stored = {key: parameter.value for key, parameter in trigger.parameters.items()}
        given = stored | {HEADERS: headers_of(request)} | dict(payload)
        logs: list[JSON] = []
        for rule, link in links.items():
            told = {"rule": rule, "action": str(link.action)}
            told |= self._follow(user, rule, link, given, request.id)
            logs.append(to_json(told).decode())
        record = _record(user, trigger, payload, start, logs)
        self._records.add(record)
        return record.id

    def _follow(
        self, user: User, rule: str, link: Link, given: Mapping[str, JSON], transaction: str
    ) -> dict[str, JSON]:
        """Begin the action of one rule as its caller's own POST would; how that went."""
        if not link.active:
            text = f"Rule '{rule}' is inactive, action '{link.action}' was not activated."
            return _failure(_REFUSED, text)
        try:
            user.throttle.charge()
            self._entitlement.check_reference(user.namespace, link.action.path)
            check_length(len(to_json(given)))
            begun = self._actions.begin(user, link.action.path, given, transaction)
        except Refusal as refusal:
            return _failure(_REFUSED if refusal.status < 500 else _BROKEN, refusal.text)
        return {"statusCode": _SUCCESS, "success": True, "activationId": begun.id}


def _failure(code: int, text: str) -> dict[str, JSON]:
    return {"statusCode": code, "success": False, "error": text}


def _record(
    user: User, trigger: Trigger, payload: Mapping[str, JSON], start: int, logs: list[JSON]
) -> Record:
    activation = uuid.uuid4().hex
    document: dict[str, JSON] = {
        "namespace": user.namespace,
        "name": trigger.name,
        "version": trigger.version,
        "subject": user.namespace,
        "activationId": activation,
        "start": start,
        "response": {"result": dict(payload), "status": "success", "success": True},
        "logs": logs,
        "annotations": [],
        "publish": False,
    }
    return Record(activation, user.namespace, trigger.path, start, Status.SUCCESS, document)
