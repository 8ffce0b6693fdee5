"""JSON schemas in a normal form: few kinds of nodes, from which each dialect is written.

`allOf`, keywords beside `$ref`, `anyOf` or `enum`, and lists of types are rewritten, so that a node
says one thing. The rewriting is exact, or allows less: an object whose schema does not mention
further properties has none, and keywords for one type alone imply it. What the form cannot express
is left out and named.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .dialect import CannotEnforceError, Loosened
from .patterns import PatternError, SlowPatternError, found

_MOST_NODES = 20_000
_MOST_BRANCHES = 64

TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")

_KEYWORDS_OF: dict[str, tuple[str, ...]] = {
    "object": (
        *("properties", "required", "additionalProperties", "patternProperties", "minProperties"),
        *("maxProperties", "propertyNames", "dependentRequired", "dependentSchemas"),
        "unevaluatedProperties",
    ),
    "array": (
        *("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"),
        *("minContains", "maxContains", "unevaluatedItems"),
    ),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
_TYPED = frozenset(itertools.chain(*_KEYWORDS_OF.values()))
_UNTYPED = frozenset(("type", "enum", "const", "anyOf", "oneOf", "not", "if", "$ref"))
_ASSERTIONS = _TYPED | _UNTYPED | {"$dynamicRef"}

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


class _Part(NamedTuple):
    """A schema that holds at a place, and its pointer."""

    schema: Any
    at: str


class _ImpossibleError(Exception):
    """No value obeys a node."""

    def __init__(self, keyword: str, at: str) -> None:
        super().__init__(keyword)
        self.keyword = keyword
        self.at = at


def normal(schema: dict[str, Any]) -> Normal:
    """Return a valid schema in normal form.

    Raises:
        CannotEnforceError: it refers to another document, allows nothing, or is too large.
    """
    return _Normalizer(schema).normal()


class _Normalizer:
    def __init__(self, schema: dict[str, Any]) -> None:
        from jsonschema import Draft202012Validator  # slow to import

        self._schema = schema
        self._validator: Any = Draft202012Validator(
            schema, format_checker=Draft202012Validator.FORMAT_CHECKER
        )
        self._names: dict[str, str] = {}
        self._definitions: dict[str, Node] = {}
        self._loosened: dict[Loosened, None] = {}
        self._nodes = 0

    def normal(self) -> Normal:
        try:
            root = self._node([_Part(self._schema, "")], frozenset())
            while missing := [name for name in self._names if name not in self._definitions]:
                for pointer in missing:
                    node = self._node([_Part(self._at(pointer), pointer)], frozenset((pointer,)))
                    self._definitions[pointer] = node
        except _ImpossibleError as error:
            raise CannotEnforceError(error.keyword, error.at, "no value is allowed") from error
        except RecursionError as error:
            raise CannotEnforceError("schema", "", "it is nested too deeply") from error
        named = {self._names[pointer]: node for pointer, node in self._definitions.items()}
        for pointer, node in self._definitions.items():
            if self._names[pointer] in _direct(node, named, set()):
                why = "it refers to itself and says nothing else"
                raise CannotEnforceError("$ref", pointer, why)
        return Normal(root, named, list(self._loosened))

    def _loosen(self, keyword: str, at: str) -> None:
        self._loosened[Loosened(keyword, f"{at}/{keyword}")] = None

    # References

    def _pointer(self, ref: str, at: str) -> str:
        """The JSON pointer that a reference names."""
        pointer = ref.removeprefix("#")
        if not ref.startswith("#") or (pointer and not pointer.startswith("/")):
            raise CannotEnforceError("$ref", at, f"{ref!r} is no place in this schema (#/…)")
        return pointer

    def _at(self, pointer: str) -> Any:
        """The schema at a pointer."""
        found: Any = self._schema
        for token in pointer.split("/")[1:]:
            key = token.replace("~1", "/").replace("~0", "~")
            try:
                found = found[int(key)] if isinstance(found, list) else found[key]
            except (LookupError, ValueError, TypeError) as error:
                raise CannotEnforceError("$ref", pointer, "there is no such place") from error
        return found

    def _named(self, pointer: str) -> str:
        """The name of the definition that a pointer becomes."""
        if pointer not in self._names:
            last = re.sub(r"\W+", "_", pointer.rsplit("/", 1)[-1], flags=re.ASCII) or "root"
            taken, name = set(self._names.values()), last
            numbers = itertools.count(2)
            while name in taken:
                name = f"{last}_{next(numbers)}"
            self._names[pointer] = name
        return self._names[pointer]

    # Nodes

    def _node(self, parts: Iterable[_Part], chain: frozenset[str]) -> Node:
        """What all parts allow together. ``chain``: the references that were followed to them."""
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise CannotEnforceError("schema", "", "it is too large, or its parts multiply")
        parts, alone, chain = self._flat(parts, chain)
        at = parts[0].at if parts else ""
        notes = _notes(parts)
        if alone is not None:
            return Reference(at, notes, self._named(alone))
        for keyword in ("enum", "const"):
            for part in parts:
                if keyword in part.schema:
                    return self._values(parts, part, keyword, notes)
        union = next(
            ((part, key) for part in parts for key in ("anyOf", "oneOf") if key in part.schema),
            None,
        )
        if union is not None:
            return self._union(parts, *union, notes, chain)
        for part in parts:
            for keyword in ("not", "if"):
                if keyword in part.schema:
                    self._loosen(keyword, part.at)
        types = _types(parts)
        if types is None:
            return Anything(at, notes)
        if not types:
            raise _ImpossibleError("type", at)
        branches = self._possible(self._typed(name, parts, at, chain) for name in types)
        for branch in branches:
            branch.implied = not any("type" in part.schema for part in parts)
        return _alternatives(at, notes, branches)

    def _flat(
        self, parts: Iterable[_Part], chain: frozenset[str]
    ) -> tuple[list[_Part], str | None, frozenset[str]]:
        """The parts without `allOf` and `$ref`; or the reference that they consist of alone."""
        todo, flat, followed = list(parts), list[_Part](), set[str]()
        first = todo[0].at if todo else ""
        while True:
            refs: dict[str, _Part] = {}
            while todo:
                schema, at = todo.pop(0)
                if schema is False:
                    raise _ImpossibleError("false", at)
                if schema is True:
                    continue
                if "$dynamicRef" in schema:
                    raise CannotEnforceError("$dynamicRef", at, "it cannot be said")
                todo[:0] = [
                    _Part(sub, f"{at}/allOf/{number}")
                    for number, sub in enumerate(schema.get("allOf", ()))
                ]
                if rest := _without(_Part(schema, at), "allOf", "$ref"):
                    flat.append(rest)
                if "$ref" in schema:
                    pointer = self._pointer(schema["$ref"], at)
                    if pointer not in followed:
                        refs[pointer] = _Part(self._at(pointer), pointer)
            if not refs:
                return flat or [_Part({}, first)], None, chain
            remarks = not any(_ASSERTIONS & part.schema.keys() for part in flat)
            if len(refs) == 1 and remarks and not followed:
                return [_Part({}, first), *flat], next(iter(refs)), chain
            if circular := refs.keys() & chain:
                return self._circular(first, flat, refs), min(circular), chain
            chain |= refs.keys()
            followed |= refs.keys()
            todo = list(refs.values())

    def _circular(self, at: str, flat: list[_Part], refs: dict[str, _Part]) -> list[_Part]:
        """The parts beside a reference to what they are in: all that they say is left out."""
        for part in flat:
            for keyword in _ASSERTIONS & part.schema.keys():
                self._loosen(keyword, part.at)
        if len(refs) > 1:
            self._loosen("allOf", at)
        return [_Part({}, at), *flat]

    def _values(self, parts: list[_Part], part: _Part, keyword: str, notes: dict[str, str]) -> Node:
        values = part.schema[keyword] if keyword == "enum" else [part.schema[keyword]]
        valid = [self._validator.evolve(schema=each.schema).is_valid for each in parts]
        kept = {
            json.dumps(value, sort_keys=True): value
            for value in values
            if all(holds(value) for holds in valid)
        }
        if not kept:
            raise _ImpossibleError(keyword, part.at)
        return Values(part.at, notes, list(kept.values()))

    def _union(
        self,
        parts: list[_Part],
        part: _Part,
        keyword: str,
        notes: dict[str, str],
        chain: frozenset[str],
    ) -> Node:
        index = parts.index(part)
        others = [*parts[:index], _without(part, keyword), *parts[index + 1 :]]
        subs = part.schema[keyword]
        size = len(subs)
        for number, other in enumerate(others):
            for key in ("anyOf", "oneOf"):
                size *= len(other.schema.get(key, (1,)))
                if key in other.schema and size > _MOST_BRANCHES:
                    self._loosen(key, other.at)
                    others[number] = _without(others[number], key)
        others = [_without(other, "title", "description") for other in others]
        branches = self._possible(
            self._later([*others, _Part(sub, f"{part.at}/{keyword}/{number}")], chain)
            for number, sub in enumerate(subs)
        )
        if keyword == "oneOf" and not self._exclusive(branches):
            self._loosen(keyword, part.at)
        return _alternatives(part.at, notes, branches)

    def _later(self, parts: list[_Part], chain: frozenset[str]) -> Callable[[], Node]:
        return lambda: self._node(parts, chain)

    def _possible(self, made: Iterable[Callable[[], Node]]) -> list[Node]:
        """The nodes that some value obeys. Raises `_ImpossibleError` if there are none."""
        nodes, impossible = list[Node](), None
        for make in made:
            try:
                nodes.append(make())
            except _ImpossibleError as error:
                impossible = error
        if impossible is not None and not nodes:
            raise impossible
        return nodes

    def _exclusive(self, branches: Sequence[Node]) -> bool:
        """Whether it is certain that no value obeys two of the branches."""
        return all(_apart(one, other) for one, other in itertools.combinations(branches, 2))

    def _typed(
        self, name: str, parts: list[_Part], at: str, chain: frozenset[str]
    ) -> Callable[[], Node]:
        if name == "object":
            return lambda: self._object(parts, at, chain)
        if name == "array":
            return lambda: self._array(parts, at, chain)
        return lambda: self._scalar(name, parts, at)

    def _scalar(self, name: str, parts: list[_Part], at: str) -> Node:
        keywords: dict[str, tuple[Any, str]] = {}
        group = _KEYWORDS_OF.get("number" if name == "integer" else name, ())
        for keyword, value, place in _found(parts, group):
            if keyword == "format" and value not in FORMATS:
                continue
            if keyword in keywords:
                keywords[keyword] = self._both(keyword, keywords[keyword], (value, place))
            else:
                keywords[keyword] = (value, place)
        if name == "integer":
            keywords = _whole(keywords)
        _check_bounds(keywords, ("minimum", "maximum"), ("minLength", "maxLength"))
        return Scalar(at, {}, name, keywords)

    def _both(self, keyword: str, one: tuple[Any, str], other: tuple[Any, str]) -> tuple[Any, str]:
        """What holds if a keyword is there twice."""
        if keyword in ("minLength", "minItems", "minimum", "exclusiveMinimum"):
            return max(one, other)
        if keyword in ("maxLength", "maxItems", "maximum", "exclusiveMaximum"):
            return min(one, other)
        if one[0] != other[0]:
            self._loosen(keyword, other[1])
        return one

    def _array(self, parts: list[_Part], at: str, chain: frozenset[str]) -> Node:
        keywords: dict[str, tuple[Any, str]] = {}
        for keyword, value, place in _found(parts, ("minItems", "maxItems")):
            held = keywords.get(keyword, (value, place))
            keywords[keyword] = self._both(keyword, held, (value, place))
        for keyword, value, place in _found(parts, ("uniqueItems", "contains", "unevaluatedItems")):
            single = keywords.get("maxItems", (2, ""))[0] <= 1
            if value is not False and not (keyword == "uniqueItems" and single):
                self._loosen(keyword, place)
        _check_bounds(keywords, ("minItems", "maxItems"))
        length = max((len(part.schema.get("prefixItems", ())) for part in parts), default=0)
        rest_parts = [
            _Part(part.schema["items"], f"{part.at}/items")
            for part in parts
            if "items" in part.schema
        ]
        closed = any(sub.schema is False for sub in rest_parts) or any(
            part.schema.get("unevaluatedItems") is False for part in parts
        )
        least = keywords.get("minItems", (0, at))[0]
        prefix = [self._node(_entry(parts, number), chain) for number in range(length)]
        rest: Node | None = None
        if rest_parts and not closed:
            with contextlib.suppress(_ImpossibleError):
                rest = self._node(rest_parts, chain)
        elif not closed and (not length or least > length):
            rest = Anything(f"{at}/items", {})
        if rest is None and least > length:
            raise _ImpossibleError("minItems", at)
        return Array(at, {}, prefix, rest, keywords)

    def _object(self, parts: list[_Part], at: str, chain: frozenset[str]) -> Node:
        required = dict.fromkeys(name for part in parts for name in part.schema.get("required", ()))
        names = dict.fromkeys(name for part in parts for name in part.schema.get("properties", ()))
        properties: dict[str, Node] = {}
        for name in {**names, **required}:
            try:
                properties[name] = self._node(_member(parts, name, at), chain)
            except _ImpossibleError:
                if name in required:
                    raise
        try:
            rest = self._rest(parts, at, bool(properties), chain)
        except _ImpossibleError:
            rest = None
        self._count_limits(parts, properties, required, rest)
        closed = any(
            False in (schema.get("additionalProperties"), schema.get("unevaluatedProperties"))
            and "patternProperties" not in schema
            for schema, _ in parts
        )
        return Object(at, {}, properties, list(required), rest, closed)

    def _rest(
        self, parts: list[_Part], at: str, has_names: bool, chain: frozenset[str]
    ) -> Node | None:
        """What further properties of an object may be; None if there are none."""
        patterns = [
            _Part(sub, f"{part.at}/patternProperties/{_token(pattern)}")
            for part in parts
            for pattern, sub in part.schema.get("patternProperties", {}).items()
        ]
        further = [
            _Part(part.schema[key], f"{part.at}/{key}")
            for part in parts
            for key in ("additionalProperties", "unevaluatedProperties")
            if key in part.schema
        ]
        closed = any(part.schema is False for part in further)
        schemas = [part for part in further if isinstance(part.schema, dict)]
        if patterns:
            if closed or schemas or len(patterns) > 1:
                for part in patterns:
                    self._loosen("patternProperties", part.at.rsplit("/", 2)[0])
            groups = [[part] for part in patterns] + ([schemas] if schemas and not closed else [])
            branches = self._possible(self._later(group, chain) for group in groups)
            return _alternatives(at, {}, branches)
        if closed:
            return None
        if schemas:
            return self._node(schemas, chain)
        if further or not has_names:
            return Anything(f"{at}/additionalProperties", {})
        return None

    def _count_limits(
        self,
        parts: list[_Part],
        properties: dict[str, Node],
        required: dict[str, None],
        rest: Node | None,
    ) -> None:
        """Leave out what is said about names and their number, unless it holds anyway."""
        for part in parts:
            schema = part.schema
            if schema.get("minProperties", 0) > len(required):
                self._loosen("minProperties", part.at)
            most = schema.get("maxProperties", math.inf)
            if most < len(properties) or (rest is not None and most < math.inf):
                self._loosen("maxProperties", part.at)
            if "propertyNames" in schema:
                holds = self._validator.evolve(schema=schema["propertyNames"]).is_valid
                if rest is not None or not all(map(holds, properties)):
                    self._loosen("propertyNames", part.at)
            needed = itertools.chain(*schema.get("dependentRequired", {}).values())
            if not required.keys() >= set(needed):
                self._loosen("dependentRequired", part.at)
            if "dependentSchemas" in schema:
                self._loosen("dependentSchemas", part.at)


def _direct(node: Node, definitions: Mapping[str, Node], found: set[str]) -> set[str]:
    """The definitions of which a value of the node is itself one; added to those that are found."""
    if isinstance(node, Alternatives):
        for branch in node.branches:
            _direct(branch, definitions, found)
    if isinstance(node, Reference) and node.name not in found:
        found.add(node.name)
        _direct(definitions[node.name], definitions, found)
    return found


def _check_bounds(keywords: dict[str, tuple[Any, str]], *pairs: tuple[str, str]) -> None:
    for low, high in pairs:
        if low in keywords and high in keywords and keywords[low][0] > keywords[high][0]:
            raise _ImpossibleError(low, keywords[low][1])


def _notes(parts: Iterable[_Part]) -> dict[str, str]:
    notes: dict[str, str] = {}
    for part in parts:
        for key in ("title", "description"):
            if isinstance(part.schema.get(key), str):
                notes.setdefault(key, part.schema[key])
    return notes


def _without(part: _Part, *keywords: str) -> _Part:
    """A part without some keywords."""
    kept = {key: value for key, value in part.schema.items() if key not in keywords}
    return _Part(kept, part.at)


def _found(parts: Iterable[_Part], keywords: Sequence[str]) -> Iterator[tuple[str, Any, str]]:
    for part in parts:
        for keyword in keywords:
            if keyword in part.schema:
                yield keyword, part.schema[keyword], part.at


def _alternatives(at: str, notes: dict[str, str], branches: list[Node]) -> Node:
    """The node of some branches; a branch that is itself one of alternatives joins in."""
    flat: list[Node] = []
    for branch in branches:
        inner = isinstance(branch, Alternatives) and not branch.notes
        flat += branch.branches if isinstance(branch, Alternatives) and inner else [branch]
    if len(flat) == 1:
        flat[0].notes = {**flat[0].notes, **notes}
        return flat[0]
    return Alternatives(at, notes, flat)


def _types(parts: Iterable[_Part]) -> list[str] | None:
    """The types that all parts allow, or that their keywords imply; None if any value is."""
    allowed: list[str] | None = None
    implied: set[str] = set()
    for part in parts:
        if "type" in part.schema:
            given = part.schema["type"]
            names = [given] if isinstance(given, str) else given
            allowed = names if allowed is None else _in_both(allowed, names)
        implied |= {
            name for name, keys in _KEYWORDS_OF.items() if any(key in part.schema for key in keys)
        }
    if allowed is None:
        return [name for name in TYPES if name in implied] or None
    return [name for name in dict.fromkeys(allowed) if name != "integer" or "number" not in allowed]


def _in_both(one: Sequence[str], other: Sequence[str]) -> list[str]:
    both = [name for name in one if name in other]
    for names, others in ((one, other), (other, one)):
        if "integer" in names and "number" in others and "integer" not in both:
            both.append("integer")
    return both


def _whole(keywords: dict[str, tuple[Any, str]]) -> dict[str, tuple[Any, str]]:
    """The bounds of an integer, as integers."""
    whole = {key: value for key, value in keywords.items() if key == "multipleOf"}
    bounds = (
        ("minimum", "minimum", math.ceil, max),
        ("minimum", "exclusiveMinimum", lambda bound: math.floor(bound) + 1, max),
        ("maximum", "maximum", math.floor, min),
        ("maximum", "exclusiveMaximum", lambda bound: math.ceil(bound) - 1, min),
    )
    for name, keyword, rounded, tighter in bounds:
        if keyword in keywords:
            value, place = keywords[keyword]
            bound = (rounded(value), place)
            whole[name] = tighter(whole[name], bound) if name in whole else bound
    return whole


def _entry(parts: Iterable[_Part], number: int) -> list[_Part]:
    """What holds for an entry of a list that some part has a prefix for."""
    entry = []
    for part in parts:
        prefix = part.schema.get("prefixItems", ())
        if number < len(prefix):
            entry.append(_Part(prefix[number], f"{part.at}/prefixItems/{number}"))
        elif "items" in part.schema:
            entry.append(_Part(part.schema["items"], f"{part.at}/items"))
    return entry


def _member(parts: Iterable[_Part], name: str, at: str) -> list[_Part]:
    """What holds for a property of an object."""
    member = []
    for part in parts:
        schema = part.schema
        named = False
        if name in schema.get("properties", {}):
            named = True
            member.append(_Part(schema["properties"][name], f"{part.at}/properties/{_token(name)}"))
        for pattern, sub in schema.get("patternProperties", {}).items():
            if _matches(pattern, name, part.at):
                named = True
                member.append(_Part(sub, f"{part.at}/patternProperties/{_token(pattern)}"))
        if not named and "additionalProperties" in schema:
            place = f"{part.at}/additionalProperties"
            member.append(_Part(schema["additionalProperties"], place))
    return member or [_Part({}, f"{at}/properties/{_token(name)}")]


def _matches(pattern: str, name: str, at: str) -> bool:
    try:
        return found(pattern, name)
    except (PatternError, SlowPatternError) as error:
        raise CannotEnforceError("patternProperties", at, f"{pattern!r}: {error}") from error


def _token(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _apart(one: Node, other: Node) -> bool:
    """Whether it is certain that no value obeys both nodes."""
    if isinstance(one, Object) and isinstance(other, Object):
        for name in one.required:
            mine, theirs = one.properties.get(name), other.properties.get(name)
            if mine is not None and theirs is None and other.closed:
                return True
            if name in other.required and mine and theirs and _apart(mine, theirs):
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
