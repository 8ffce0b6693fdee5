"""Writes a schema in the dialect of a backend, from a table of what the backend enforces."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .dialect import CannotEnforceError, Loosened, Schema, Sent
from .nodes import (
    TYPES,
    Alternatives,
    Anything,
    Array,
    Node,
    Object,
    Reference,
    Scalar,
    Values,
    type_of,
)
from .normal import normal

_NULL = {"type": "null"}


def _as_it_is(pattern: str) -> str | None:
    return pattern


@dataclass(frozen=True)
class Table:
    """What a backend enforces.

    Attributes:
        string, number, integer, array: the keywords of these types that it enforces.
        formats: it enforces these formats.
        formats_in_part: it is sent these formats; some values that break them pass.
        pattern: a pattern as it is said here; None where it cannot be.
        anything: how any value is said; None where it cannot be.
        open_objects: an object may have properties that its schema does not name.
        optional: a property may be left out. Otherwise it is null instead.
        recursive: a definition may refer to itself.
        typed_values: `enum` needs a `type` beside it.
        whole_values: `enum` may hold objects and lists.
        value_types: types of the values that `enum` may hold.
        both: a string may have a pattern or format, and limits of its length.
        longest: the largest number that it takes as a limit of length; larger ones are left out.
        most_at_least: the largest `minItems` that it takes.
        remarks: it is sent titles and descriptions.
        root_is_object: the root must be an object.
        limits: raises `CannotEnforceError` for a written schema that it would refuse.
    """

    string: Collection[str] = ()
    number: Collection[str] = ()
    integer: Collection[str] = ()
    array: Collection[str] = ()
    formats: Collection[str] = ()
    formats_in_part: Collection[str] = ()
    pattern: Callable[[str], str | None] = _as_it_is
    anything: Mapping[str, Any] | None = None
    open_objects: bool = True
    optional: bool = True
    recursive: bool = True
    typed_values: bool = True
    whole_values: bool = False
    value_types: Collection[str] = TYPES
    both: bool = True
    longest: int | None = None
    most_at_least: int | None = None
    remarks: bool = True
    root_is_object: bool = False
    limits: Callable[[Schema], None] = field(default=lambda schema: None)


def write(table: Table, schema: Schema) -> Sent:
    """Return a valid schema as a backend is sent it.

    Raises:
        CannotEnforceError: the table has no way to say it.
    """
    form = normal(dict(schema))
    writer = _Writer(table, form.definitions, form.loosened)
    written = writer.root(form.root)
    table.limits(written)
    return Sent(written, tuple(dict.fromkeys(writer.loosened)))


class _Writer:
    def __init__(
        self, table: Table, definitions: Mapping[str, Node], loosened: list[Loosened]
    ) -> None:
        self._table = table
        self._definitions = definitions
        self.loosened = loosened
        self._used: set[str] = set()

    def root(self, node: Node) -> dict[str, Any]:
        """The whole schema."""
        for _ in self._definitions:
            if isinstance(node, Reference):
                node = self._definitions[node.name]
        if self._table.root_is_object and not isinstance(node, Object):
            keyword = "anyOf" if isinstance(node, Alternatives) else "type"
            raise CannotEnforceError(keyword, node.at, "the root must be one kind of object")
        written = self._written(node)
        definitions: dict[str, Any] = {}
        uses: dict[str, set[str]] = {}
        todo = self._used
        while todo:
            name = min(todo)
            self._used = set()
            definitions[name] = self._written(self._definitions[name])
            uses[name] = self._used
            todo = (todo | self._used) - uses.keys()
        if not self._table.recursive and (circular := _recursive(uses)):
            at = self._definitions[circular].at
            raise CannotEnforceError("$ref", at, "it refers to itself, which cannot be said here")
        return {**written, "$defs": definitions} if definitions else written

    def _loosen(self, keyword: str, at: str) -> None:
        self.loosened.append(Loosened(keyword, f"{at}/{keyword}"))

    def _written(self, node: Node) -> dict[str, Any]:
        said = self._said(node)
        if not self._table.remarks or "$ref" in said:
            return said
        return {**node.notes, **said}

    def _said(self, node: Node) -> dict[str, Any]:
        match node:
            case Reference():
                self._used.add(node.name)
                said = {"$ref": f"#/$defs/{node.name}"}
            case Alternatives():
                said = self._any_of([self._written(branch) for branch in node.branches])
            case Values():
                said = self._values(node)
            case Object():
                said = self._object(node)
            case Array():
                said = self._array(node)
            case Scalar():
                said = self._scalar(node)
            case _ if self._table.anything is None:
                why = "any value is allowed, which cannot be said"
                raise CannotEnforceError("type", node.at, why)
            case _:
                said = dict(self._table.anything)
        return said

    def _any_of(self, branches: list[dict[str, Any]]) -> dict[str, Any]:
        """Alternatives; as a list of types where they are no more than that."""
        different = [each for at, each in enumerate(branches) if each not in branches[:at]]
        if len(different) == 1:
            return different[0]
        if all(each.keys() == {"type"} and isinstance(each["type"], str) for each in different):
            return {"type": [each["type"] for each in different]}
        return {"anyOf": different}

    def _values(self, node: Values) -> dict[str, Any]:
        kinds = dict.fromkeys(type_of(value) for value in node.values)
        if not self._table.whole_values and kinds.keys() & {"object", "array"}:
            raise CannotEnforceError("enum", node.at, "objects and lists as values cannot be said")
        if not self._table.typed_values:
            return {"enum": node.values}
        return self._any_of([self._values_of(node, kind) for kind in kinds])

    def _values_of(self, node: Values, kind: str) -> dict[str, Any]:
        """The values of one type."""
        values = [value for value in node.values if type_of(value) == kind]
        if kind == "null" or (kind == "boolean" and len(values) > 1):
            return {"type": kind}
        if kind not in self._table.value_types:
            self._loosen("enum", node.at)
            return {"type": kind}
        return {"type": kind, "enum": values}

    def _object(self, node: Object) -> dict[str, Any]:
        table = self._table
        properties = {name: self._written(each) for name, each in node.properties.items()}
        required = set(node.required)
        rest: Any = False
        if node.rest is not None and table.open_objects:
            rest = True if isinstance(node.rest, Anything) else self._written(node.rest)
        elif node.rest is not None and not (properties and isinstance(node.rest, Anything)):
            why = "properties that the schema does not name cannot be said"
            raise CannotEnforceError("additionalProperties", node.at, why)
        if not table.optional:
            for name, each in node.properties.items():
                if name not in required and not self._takes_null(each):
                    properties[name] = _or_null(properties[name])
            required = set(properties)
        ordered = [name for name in properties if name in required]
        return {
            "type": "object",
            "properties": properties,
            "required": ordered,
            "additionalProperties": rest,
        }

    def _takes_null(self, node: Node, seen: frozenset[str] = frozenset()) -> bool:
        if isinstance(node, Reference):
            inner = self._definitions[node.name]
            return node.name not in seen and self._takes_null(inner, seen | {node.name})
        if isinstance(node, Alternatives):
            return any(self._takes_null(branch, seen) for branch in node.branches)
        if isinstance(node, Values):
            return None in node.values
        return isinstance(node, Anything) or (isinstance(node, Scalar) and node.type == "null")

    def _array(self, node: Array) -> dict[str, Any]:
        written: dict[str, Any] = {"type": "array"}
        limits = dict(node.keywords)
        prefix = [self._written(each) for each in node.prefix]
        rest = None if node.rest is None else self._written(node.rest)
        if prefix and "prefixItems" in self._table.array:
            written |= {"prefixItems": prefix, "items": False if rest is None else rest}
        elif prefix:
            self._loosen("prefixItems", node.at)
            written["items"] = self._any_of([*prefix, *([rest] if rest is not None else [])])
        elif rest is not None:
            written["items"] = rest
        if rest is None and not prefix:
            written["items"] = dict(_NULL)
        if rest is None and ("maxItems" in self._table.array or not prefix):
            most = min(len(prefix), limits.get("maxItems", (len(prefix), ""))[0])
            limits["maxItems"] = (most, node.at)
        for keyword, (value, at) in limits.items():
            written |= self._limit(keyword, value, at, self._table.array)
        return written

    def _limit(
        self, keyword: str, value: int | float, at: str, enforced: Collection[str]
    ) -> dict[str, Any]:
        """A limit of a length, where it is enforced."""
        table = self._table
        if keyword.startswith("min") and value == 0:
            return {}
        too_large = (table.longest is not None and value > table.longest) or (
            keyword == "minItems"
            and table.most_at_least is not None
            and value > table.most_at_least
        )
        if keyword not in enforced or too_large:
            self._loosen(keyword, at)
            return {}
        return {keyword: int(value)}

    def _scalar(self, node: Scalar) -> dict[str, Any]:
        written: dict[str, Any] = {"type": node.type}
        if node.type == "string":
            return written | self._string(node)
        enforced = self._table.integer if node.type == "integer" else self._table.number
        for keyword, (value, at) in node.keywords.items():
            if keyword in enforced and abs(value) < 2**53:
                written[keyword] = value
            else:
                self._loosen(keyword, at)
        return written

    def _string(self, node: Scalar) -> dict[str, Any]:
        table, written = self._table, dict[str, Any]()
        for keyword, (value, at) in node.keywords.items():
            if keyword == "pattern":
                said = table.pattern(value) if "pattern" in table.string else None
                if said is not None:
                    written["pattern"] = said
                else:
                    self._loosen(keyword, at)
            elif keyword == "format":
                if value in (*table.formats, *table.formats_in_part):
                    written["format"] = value
                if value not in table.formats:
                    self._loosen(keyword, at)
        if not table.both and "pattern" in written and "format" in written:
            self._loosen("format", node.at)
            del written["format"]
        for keyword in ("minLength", "maxLength"):
            if keyword in node.keywords:
                value, at = node.keywords[keyword]
                alone = table.both or not written.keys() & {"pattern", "format"}
                written |= self._limit(keyword, value, at, table.string if alone else ())
        return written


def _or_null(written: dict[str, Any]) -> dict[str, Any]:
    """A written schema that also allows null."""
    if written.keys() - {"title", "description"} == {"type"}:
        kinds = written["type"] if isinstance(written["type"], list) else [written["type"]]
        return {**written, "type": [*kinds, "null"]}
    if "anyOf" in written:
        return {**written, "anyOf": [*written["anyOf"], _NULL]}
    return {"anyOf": [written, _NULL]}


def _recursive(uses: Mapping[str, set[str]]) -> str | None:
    """A definition that refers to itself, directly or not; by what each one refers to."""
    for name, direct in uses.items():
        reached: set[str] = set()
        todo = set(direct)
        while todo:
            reached |= todo
            todo = set().union(*(uses[each] for each in todo)) - reached
        if name in reached:
            return name
    return None
