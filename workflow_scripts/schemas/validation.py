"""JSON Schemas (2020-12), checked once, and answers validated against them.

`jsonschema` validates. Replaced are the parts of it that a schema or an answer could make slow
(patterns, ``uniqueItems``), that round (``multipleOf``), or that are laxer than the standard
(formats). Nothing is ever fetched: a ``$ref`` leads to a place in its own schema.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator, ValidationError, validators
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from .formats import format_checker
from .patterns import PatternError, SlowPatternError, compiled, found
from .subschemas import Path, children, pointer, subschemas, with_children

Errors = Iterator[ValidationError]

MAX_CHARACTERS = 200_000
"""The longest schema, as JSON text."""

MAX_DEPTH = 64
"""How deeply objects and lists may be nested, in schemas and in answers."""

MAX_STEPS = 100_000
"""The most keywords that are looked at for one answer: some seconds."""

_MESSAGE = 200
"""Characters of a message about an answer that are kept."""

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DIALECTS = (
    _DIALECT,
    "https://json-schema.org/draft/2019-09/schema",
    *(f"http://json-schema.org/draft-{number}/schema" for number in ("07", "06", "04")),
)
_OBSOLETE = {
    "$recursiveAnchor": "$dynamicAnchor",
    "$recursiveRef": "$dynamicRef",
    "dependencies": "dependentRequired or dependentSchemas",
    "disallow": "not",
    "divisibleBy": "multipleOf",
    "extends": "allOf",
}
"""Keywords of older drafts that 2020-12 would ignore, and their successors."""


class SchemaError(ValueError):
    """A schema cannot be used: the message names the place in it and what is wrong there.

    Attributes:
        pointer: the JSON pointer of the place; the empty text is the whole schema.
        problem: what is wrong.
    """

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place or 'the schema'}: {problem}")
        self.pointer = place
        self.problem = problem


@dataclass(frozen=True)
class Flaw:
    """The first place at which a value breaks its schema.

    Attributes:
        pointer: the JSON pointer of the place in the value.
        keyword: the keyword of the schema that is broken; empty where it allows no value at all.
        problem: what is wrong, in at most some 200 characters.
    """

    pointer: str
    keyword: str
    problem: str

    def __str__(self) -> str:
        """The flaw in a line."""
        return f"{self.pointer or 'the object'}: {self.problem}"


class Validator:
    """A JSON Schema that values are validated against. Made by `read_schema`."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._validator = _CLASS(
            _without_dialects(schema), format_checker=_FORMATS, registry=Registry()
        )

    def flaw(self, value: Any) -> Flaw | None:
        """Return where a value breaks the schema first, ``None`` where it obeys.

        Raises:
            SchemaError: a pattern takes too long, or a ``$ref`` leads nowhere.
        """
        _WORK.steps = 0
        try:
            error = next(self._validator.iter_errors(value), None)
        except SlowPatternError as slow:
            raise SchemaError(
                "", f"the pattern {slow.pattern!r} takes too long; write it without repetitions of "
                "repetitions"
            ) from slow  # fmt: skip
        except Unresolvable as unresolvable:
            raise SchemaError("", f"$ref leads nowhere ({unresolvable.ref})") from unresolvable
        except RecursionError:
            return Flaw("", "$ref", "it is nested too deeply to be checked, or the schema is")
        except _TooManySteps:
            return Flaw("", "", f"checking takes more than {MAX_STEPS} steps")
        if error is None:
            return None
        message = error.message
        if len(message) > _MESSAGE:
            message = f"{message[: _MESSAGE // 2]} … {message[-_MESSAGE // 2 :]}"
        return Flaw(pointer(error.absolute_path), error.validator or "", message)


def read_schema(schema: Mapping[str, Any]) -> Validator:
    """Return a schema, checked and compiled; equal texts are compiled once.

    Raises:
        SchemaError: it is no schema of 2020-12, or beyond the limits.
    """
    if depth_of(schema, MAX_DEPTH) > MAX_DEPTH:
        raise SchemaError("", f"nested more than {MAX_DEPTH} deep; flatten it with $defs and $ref")
    return _read(json.dumps(schema, ensure_ascii=False))


