"""JSON schemas in a normal form: few kinds of nodes, from which each dialect is written.

`allOf`, keywords beside `$ref`, `anyOf` or `enum`, and lists of types are rewritten, so that a node
says one thing. The rewriting is exact, or allows less: an object whose schema does not mention
further properties has none, and keywords for one type alone imply it. What the form cannot express
is left out and named.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .dialect import CannotEnforceError, Loosened
from .nodes import Anything, Node, Normal, Reference, Values, alternatives, apart, direct
from .parts import ASSERTIONS, ImpossibleError, Part, notes_of, types_of, without
from .references import References
from .typed import TypedNodes

_MOST_NODES = 20_000
_MOST_BRANCHES = 64


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
        self._references = References(schema)
        self._definitions: dict[str, Node] = {}
        self._loosened: dict[Loosened, None] = {}
        self._nodes = 0
        self._typed = TypedNodes(self)

    def normal(self) -> Normal:
        names = self._references.names
        try:
            root = self.node([Part(self._schema, "")], frozenset())
            while missing := [name for name in names if name not in self._definitions]:
                for pointer in missing:
                    part = Part(self._references.schema_at(pointer), pointer)
                    self._definitions[pointer] = self.node([part], frozenset((pointer,)))
        except ImpossibleError as error:
            raise CannotEnforceError(error.keyword, error.at, "no value is allowed") from error
        except RecursionError as error:
            raise CannotEnforceError("schema", "", "it is nested too deeply") from error
        named = {names[pointer]: node for pointer, node in self._definitions.items()}
        for pointer, node in self._definitions.items():
            if names[pointer] in direct(node, named, set()):
                why = "it refers to itself and says nothing else"
                raise CannotEnforceError("$ref", pointer, why)
        return Normal(root, named, list(self._loosened))

    def holds(self, schema: Any) -> Callable[[Any], bool]:
        """Return whether values obey a part of the schema."""
        is_valid: Callable[[Any], bool] = self._validator.evolve(schema=schema).is_valid
        return is_valid

    def loosen(self, keyword: str, at: str) -> None:
        """Name a keyword that is left out."""
        self._loosened[Loosened(keyword, f"{at}/{keyword}")] = None

    def node(self, parts: Iterable[Part], chain: frozenset[str]) -> Node:
        """Return what all parts allow together; ``chain``: the references followed to them."""
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise CannotEnforceError("schema", "", "it is too large, or its parts multiply")
        parts, alone, chain = self._flat(parts, chain)
        at = parts[0].at if parts else ""
        notes = notes_of(parts)
        if alone is not None:
            return Reference(at, notes, self._references.named(alone))
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
                    self.loosen(keyword, part.at)
        types = types_of(parts)
        if types is None:
            return Anything(at, notes)
        if not types:
            raise ImpossibleError("type", at)
        branches = self.possible(
            functools.partial(self._typed.of, name, parts, at, chain) for name in types
        )
        for branch in branches:
            branch.implied = not any("type" in part.schema for part in parts)
        return alternatives(at, notes, branches)

    def _flat(
        self, parts: Iterable[Part], chain: frozenset[str]
    ) -> tuple[list[Part], str | None, frozenset[str]]:
        """The parts without `allOf` and `$ref`; or the reference that they consist of alone."""
        todo, flat, followed = list(parts), list[Part](), set[str]()
        first = todo[0].at if todo else ""
        while True:
            refs: dict[str, Part] = {}
            while todo:
                schema, at = todo.pop(0)
                if schema is False:
                    raise ImpossibleError("false", at)
                if schema is True:
                    continue
                if "$dynamicRef" in schema:
                    raise CannotEnforceError("$dynamicRef", at, "it cannot be said")
                todo[:0] = [
                    Part(sub, f"{at}/allOf/{number}")
                    for number, sub in enumerate(schema.get("allOf", ()))
                ]
                if rest := without(Part(schema, at), "allOf", "$ref"):
                    flat.append(rest)
                if "$ref" in schema:
                    pointer = self._references.pointer(schema["$ref"], at)
                    if pointer not in followed:
                        refs[pointer] = Part(self._references.schema_at(pointer), pointer)
            if not refs:
                return flat or [Part({}, first)], None, chain
            remarks = not any(ASSERTIONS & part.schema.keys() for part in flat)
            if len(refs) == 1 and remarks and not followed:
                return [Part({}, first), *flat], next(iter(refs)), chain
            if circular := refs.keys() & chain:
                return self._circular(first, flat, refs), min(circular), chain
            chain |= refs.keys()
            followed |= refs.keys()
            todo = list(refs.values())

    def _circular(self, at: str, flat: list[Part], refs: dict[str, Part]) -> list[Part]:
        """The parts beside a reference to what they are in: all that they say is left out."""
        for part in flat:
            for keyword in (key for key in part.schema if key in ASSERTIONS):
                self.loosen(keyword, part.at)
        if len(refs) > 1:
            self.loosen("allOf", at)
        return [Part({}, at), *flat]

    def _values(self, parts: list[Part], part: Part, keyword: str, notes: dict[str, str]) -> Node:
        values = part.schema[keyword] if keyword == "enum" else [part.schema[keyword]]
        valid = [self.holds(each.schema) for each in parts]
        kept = {
            json.dumps(value, sort_keys=True): value
            for value in values
            if all(holds(value) for holds in valid)
        }
        if not kept:
            raise ImpossibleError(keyword, part.at)
        return Values(part.at, notes, list(kept.values()))

    def _union(
        self,
        parts: list[Part],
        part: Part,
        keyword: str,
        notes: dict[str, str],
        chain: frozenset[str],
    ) -> Node:
        index = parts.index(part)
        others = [*parts[:index], without(part, keyword), *parts[index + 1 :]]
        subs = part.schema[keyword]
        size = len(subs)
        for number, other in enumerate(others):
            for key in ("anyOf", "oneOf"):
                size *= len(other.schema.get(key, (1,)))
                if key in other.schema and size > _MOST_BRANCHES:
                    self.loosen(key, other.at)
                    others[number] = without(others[number], key)
        others = [without(other, "title", "description") for other in others]
        branches = self.possible(
            functools.partial(
                self.node, [*others, Part(sub, f"{part.at}/{keyword}/{number}")], chain
            )
            for number, sub in enumerate(subs)
        )
        if keyword == "oneOf" and not self._exclusive(branches):
            self.loosen(keyword, part.at)
        return alternatives(part.at, notes, branches)

    def possible(self, made: Iterable[Callable[[], Node]]) -> list[Node]:
        """Return the nodes that some value obeys.

        Raises:
            ImpossibleError: there are none.
        """
        nodes, impossible = list[Node](), None
        for make in made:
            try:
                nodes.append(make())
            except ImpossibleError as error:
                impossible = error
        if impossible is not None and not nodes:
            raise impossible
        return nodes

    def _exclusive(self, branches: Sequence[Node]) -> bool:
        """Whether it is certain that no value obeys two of the branches."""
        return all(apart(one, other) for one, other in itertools.combinations(branches, 2))
