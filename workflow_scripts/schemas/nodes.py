"""The nodes of a schema in normal form, and what two of them have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .dialect import Loosened

TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")

FORMATS = frozenset(
    (
        *("date-time", "date", "time", "duration", "email", "idn-email", "hostname"),
        *("idn-hostname", "ipv4", "ipv6", "uri", "uri-reference", "iri", "iri-reference", "uuid"),
        *("uri-template", "json-pointer", "relative-json-pointer", "regex"),
    )
)
"""The formats of JSON Schema 2020-12; any other is a remark."""


@dataclass
class Node:
    """What is allowed at one place.

    Attributes:
        at: its JSON pointer.
        notes: title and description.
        implied: the schema names no type, and allows all values of others.
    """

    at: str
    notes: dict[str, str]
    implied: bool = field(default=False, kw_only=True)


class Anything(Node):
    """Any JSON value."""


@dataclass
class Values(Node):
    """One of some values."""

    values: list[Any]


@dataclass
class Reference(Node):
    """A definition, by its name in `Normal.definitions`."""

    name: str


@dataclass
class Alternatives(Node):
    """What one of the branches allows, of which there are two or more."""

    branches: list[Node]


@dataclass
class Scalar(Node):
    """A string, a number, an integer, a boolean or null.

    ``keywords``: what else holds for it, each with the pointer of its place. An integer has at most
    ``minimum`` and ``maximum``, which are integers, and ``multipleOf``.
    """

    type: str
    keywords: dict[str, tuple[Any, str]] = field(default_factory=dict)


@dataclass
class Array(Node):
    """A list: ``prefix`` of the first entries, ``rest`` of the others; None: there are none."""

    prefix: list[Node]
    rest: Node | None
    keywords: dict[str, tuple[Any, str]] = field(default_factory=dict)


@dataclass
class Object(Node):
    """An object: its ``properties``, and ``rest`` of the others; None: there are none.

    ``closed``: the schema itself allows no others.
    """

    properties: dict[str, Node]
    required: list[str]
    rest: Node | None
    closed: bool


class Normal(NamedTuple):
    """A schema in normal form, and what was left out of it."""

    root: Node
    definitions: dict[str, Node]
    loosened: list[Loosened]


def alternatives(at: str, notes: dict[str, str], branches: list[Node]) -> Node:
    """The node of some branches; a branch that is itself one of alternatives joins in."""
    flat: list[Node] = []
    for branch in branches:
        inner = isinstance(branch, Alternatives) and not branch.notes
        flat += branch.branches if isinstance(branch, Alternatives) and inner else [branch]
    if len(flat) == 1:
        flat[0].notes = {**flat[0].notes, **notes}
        return flat[0]
    return Alternatives(at, notes, flat)


def direct(node: Node, definitions: Mapping[str, Node], found: set[str]) -> set[str]:
    """The definitions of which a value of the node is itself one; added to those that are found."""
    if isinstance(node, Alternatives):
        for branch in node.branches:
            direct(branch, definitions, found)
    if isinstance(node, Reference) and node.name not in found:
        found.add(node.name)
        direct(definitions[node.name], definitions, found)
    return found


def apart(one: Node, other: Node) -> bool:
    """Whether it is certain that no value obeys both nodes."""
    if isinstance(one, Object) and isinstance(other, Object):
        for name in one.required:
            mine, theirs = one.properties.get(name), other.properties.get(name)
            if mine is not None and theirs is None and other.closed:
                return True
            if name in other.required and mine and theirs and apart(mine, theirs):
                return True
        return any(name not in one.properties and one.closed for name in other.required)
    if isinstance(one, Values) and isinstance(other, Values):
        from .validation import identity

        values = [set(map(identity, node.values)) for node in (one, other)]
        return values[0].isdisjoint(values[1])
    kinds, others = _kinds(one), _kinds(other)
    return bool(kinds and others) and kinds.isdisjoint(others)


def _kinds(node: Node) -> set[str]:
    """The types of the values of a node, integers as numbers; empty where it is not known."""
    if node.implied:
        return set()
    if isinstance(node, Alternatives):
        each = [_kinds(branch) for branch in node.branches]
        return set().union(*each) if all(each) else set()
    if isinstance(node, Scalar):
        return {"number" if node.type == "integer" else node.type}
    if isinstance(node, Values):
        return {"number" if each == "integer" else each for each in map(type_of, node.values)}
    return (
        {"object"} if isinstance(node, Object) else {"array"} if isinstance(node, Array) else set()
    )


def type_of(value: Any) -> str:
    """Return the type of a JSON value, in JSON Schema's words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"
