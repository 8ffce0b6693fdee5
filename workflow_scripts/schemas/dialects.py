"""The dialects in which backends are sent JSON schemas, one table each.

A keyword that a table does not name is left out of the schema and named (`Loosened`). A keyword
that is documented as supported counts as enforced; the sources are beside the tables. Whoever
changes a table, or what is written from it, raises the dialect's version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from .dialect import CannotEnforceError, Dialect, Schema, Sent
from .writer import Table, write

_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_LENGTHS = ("minLength", "maxLength")
_COUNTS = ("minItems", "maxItems")
_COMMON_FORMATS = (
    *("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"),
)

# Patterns

_BEYOND_REGULAR = re.compile(r"\(\?(?!:)|\\[bBpPkxuc0-9]|[*+?}][+?]")


def _regular(pattern: str) -> str | None:
    """A pattern without look-around, back references, word boundaries and lazy quantifiers."""
    return None if _BEYOND_REGULAR.search(pattern) else pattern


_CLASS = r"\[(?!\^)(?:[^\]\\\[\"\x00-\x1f]|\\[^\w\s\"\\])+\]"
_PLAIN = re.compile(
    rf"(?:{_CLASS}|\\[^\w\s\"\\]|\((?:\?:)?|\)|[|*+?]|\{{\d+(?:,\d*)?\}}"
    r"|[^\\\[\](){}*+?|.^$\"\x00-\x1f])++"
)
_SHORT = {"d": "0-9", "w": "A-Za-z0-9_"}


def _of_llama_cpp(pattern: str) -> str | None:
    r"""A pattern as llama.cpp's converter reads it rightly, or None.

    It knows no `\d` and `\w`, wants both anchors, and puts the characters of a class into the JSON
    text as they are: a quotation mark, a backslash or a control character would break the text.
    """
    if not (pattern.startswith("^") and pattern.endswith("$") and _regular(pattern)):
        return None
    inner = re.sub(
        r"(\[[^\]]*\])|\\([dw])",
        lambda found: (
            re.sub(r"\\([dw])", lambda short: _SHORT[short[1]], found[1])
            if found[1]
            else f"[{_SHORT[found[2]]}]"
        ),
        pattern[1:-1],
    )
    if not _PLAIN.fullmatch(inner):
        return None
    for each in re.findall(_CLASS, inner):
        if any(re.fullmatch(each, character) for character in ('"', "\\", "\n", "\x1f")):
            return None
    return f"^{inner}$"


def _of_llama_cpp_server(pattern: str) -> str | None:
    """The same for llama-cpp-python's converter, which knows no groups that capture nothing."""
    said = _of_llama_cpp(pattern)
    return None if said is None else said.replace("(?:", "(")


# Limits


