"""JSON schemas as llguidance enforces them, which llama.cpp asks which tokens may come next.

llguidance refuses keywords that it does not know. Here these are removed and listed. Patterns and
formats are rewritten so that they mean the same as in `validation`.
https://github.com/guidance-ai/llguidance/blob/main/docs/json_schema.md
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from .dialect import CannotEnforceError, Loosened, Schema, Sent, ordered_text
from .formats import FORMATS
from .llguidance_formats import PATTERNS
from .patterns import translated
from .subschemas import children, pointer, subschemas, with_children
from .validation import SchemaError, read_schema

_NOT_ENFORCED = frozenset(
    {
        "$dynamicRef",
        "contains",
        "dependentRequired",
        "dependentSchemas",
        "if",
        "not",
        "propertyNames",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
    }
)
"""Keywords that llguidance does not know."""

_IGNORED = frozenset(
    {
        *("minContains", "maxContains", "then", "else"),  # they belong to one of the above
        *("$schema", "$vocabulary", "$dynamicAnchor", "x-guidance"),
    }
)
"""Keywords that add nothing to those above, and settings of llguidance."""

_CONDITIONAL = ("oneOf", "pattern", "patternProperties", "minProperties", "maxProperties")
"""Keywords that llguidance enforces in some schemas: for example patterns without look-around, and
``oneOf`` if its alternatives provably exclude each other.
"""

_SETTINGS = {"whitespace_flexible": False}
"""No white space between tokens of JSON: a weak model could repeat it up to the token limit."""


class _Place(NamedTuple):
    """A keyword in the subschema at a pointer."""

    pointer: str
    keyword: str


def translate(schema: Schema) -> Sent:
    """Return the part of a schema that llguidance enforces.

    Raises:
        CannotEnforceError: it is no schema, too large, or no value can obey it.
    """
    try:
        read_schema(schema)
    except SchemaError as error:
        keyword = error.pointer.rpartition("/")[2] or "schema"
        raise CannotEnforceError(keyword, error.pointer, error.problem) from error
    kept, loosened = _without_unknown(schema)
    if _problem(kept) is not None:
        conditional = [
            _Place(pointer(path), keyword)
            for path, each in subschemas(kept)
            if isinstance(each, dict)
            for keyword in _CONDITIONAL
            if keyword in each
        ]
        removed = _to_remove(kept, conditional)
        loosened += [
            Loosened(place.keyword, f"{place.pointer}/{place.keyword}") for place in removed
        ]
        kept = _without(kept, removed)
    return Sent(kept, tuple(sorted(loosened, key=lambda each: each.pointer)))


def grammar(schema: Schema) -> str:
    """Return a translated schema as llguidance and llama.cpp read it."""
    text = ordered_text({**_rewritten(dict(schema)), "x-guidance": _SETTINGS})
    return f"%llguidance {{}}\nstart: %json {text}\n"


@functools.cache
def byte_tokenizer() -> LLTokenizer:
    """Return a tokenizer whose tokens are the bytes 0 to 255, and 256 as the end."""
    return LLTokenizer(TokenizerWrapper(_Bytes()))


class _Bytes:
    """The vocabulary of `byte_tokenizer`, as llguidance wants it."""

    eos_token_id = 256
    bos_token_id = None
    tokens: Sequence[bytes] = (*(bytes([each]) for each in range(256)), b"<end>")
    special_token_ids = (256,)

    def __call__(self, text: bytes) -> list[int]:
        return list(text)


def _without_unknown(schema: Schema) -> tuple[dict[str, Any], list[Loosened]]:
    """Return a copy of a schema without the keywords that llguidance does not know, and these."""
    whole: dict[str, Any] = json.loads(ordered_text(schema))
    loosened: list[Loosened] = []
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), whole)]
    while waiting:
        path, each = waiting.pop()
        if not isinstance(each, dict):
            continue
        for keyword in list(each):
            beyond = _is_beyond(keyword, each)
            if beyond:
                loosened.append(Loosened(keyword, pointer((*path, keyword))))
            if beyond or keyword in _NOT_ENFORCED | _IGNORED:
                del each[keyword]
        waiting += [((*path, *step), child) for step, child in children(each)]
    return whole, loosened


def _is_beyond(keyword: str, schema: dict[str, Any]) -> bool:
    """Return whether llguidance never enforces a keyword of a schema."""
    value = schema[keyword]
    if keyword == "format":
        return value in FORMATS and value not in PATTERNS
    if keyword == "minProperties":  # a name could be repeated to reach it
        return bool(value > len(schema.get("required", ())) + 1)
    return keyword in _NOT_ENFORCED and (keyword, value) != ("uniqueItems", False)


def _to_remove(schema: dict[str, Any], places: Sequence[_Place]) -> list[_Place]:
    """Return as few of the places as need to be removed for llguidance to take the schema.

    Raises:
        CannotEnforceError: it does not take the schema without all of them either.
    """
    problem = _problem(_without(schema, places))
    if problem is not None:
        raise CannotEnforceError("schema", "", problem)
    removed = set(places)

    def restore(group: Sequence[_Place]) -> None:
        nonlocal removed
        fewer = removed - set(group)
        if _problem(_without(schema, fewer)) is None:
            removed = fewer
        elif len(group) > 1:
            half = len(group) // 2
            restore(group[:half])
            restore(group[half:])

    restore(places)
    return [place for place in places if place in removed]


def _without(schema: dict[str, Any], places: Collection[_Place]) -> dict[str, Any]:
    """Return a copy of a schema without these keywords; ``oneOf`` becomes ``anyOf``."""
    whole: dict[str, Any] = json.loads(ordered_text(schema))
    nodes = {pointer(path): each for path, each in subschemas(whole)}
    for place in places:
        node = nodes[place.pointer]
        value = node.pop(place.keyword)
        if place.keyword == "oneOf":
            node["allOf"] = [*node.get("allOf", ()), {"anyOf": value}]
    return whole


def _problem(schema: Schema) -> str | None:
    """Return why llguidance does not take a schema, None if it does."""
    matcher = LLMatcher(byte_tokenizer(), grammar(schema), log_level=0)
    if not matcher.is_error():
        return None
    first_line, *_ = matcher.get_error().splitlines()
    return first_line.partition("failed to compile JSON schema: ")[2] or first_line


def _rewritten(schema: Any) -> Any:
    """Return a schema with patterns and formats as patterns of Rust."""
    if not isinstance(schema, dict):
        return schema
    copy = with_children(schema, _rewritten)
    if "pattern" in copy:
        copy["pattern"] = _rust(copy["pattern"])
    if "patternProperties" in copy:
        copy["patternProperties"] = {
            _rust(pattern): child for pattern, child in copy["patternProperties"].items()
        }
    form = PATTERNS.get(copy.pop("format", ""))
    if form is not None:
        copy["allOf"] = [*copy.get("allOf", ()), {"pattern": f"^(?:{form})$"}]
    return copy


def _rust(pattern: str) -> str:
    return translated(pattern, end=r"\z")
