"""An instrumented object store for OpenWhisk actions.

`@action` makes an OpenWhisk action of a function that reads and writes objects; `open_store` opens
the same store anywhere else.
"""

from object_store.action import action
from object_store.backend import ObjectInfo
from object_store.errors import InvalidKey, NoSuchKey, StoreError, StoreUnavailable
from object_store.store import ObjectStore, open_store
from object_store.version import __version__

__all__ = [
    "InvalidKey",
    "NoSuchKey",
    "ObjectInfo",
    "ObjectStore",
    "StoreError",
    "StoreUnavailable",
    "__version__",
    "action",
    "open_store",
]
