"""The dag: what a user declares, as data. `Dag` builds it, `resolve` and `expand` fill it in as
results come."""

from aowhisk.dag.difference import difference
from aowhisk.dag.graph import Dag
from aowhisk.dag.node import Node, NodeSpec, Ownership
from aowhisk.dag.references import Item, Ref, Template, item
from aowhisk.dag.resolution import ABSENT, expand, resolve, resolve_keys

__all__ = [
    "ABSENT",
    "Dag",
    "Item",
    "Node",
    "NodeSpec",
    "Ownership",
    "Ref",
    "Template",
    "difference",
    "expand",
    "item",
    "resolve",
    "resolve_keys",
]