def depth_of(value: Any, limit: int) -> int:
    """Return how deeply objects and lists are nested: 0 for a text, and at most ``limit + 1``."""
    depth = 0
    level = [value]
    while depth <= limit:
        level = [each for each in level if isinstance(each, dict | list)]
        if not level:
            break
        depth += 1
        level = [
            inner for each in level for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return depth


@lru_cache(maxsize=1024)
def _read(text: str) -> Validator:
    if len(text) > MAX_CHARACTERS:
        raise SchemaError("", f"{len(text)} characters; at most {MAX_CHARACTERS} are checked")
    schema = json.loads(text)
    _check(json.dumps(_without_lists(schema)))
    return Validator(schema)


def _without_lists(schema: Any) -> Any:
    """Return a copy with empty ``enum``: whether a schema is valid does not depend on its names."""
    copy = with_children(schema, _without_lists)
    if isinstance(copy, dict) and isinstance(copy.get("enum"), list):
        copy["enum"] = []
    return copy


class _TooManySteps(Exception):  # noqa: N818 - a signal of this module
    """A value takes more than `MAX_STEPS`."""


@lru_cache(maxsize=1024)
def _check(text: str) -> None:
    """Refuse what is no schema, what older drafts meant otherwise, and what leads elsewhere."""
    plain = _without_dialects(json.loads(text))
    error = next(_META.iter_errors(plain), None)
    if error is not None:
        raise SchemaError(
            pointer(error.absolute_path), f"no JSON Schema of 2020-12 ({error.message[:_MESSAGE]})"
        )
    places = {id(each): path for path, each in subschemas(plain)}
    keywords: dict[str, str] = {}
    waiting = [(plain, Registry().resolver_with_root(DRAFT202012.create_resource(plain)))]
    while waiting:
        schema, resolver = waiting.pop()
        if not isinstance(schema, dict):
            continue
        path = places[id(schema)]
        if path:
            resolver = resolver.in_subresource(DRAFT202012.create_resource(schema))
        keywords.update(dict.fromkeys(schema, pointer(path)))
        _check_keywords(path, schema)
        for keyword in ("$ref", "$dynamicRef"):
            if keyword in schema:
                target = _target((*path, keyword), schema[keyword], resolver)
                if isinstance(target, dict) and id(target) not in places:
                    raise SchemaError(
                        pointer((*path, keyword)),
                        f"{schema[keyword]!r} leads to a place that has no schema; move it into "
                        "$defs",
                    )
        waiting += [(child, resolver) for _, child in children(schema)]
    if "unevaluatedProperties" in keywords and "patternProperties" in keywords:
        raise SchemaError(
            f"{keywords['unevaluatedProperties']}/unevaluatedProperties",
            "not supported in a schema with patternProperties; use additionalProperties",
        )


def _check_keywords(path: tuple[str | int, ...], schema: dict[str, Any]) -> None:
    for keyword, successor in _OBSOLETE.items():
        if keyword in schema:
            raise SchemaError(
                pointer((*path, keyword)), f"no keyword of 2020-12; write {successor}"
            )
    for keyword in ("pattern", "patternProperties"):
        patterns = schema.get(keyword, ())
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            try:
                compiled(pattern)
            except PatternError as error:
                raise SchemaError(pointer((*path, keyword)), f"{pattern!r}: {error}") from error


def _target(path: Path, ref: str, resolver: Any) -> Any:
    try:
        return resolver.lookup(ref).contents
    except Unresolvable as error:
        raise SchemaError(
            pointer(path),
            f"{ref!r} leads nowhere in this schema, and nothing is fetched; copy the target into "
            "$defs",
        ) from error


def _without_dialects(schema: Any) -> Any:
    """Return a copy without ``$schema``: `jsonschema` would go on with its own class there."""
    copy = with_children(schema, _without_dialects)
    if isinstance(schema, dict):
        dialect = copy.pop("$schema", _DIALECT)
        if not isinstance(dialect, str) or dialect.rstrip("#") not in _DIALECTS:
            raise SchemaError("/$schema", f"{dialect!r} is no draft of JSON Schema; use {_DIALECT}")
    return copy


def _pattern(validator: Any, pattern: str, value: Any, _schema: Any) -> Errors:
    if isinstance(value, str) and not found(pattern, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, value: Any, _schema: Any) -> Errors:
    if isinstance(value, dict):
        for pattern, schema in patterns.items():
            for name, inner in value.items():
                if found(pattern, name):
                    yield from validator.descend(inner, schema, path=name, schema_path=pattern)


def _additional_properties(validator: Any, allowed: Any, value: Any, schema: Any) -> Errors:
    if not isinstance(value, dict):
        return
    declared, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, inner in value.items():
        if name in declared or any(found(pattern, name) for pattern in patterns):
            continue
        if allowed is False:
            yield ValidationError(f"the property {name!r} is not allowed")
        else:
            yield from validator.descend(inner, allowed, path=name)


def _unique_items(_validator: Any, wanted: bool, value: Any, _schema: Any) -> Errors:
    if wanted and isinstance(value, list) and len({identity(each) for each in value}) < len(value):
        yield ValidationError("an entry is in the list twice")


def _multiple_of(_validator: Any, divisor: Any, value: Any, _schema: Any) -> Errors:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and (Fraction(str(value)) / Fraction(str(divisor))).denominator != 1:
        yield ValidationError(f"{value!r} is not a multiple of {divisor!r}")


def identity(value: Any) -> Hashable:
    """Return a value that is equal for equal JSON values alone: 1 is 1.0, and not true."""
    if isinstance(value, dict):
        return ("object", frozenset((name, identity(inner)) for name, inner in value.items()))
    if isinstance(value, list):
        return ("list", tuple(identity(each) for each in value))
    return (isinstance(value, bool), value)


class _Work(threading.local):
    """The keywords that were looked at for the value that a thread validates."""

    steps = 0


def _counted(keyword: Callable[..., Any]) -> Callable[..., Any]:
    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        _WORK.steps += 1
        if _WORK.steps > MAX_STEPS:
            raise _TooManySteps
        return keyword(validator, value, instance, schema)

    return check


_WORK = _Work()
_KEYWORDS = {
    **Draft202012Validator.VALIDATORS,
    "additionalProperties": _additional_properties,
    "multipleOf": _multiple_of,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "uniqueItems": _unique_items,
}
_CLASS = validators.extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {name: _counted(keyword) for name, keyword in _KEYWORDS.items()}
)
_FORMATS = format_checker()
_META = Draft202012Validator(Draft202012Validator.META_SCHEMA)
