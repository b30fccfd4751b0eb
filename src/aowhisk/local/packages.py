"""The routes of packages and of bindings."""

from __future__ import annotations

from aowhisk.local.bodies import binding_from, package_from
from aowhisk.local.entities import Action, Binding, Package
from aowhisk.local.entitlement import Entitlement
from aowhisk.local.http import Refusal, Reply
from aowhisk.local.invocation import User
from aowhisk.local.listing import Page
from aowhisk.local.names import check_name
from aowhisk.local.request import Request
from aowhisk.local.store import Store
from aowhisk.models import JSON

__all__ = ["Packages"]


class Packages:
    """What can be done with packages."""

    def __init__(self, store: Store, entitlement: Entitlement) -> None:
        self._store = store
        self._entitlement = entitlement

    async def __call__(
        self, request: Request, user: User, namespace: str, names: list[str]
    ) -> Reply:
        """Answer a request for packages/`names`."""
        if names in ([], [""]) and request.method == "GET":
            page = Page.of(request, "packages")
            found = self._store.all(Package, namespace)
            if namespace != user.namespace:
                found = [package for package in found if package.is_public]
            return page.reply(found, Package.to_summary)
        if len(names) != 1 or not names[0]:
            raise Refusal.no_route()
        path = f"{namespace}/{names[0]}"
        match request.method:
            case "GET":
                return self._get(path)
            case "PUT":
                check_name(names[0])
                overwrite = request.flag("overwrite")
                return Reply(self.put(path, await request.json(), overwrite=overwrite).to_json())
            case "DELETE":
                return self._delete(path, force=request.flag("force"))
        raise Refusal.no_route()

    def put(self, path: str, body: JSON, *, overwrite: bool) -> Package:
        """Store the package that `body` describes."""
        namespace, _, name = path.rpartition("/")
        if name == "default":
            raise Refusal(400, "Package name 'default' is reserved.")
        asked = binding_from(body, namespace)
        if asked is not None:
            self._check_reference(namespace, asked)
        old = self._store.find(Package, path)
        if old is not None and not overwrite:
            raise Refusal(409, "resource already exists")
        if asked is not None:
            self._check_binding(asked, old)
        return self._store.put(package_from(body, namespace=namespace, name=name, old=old))

    def _check_reference(self, namespace: str, binding: Binding) -> None:
        """Refuse a binding to what its owner may not read."""
        try:
            self._entitlement.check_package(namespace, binding.path)
        except Refusal as refusal:
            if refusal.status == 404:
                raise Refusal(400, "Binding references a package that does not exist.") from None
            if refusal.status == 409:
                text = "Cannot bind to a resource that is not a package."
                raise Refusal(409, text) from None
            raise

    def _check_binding(self, binding: Binding, old: Package | None) -> None:
        if old is not None and old.binding is None:
            text = "Resource is a package and cannot be converted into a binding."
            raise Refusal(409, text)
        if self._store.get(Package, binding.path).binding is not None:
            raise Refusal(400, "Cannot bind to another package binding.")

    def _get(self, path: str) -> Reply:
        package = self._store.get(Package, path)
        bound, parameters = self._store.package_of(path)
        inside = self._store.all(Action, bound.path)
        feeds = [action for action in inside if "feed" in action.annotations]  # whatever it says
        return Reply(
            package.to_json(parameters=parameters)
            | {
                "actions": [_listed(action) for action in inside if action not in feeds],
                "feeds": [_listed(action) for action in feeds],
            }
        )

    def _delete(self, path: str, *, force: bool) -> Reply:
        package = self._store.get(Package, path)
        inside = self._store.all(Action, path)
        if inside and not force:
            contents = "1 entity" if len(inside) == 1 else f"{len(inside)} entities"
            text = f"Package not empty (contains {contents})."
            raise Refusal(409, f"{text} Set force param or delete package contents.")
        for action in inside:
            self._store.delete(action.path)
        self._store.delete(path)
        return Reply(package.to_json())


def _listed(action: Action) -> dict[str, JSON]:
    shown = action.to_summary()
    return {name: shown[name] for name in ("name", "version", "annotations")}
