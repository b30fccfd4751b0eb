"""The routes of rules: list, read, write, delete, switch on and off (CTRL/Rules.scala)."""

from __future__ import annotations

from dataclasses import replace

from aowhisk.local.entities import Action, Entity, Link, Package, Reference, Rule, Trigger
from aowhisk.local.entitlement import Entitlement, not_yours
from aowhisk.local.event_bodies import RuleChanges, rule_changes, state_from
from aowhisk.local.http import Refusal, Reply
from aowhisk.local.invocation import User
from aowhisk.local.listing import Page
from aowhisk.local.outcome import WHISK_ERROR
from aowhisk.local.payload import check_length
from aowhisk.local.request import Request
from aowhisk.local.store import Store
from aowhisk.models import JSON

__all__ = ["Rules"]

_ENTITY = "class org.apache.openwhisk.core.entity.Whisk"


class Rules:
    """What can be done with rules. Whether one is active stands in its trigger: it goes with that,
    and does not come back with another one of that name."""

    def __init__(self, store: Store, entitlement: Entitlement) -> None:
        self._store = store
        self._entitlement = entitlement

    async def __call__(
        self, request: Request, user: User, namespace: str, names: list[str]
    ) -> Reply:
        """Answer a request for rules/`names`."""
        if names in ([], [""]) and request.method == "GET":
            page = Page.of(request, "rules")
            return page.reply(self._store.all(Rule, namespace), Rule.to_summary)
        if len(names) != 1 or not names[0]:
            raise Refusal.no_route()
        path = f"{namespace}/{names[0]}"
        match request.method:
            case "GET":
                rule = self._store.get(Rule, path)
                return Reply(rule.to_json(active=_is_active(rule, self._found_trigger(rule))))
            case "PUT":
                body = await request.json()
                overwrite = request.flag("overwrite")
                rule = self.put(path, body, overwrite=overwrite, caller=user.namespace)
                return Reply(rule.to_json(active=_is_active(rule, self._trigger(rule))))
            case "DELETE":
                return self._delete(path)
            case "POST":
                return await self._switch(request, path)
        raise Refusal.no_route()

    def put(self, path: str, body: JSON, *, overwrite: bool, caller: str) -> Rule:
        """Store the rule that `body`, of the namespace `caller`, describes."""
        namespace, _, name = path.rpartition("/")
        changes = rule_changes(body, namespace)
        self._check_rights(caller, changes)
        old = self._store.find(Rule, path)
        if old is None:
            return self._create(changes, namespace, name)
        if overwrite:
            return self._update(changes, old)
        raise Refusal(409, "resource already exists")

    def _check_rights(self, caller: str, changes: RuleChanges) -> None:
        denied = []
        if changes.trigger is not None and changes.trigger.root != caller:
            denied.append(changes.trigger.path)
        if action := changes.action:
            if "/" in action.namespace:
                package = action.namespace.rpartition("/")[2]
                self._entitlement.check_package(caller, f"{action.root}/{package}")
            elif action.root != caller:
                denied.append(action.path)
        if denied:
            raise not_yours(", ".join(sorted(denied)))

    def _create(self, changes: RuleChanges, namespace: str, name: str) -> Rule:
        if changes.trigger is None or changes.action is None:
            raise Refusal(400, "rule requires a valid trigger and a valid action")
        trigger = self._check_parts(changes.trigger, changes.action)
        rule = Rule(namespace=namespace, name=name, trigger=changes.trigger, action=changes.action)
        self._store.amend(trigger.linked(rule.path, Link(rule.action, active=True)))
        return self._store.put(changes.others.made(rule))

    def _update(self, changes: RuleChanges, old: Rule) -> Rule:
        before = self._trigger(old)
        active = _is_active(old, before)
        rule = replace(
            old, trigger=changes.trigger or old.trigger, action=changes.action or old.action
        )
        trigger = self._check_parts(rule.trigger, rule.action)
        if before is not None and before.path != trigger.path:
            self._store.amend(before.unlinked(rule.path))
        self._store.amend(trigger.linked(rule.path, Link(rule.action, active)))
        return self._store.put(changes.others.updated(rule))

    def _delete(self, path: str) -> Reply:
        rule = self._store.get(Rule, path)
        trigger = self._trigger(rule)
        if trigger is not None:
            self._store.amend(trigger.unlinked(path))
        self._store.delete(path)
        return Reply(rule.to_json(active=False))

    async def _switch(self, request: Request, path: str) -> Reply:
        check_length(request.length)
        active = state_from(await request.json())
        rule = self._store.get(Rule, path)
        trigger = self._found_trigger(rule)
        if active != _is_active(rule, trigger):
            if trigger is None:
                raise Refusal(404, "Only rules with existing triggers can be activated")
            self._store.amend(trigger.unlinked(path).linked(path, Link(rule.action, active)))
        return Reply("OK", plain=True)

    def _trigger(self, rule: Rule) -> Trigger | None:
        """The trigger of a rule, None where it is gone; 409 where something else has its name."""
        return self._store.find(Trigger, rule.trigger.path)

    def _found_trigger(self, rule: Rule) -> Trigger | None:
        """The same for those who are not prepared for something else: 500."""
        try:
            return self._trigger(rule)
        except Refusal:
            raise Refusal(500, WHISK_ERROR) from None

    def _check_parts(self, trigger: Reference, action: Reference) -> Trigger:
        """The trigger of a rule that is about to be stored; refused without it or its action."""
        found = self._store.look(trigger.path)
        if found is None:
            raise Refusal(400, f"trigger /{trigger.path} does not exist")
        if not isinstance(found, Trigger):
            raise _of_another_kind(found, "Trigger")
        self._check_action(action)
        return found

    def _check_action(self, action: Reference) -> None:
        path = action.path
        if path.count("/") > 1:
            package = self._store.look(action.namespace)
            if isinstance(package, Package) and package.binding is not None:
                path = f"{package.binding.path}/{action.name}"
        found = self._store.look(path)
        if found is None:
            raise Refusal(400, f"action /{action.path} does not exist")
        if not isinstance(found, Action):
            raise _of_another_kind(found, "ActionMetaData")


def _is_active(rule: Rule, trigger: Trigger | None) -> bool:
    link = (trigger.links or {}).get(rule.path) if trigger is not None else None
    return link is not None and link.active


def _of_another_kind(found: Entity, wanted: str) -> Refusal:
    kind = type(found).__name__
    text = f"document type {_ENTITY}{kind} did not match expected type {_ENTITY}{wanted}."
    return Refusal(400, text)
