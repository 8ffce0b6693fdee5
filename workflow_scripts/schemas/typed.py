"""The nodes of one type each: what the parts of a schema say together of a value of that type."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from .nodes import FORMATS, Anything, Array, Node, Object, Scalar, alternatives
from .parts import KEYWORDS_OF, ImpossibleError, Part, entry, member, said, token


class Maker(Protocol):
    """What the nodes of a type are made with."""

    def node(self, parts: Iterable[Part], chain: frozenset[str]) -> Node:
        """Return what all parts allow together; ``chain``: the references followed to them."""

    def possible(self, made: Iterable[Callable[[], Node]]) -> list[Node]:
        """Return the nodes that some value obeys.

        Raises:
            ImpossibleError: there are none.
        """

    def loosen(self, keyword: str, at: str) -> None:
        """Name a keyword that is left out."""

    def holds(self, schema: Any) -> Callable[[Any], bool]:
        """Return whether values obey a part of the schema."""


class TypedNodes:
    """Makes the nodes of one type.

    Args:
        make: makes the nodes inside them.
    """

    def __init__(self, make: Maker) -> None:
        self._make = make

    def of(self, name: str, parts: list[Part], at: str, chain: frozenset[str]) -> Node:
        """Return what all parts say of the values of a type.

        Raises:
            ImpossibleError: no value obeys them.
        """
        if name == "object":
            return self._object(parts, at, chain)
        if name == "array":
            return self._array(parts, at, chain)
        return self._scalar(name, parts, at)

    def _scalar(self, name: str, parts: list[Part], at: str) -> Node:
        """What all parts say of a string, a number, an integer, a boolean or null."""
        keywords: dict[str, tuple[Any, str]] = {}
        group = KEYWORDS_OF.get("number" if name == "integer" else name, ())
        for keyword, value, place in said(parts, group):
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
            self._make.loosen(keyword, other[1])
        return one

    def _array(self, parts: list[Part], at: str, chain: frozenset[str]) -> Node:
        """What all parts say of a list."""
        keywords: dict[str, tuple[Any, str]] = {}
        for keyword, value, place in said(parts, ("minItems", "maxItems")):
            held = keywords.get(keyword, (value, place))
            keywords[keyword] = self._both(keyword, held, (value, place))
        for keyword, value, place in said(parts, ("uniqueItems", "contains", "unevaluatedItems")):
            single = keywords.get("maxItems", (2, ""))[0] <= 1
            if value is not False and not (keyword == "uniqueItems" and single):
                self._make.loosen(keyword, place)
        _check_bounds(keywords, ("minItems", "maxItems"))
        length = max((len(part.schema.get("prefixItems", ())) for part in parts), default=0)
        rest_parts = [
            Part(part.schema["items"], f"{part.at}/items")
            for part in parts
            if "items" in part.schema
        ]
        closed = any(sub.schema is False for sub in rest_parts) or any(
            part.schema.get("unevaluatedItems") is False for part in parts
        )
        least = keywords.get("minItems", (0, at))[0]
        prefix = [self._make.node(entry(parts, number), chain) for number in range(length)]
        rest: Node | None = None
        if rest_parts and not closed:
            with contextlib.suppress(ImpossibleError):
                rest = self._make.node(rest_parts, chain)
        elif not closed and (not length or least > length):
            rest = Anything(f"{at}/items", {})
        if rest is None and least > length:
            raise ImpossibleError("minItems", at)
        return Array(at, {}, prefix, rest, keywords)

    def _object(self, parts: list[Part], at: str, chain: frozenset[str]) -> Node:
        """What all parts say of an object."""
        required = dict.fromkeys(name for part in parts for name in part.schema.get("required", ()))
        names = dict.fromkeys(name for part in parts for name in part.schema.get("properties", ()))
        properties: dict[str, Node] = {}
        for name in {**names, **required}:
            try:
                properties[name] = self._make.node(member(parts, name, at), chain)
            except ImpossibleError:
                if name in required:
                    raise
        try:
            rest = self._rest(parts, at, bool(properties), chain)
        except ImpossibleError:
            rest = None
        self._count_limits(parts, properties, required, rest)
        closed = any(
            False in (schema.get("additionalProperties"), schema.get("unevaluatedProperties"))
            and "patternProperties" not in schema
            for schema, _ in parts
        )
        return Object(at, {}, properties, list(required), rest, closed)

    def _rest(
        self, parts: list[Part], at: str, has_names: bool, chain: frozenset[str]
    ) -> Node | None:
        """What further properties of an object may be; None if there are none."""
        patterns = [
            Part(sub, f"{part.at}/patternProperties/{token(pattern)}")
            for part in parts
            for pattern, sub in part.schema.get("patternProperties", {}).items()
        ]
        further = [
            Part(part.schema[key], f"{part.at}/{key}")
            for part in parts
            for key in ("additionalProperties", "unevaluatedProperties")
            if key in part.schema
        ]
        closed = any(part.schema is False for part in further)
        schemas = [part for part in further if isinstance(part.schema, dict)]
        if patterns:
            if closed or schemas or len(patterns) > 1:
                for part in patterns:
                    self._make.loosen("patternProperties", part.at.rsplit("/", 2)[0])
            groups = [[part] for part in patterns] + ([schemas] if schemas and not closed else [])
            branches = self._make.possible(
                functools.partial(self._make.node, group, chain) for group in groups
            )
            return alternatives(at, {}, branches)
        if closed:
            return None
        if schemas:
            return self._make.node(schemas, chain)
        if further or not has_names:
            return Anything(f"{at}/additionalProperties", {})
        return None

    def _count_limits(
        self,
        parts: list[Part],
        properties: dict[str, Node],
        required: dict[str, None],
        rest: Node | None,
    ) -> None:
        """Leave out what is said about names and their number, unless it holds anyway."""
        for part in parts:
            schema = part.schema
            if schema.get("minProperties", 0) > len(required):
                self._make.loosen("minProperties", part.at)
            most = schema.get("maxProperties", math.inf)
            if most < len(properties) or (rest is not None and most < math.inf):
                self._make.loosen("maxProperties", part.at)
            if "propertyNames" in schema:
                holds = self._make.holds(schema["propertyNames"])
                if rest is not None or not all(map(holds, properties)):
                    self._make.loosen("propertyNames", part.at)
            needed = itertools.chain(*schema.get("dependentRequired", {}).values())
            if not required.keys() >= set(needed):
                self._make.loosen("dependentRequired", part.at)
            if "dependentSchemas" in schema:
                self._make.loosen("dependentSchemas", part.at)


def _check_bounds(keywords: dict[str, tuple[Any, str]], *pairs: tuple[str, str]) -> None:
    for low, high in pairs:
        if low in keywords and high in keywords and keywords[low][0] > keywords[high][0]:
            raise ImpossibleError(low, keywords[low][1])


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
