"""Answers that obey a schema as it is sent: what an enforcing backend could say."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

Answers = st.SearchStrategy[Any]

_FORMATS: Mapping[str, Answers] = {
    "date": st.dates().map(str),
    "time": st.times().map(lambda time: f"{time.replace(microsecond=0)}Z"),
    "date-time": st.datetimes().map(lambda moment: f"{moment.isoformat(timespec='seconds')}Z"),
    "duration": st.integers(0, 99).map(lambda days: f"P{days}D"),
    "email": st.from_regex(r"[a-z]{1,8}@[a-z]{1,8}\.org", fullmatch=True),
    "hostname": st.from_regex(r"[a-z]{1,8}\.example", fullmatch=True),
    "ipv4": st.ip_addresses(v=4).map(str),
    "ipv6": st.ip_addresses(v=6).map(str),
    "uuid": st.uuids().map(str),
    "uri": st.from_regex(r"https://[a-z]{1,8}\.org/[a-z]{0,8}", fullmatch=True),
}
_DEEPEST = 8
_PRIMITIVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
_ANYTHING = _PRIMITIVES | st.lists(_PRIMITIVES, max_size=2)


def answers(written: Mapping[str, Any]) -> Answers:
    """Answers to a whole schema as it is sent, small ones."""
    # Built when drawn from: a strategy of a recursive schema has no end.
    return st.just(written).flatmap(lambda schema: _answers(schema, schema.get("$defs", {}), 0))


def _answers(  # noqa: PLR0911 - one for each kind of schema
    written: Any, definitions: Mapping[str, Any], depth: int
) -> Answers:
    if depth > _DEEPEST:  # some schemas have no end
        return st.nothing()
    if written is True or not written:
        return _ANYTHING
    if "$ref" in written:
        target = definitions[written["$ref"].removeprefix("#/$defs/")]
        return st.deferred(lambda: _answers(target, definitions, depth + 1))
    if "enum" in written:
        return st.sampled_from(written["enum"])
    if "anyOf" in written:
        return st.one_of(
            st.deferred(lambda each=each: _answers(each, definitions, depth))
            for each in _shallow_first(written["anyOf"])
        )
    if "type" not in written:
        return _ANYTHING
    kinds = written["type"] if isinstance(written["type"], list) else [written["type"]]
    made = {
        "object": lambda: _objects(written, definitions, depth),
        "array": lambda: _arrays(written, definitions, depth),
        "string": lambda: _strings(written),
        "integer": lambda: st.integers(written.get("minimum"), written.get("maximum")),
        "number": lambda: _numbers(written),
        "boolean": st.booleans,
        "null": st.none,
    }
    return st.one_of(*(made[kind]() for kind in kinds))


def _shallow_first(branches: list[Any]) -> list[Any]:
    return sorted(branches, key=lambda branch: len(json.dumps(branch)))


def _objects(written: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> Answers:
    properties = written.get("properties", {})
    required = written.get("required", ())
    members = {
        name: st.deferred(lambda sub=sub: _answers(sub, definitions, depth + 1))
        for name, sub in properties.items()
    }
    optional = {} if depth > 3 else {n: s for n, s in members.items() if n not in required}
    named = st.fixed_dictionaries({n: members[n] for n in required}, optional=optional)
    further = written.get("additionalProperties", True)
    if further is False or depth > 3:
        return named
    values = st.deferred(lambda: _answers(further, definitions, depth + 1))
    keys = st.text(max_size=4).filter(lambda key: key not in properties)
    more = st.dictionaries(keys, values, max_size=2)
    return st.builds(lambda one, other: {**other, **one}, named, more)


def _arrays(written: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> Answers:
    least = written.get("minItems", 0)
    most = min(written.get("maxItems", least + 2), least + (0 if depth > 3 else 2))
    prefix = [_answers(sub, definitions, depth + 1) for sub in written.get("prefixItems", ())]
    rest = written.get("items", True)
    if rest is False:
        most = min(most, len(prefix))
    further = st.deferred(lambda: _answers(rest, definitions, depth + 1))

    def of_length(length: int) -> Answers:
        return st.tuples(*[*prefix, *[further] * length][:length]).map(list)

    return st.integers(least, max(least, most)).flatmap(of_length)


def _strings(written: Mapping[str, Any]) -> Answers:
    least, most = written.get("minLength", 0), written.get("maxLength")
    if "pattern" in written:
        # Python's "$" also matches before a line break at the end.
        strings: Answers = st.from_regex(re.sub(r"(?<!\\)\$", r"\\Z", written["pattern"]))
    elif "format" in written:
        strings = _FORMATS[written["format"]]
    else:
        return st.text(min_size=least, max_size=least + 5 if most is None else most)
    return strings.filter(lambda text: least <= len(text) <= (len(text) if most is None else most))


def _numbers(written: Mapping[str, Any]) -> Answers:
    low = written.get("minimum", written.get("exclusiveMinimum"))
    high = written.get("maximum", written.get("exclusiveMaximum"))
    if "multipleOf" in written or (low is not None and high is not None and high - low < 3):
        return st.sampled_from([0, written.get("multipleOf", 0), low or 0, high or 0])
    return st.integers(
        None if low is None else int(low) + 1, None if high is None else int(high) - 1
    )