def _nodes(written: Any, depth: int = 0) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield the schemas in a written one, each with the number of objects around it."""
    inner = depth + (written.get("type") == "object")
    yield written, depth
    children = [*written.get("properties", {}).values(), *written.get("anyOf", ())]
    children += [written[key] for key in ("items", "additionalProperties") if key in written]
    children += [*written.get("prefixItems", ()), *written.get("$defs", {}).values()]
    for child in children:
        if isinstance(child, dict):
            yield from _nodes(child, inner)


def _at_most(keyword: str, count: int, most: int, what: str) -> None:
    if count > most:
        raise CannotEnforceError(keyword, "", f"{count} {what}, of which {most} at most are taken")


def _within_openai(schema: Schema) -> None:
    found = list(_nodes(schema))
    enums = [node["enum"] for node, _ in found if "enum" in node]
    texts = [
        *(
            name
            for node, _ in found
            for key in ("properties", "$defs")
            for name in node.get(key, ())
        ),
        *(value for values in enums for value in values if isinstance(value, str)),
    ]
    _at_most("properties", sum(len(node.get("properties", ())) for node, _ in found), 5000, "names")
    _at_most("properties", max(depth for _, depth in found), 10, "levels of objects")
    _at_most("enum", sum(map(len, enums)), 1000, "values")
    _at_most("schema", sum(map(len, texts)), 120_000, "characters in names and values")
    for values in enums:
        if len(values) > 250:
            size = sum(len(value) for value in values if isinstance(value, str))
            _at_most("enum", size, 15_000, "characters in the values of one enum")


def _within_anthropic(schema: Schema) -> None:
    found = [node for node, _ in _nodes(schema)]
    optional = sum(
        len(node.get("properties", ())) - len(node.get("required", ())) for node in found
    )
    unions = sum("anyOf" in node or isinstance(node.get("type"), list) for node in found)
    _at_most("required", optional, 24, "optional properties")
    _at_most("anyOf", unions, 16, "alternatives")


# Tables

_OPENAI = Table(
    string=("pattern", "format"),
    number=(*_BOUNDS, "multipleOf"),
    integer=(*_BOUNDS, "multipleOf"),
    array=_COUNTS,
    formats=_COMMON_FORMATS,
    pattern=_regular,
    open_objects=False,
    optional=False,
    root_is_object=True,
    limits=_within_openai,
)
OPENAI = Dialect("openai_strict", 1, partial(write, _OPENAI))
"""developers.openai.com/api/docs/guides/structured-outputs, "Supported schemas" (2026)."""

_OPENAI_TUNED = Table(
    open_objects=False, optional=False, root_is_object=True, limits=_within_openai
)
OPENAI_TUNED = Dialect("openai_tuned", 1, partial(write, _OPENAI_TUNED))
"""Fine-tuned models take no keyword beyond types and values (same page)."""

_FIREWORKS = Table(anything={})
FIREWORKS = Dialect("fireworks_json", 1, partial(write, _FIREWORKS))
"""docs.fireworks.ai/structured-responses, "JSON Schema support": no lengths, patterns and oneOf.
Bounds and formats are not mentioned, so they do not count as enforced."""

_ANTHROPIC = Table(
    string=("pattern", "format"),
    array=("minItems",),
    formats=(*_COMMON_FORMATS, "uri"),
    pattern=_regular,
    open_objects=False,
    recursive=False,
    most_at_least=1,
    limits=_within_anthropic,
)
ANTHROPIC = Dialect("anthropic_format", 1, partial(write, _ANTHROPIC))
"""platform.claude.com/docs/en/build-with-claude/structured-outputs, "JSON Schema limitations" and
"Schema complexity limits"; anthropic 2.11, `lib/_parse/_transform.py`."""

_GEMINI = Table(
    string=("format",),
    number=("minimum", "maximum"),
    integer=("minimum", "maximum"),
    array=("prefixItems", *_COUNTS),
    formats=("date-time", "date", "time"),
    anything={},
    value_types=("string", "number", "integer"),
)
GEMINI = Dialect("gemini_json_schema", 1, partial(write, _GEMINI))
"""google-genai 3.4, `GenerateContentConfig.response_json_schema` (the list of keywords);
ai.google.dev/gemini-api/docs/structured-output (formats)."""

_VLLM = Table(
    string=("pattern", "format", *_LENGTHS),
    number=_BOUNDS,
    integer=("minimum", "maximum"),
    array=("prefixItems", *_COUNTS),
    formats=("duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"),
    formats_in_part=("date-time", "date", "time"),
    pattern=_regular,
    anything={},
    typed_values=False,
    whole_values=True,
    both=False,
    remarks=False,
)
VLLM = Dialect("vllm", 1, partial(write, _VLLM))
"""vLLM, `v1/structured_output/backend_xgrammar.py` (what it refuses, and that a pattern or format
hides lengths). Of dates, xgrammar checks the digits alone."""

_UNKNOWN = Table(open_objects=False)
UNKNOWN = Dialect("unknown", 1, partial(write, _UNKNOWN))
"""A server that Assay does not know, after it has shown that it enforces a schema at all: types,
values and the names of properties count as enforced."""

_LLAMA_CPP = Table(
    string=("pattern", "format", *_LENGTHS),
    integer=("minimum", "maximum"),
    array=_COUNTS,
    formats=("uuid",),
    formats_in_part=("date-time", "date", "time"),
    pattern=_of_llama_cpp,
    anything={"type": ["object", "array", "string", "number", "boolean", "null"]},
    typed_values=False,
    whole_values=True,
    both=False,
    longest=2000,
    remarks=False,
)
LLAMA_CPP = Dialect("llama_cpp_grammar", 1, partial(write, _LLAMA_CPP))
"""llama.cpp, `common/json-schema-to-grammar.cpp`, which Ollama uses too, and the limit of
repetitions in `src/llama-grammar.cpp`. Of dates, it checks the digits alone."""

_LLAMA_CPP_SERVER = Table(
    string=("pattern", "format", *_LENGTHS),
    array=_COUNTS,
    formats=("uuid",),
    formats_in_part=("date-time", "date", "time"),
    pattern=_of_llama_cpp_server,
    anything={"type": ["object", "array", "string", "number", "boolean", "null"]},
    open_objects=False,
    recursive=False,
    typed_values=False,
    whole_values=True,
    both=False,
    longest=2000,
    remarks=False,
)
LLAMA_CPP_SERVER = Dialect("llama_cpp_server", 1, partial(write, _LLAMA_CPP_SERVER))
"""llama-cpp-python 0.3, `llama_grammar.py`. It takes a key for a further property that is there
already, so objects are closed."""


def _of_llguidance(schema: Schema) -> Sent:
    from .llguidance import translate  # a library that only this dialect needs

    return translate(schema)


LLGUIDANCE = Dialect("llguidance", 1, _of_llguidance)
"""Schemas as llguidance enforces them, within llama.cpp."""
