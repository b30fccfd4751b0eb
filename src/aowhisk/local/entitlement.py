"""Who may do what: one's own namespace, and of the others what is in their published packages
(ENTL/ActionCollection.scala, ENTL/PackageCollection.scala)."""

from __future__ import annotations

from collections.abc import Iterable

from aowhisk.local.entities import Package
from aowhisk.local.http import Refusal
from aowhisk.local.store import Store

__all__ = ["Entitlement", "not_yours"]


class Entitlement:
    """Says of each request whether its namespace is entitled to what it asks for."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def check(
        self, caller: str, method: str, namespace: str, collection: str, names: list[str]
    ) -> None:
        """Refuse (403, or 404 and 409 where the caller owns what is asked for) a request of
        namespace `caller` for `names` in a collection of `namespace`."""
        own = namespace == caller
        if collection == "packages" and method == "GET" and len(names) < 2:
            if any(names):
                self._check_shown(caller, f"{namespace}/{names[0]}")
        elif collection == "actions" and len(names) == 2 and _reads_package(method, names[1]):
            self.check_package(caller, f"{namespace}/{names[0]}")
        elif not own:
            if not _is_route(method, collection, names):
                raise Refusal.no_route()
            raise not_yours("/".join([namespace, *filter(None, names)]))

    def check_reference(self, caller: str, path: str) -> None:
        """Refuse it where namespace `caller` may not read, and so not use, the action or trigger
        at `path` (`namespace/[package/]name`): what a rule or a sequence names."""
        self.check_references(caller, [path])

    def check_references(self, caller: str, paths: Iterable[str]) -> None:
        """The same for several actions."""
        foreign = []
        for path in sorted(set(paths)):
            package, _, _ = path.rpartition("/")
            if "/" in package:
                self.check_package(caller, package)
            elif package != caller:
                foreign.append(path)
        if foreign:
            raise not_yours(", ".join(foreign))

    def check_package(self, caller: str, path: str) -> None:
        """Refuse it where namespace `caller` may not read the package at `path`: of others only a
        published one, and a binding of its own only with the package that it is bound to."""
        if not self._is_readable(caller, path):
            raise not_yours(path)

    def _check_shown(self, caller: str, path: str) -> None:
        try:
            self.check_package(caller, path)
        except Refusal as refusal:
            if refusal.status != 404:
                raise
            raise Refusal(404, f"The requested resource '{path}' does not exist.") from None

    def _is_readable(self, caller: str, path: str) -> bool:
        own = path.partition("/")[0] == caller
        try:
            package = self._store.get(Package, path)
        except Refusal:
            if own:
                raise
            return False  # what there is in other namespaces is not told
        if package.binding is None:
            return own or package.publish
        if not own:
            return False
        if package.binding.path == path:
            raise Refusal(422, f"Package binding '{path}' contains a circular reference.")
        return self._is_readable(caller, package.binding.path)


def not_yours(what: str) -> Refusal:
    """403: the caller has no right to `what`."""
    return Refusal(403, f"The supplied authentication is not authorized to access '{what}'.")


def _reads_package(method: str, name: str) -> bool:
    """Whether this is a route inside a package that a reader of it may take."""
    return method == "GET" or (method == "POST" and name != "")


def _is_route(method: str, collection: str, names: list[str]) -> bool:
    """Whether there is such a route at all; one that is not is 404 before anyone asks for
    rights."""
    if not any(names):
        return len(names) < 2 and method == "GET"
    if collection == "activations":
        return method == "GET"
    if len(names) > (2 if collection == "actions" else 1) or not names[-1]:
        return False
    return method in ("GET", "PUT", "DELETE") or (method == "POST" and collection != "packages")
