"""Answers of llama.cpp held to JSON schemas, by both libraries, and what llguidance enforces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import numpy as np
import pytest
from answering import chat, demo_settings, request, run
from conftest import REPOSITORY

from workflow_scripts.backends import binding_xllamacpp, constraint
from workflow_scripts.backends.client import RequestError
from workflow_scripts.backends.constraint import Constraint, Grammars
from workflow_scripts.backends.gguf_chat import ChatTokenizer
from workflow_scripts.backends.gguf_file import read_gguf
from workflow_scripts.backends.llama_cpp import BindingName
from workflow_scripts.backends.llama_cpp_binding import LoadOptions, Model, binding
from workflow_scripts.backends.llama_cpp_client import LlamaCppClient
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.records import Decoding
from workflow_scripts.schemas.dialect import CannotEnforceError
from workflow_scripts.schemas.dialects import LLGUIDANCE
from workflow_scripts.schemas.formats import FORMATS
from workflow_scripts.schemas.llguidance import byte_tokenizer
from workflow_scripts.schemas.llguidance_formats import PATTERNS
from workflow_scripts.schemas.reply import read_reply
from workflow_scripts.schemas.validation import read_schema

BINDINGS: tuple[BindingName, ...] = ("xllamacpp", "llama_cpp_python")
END = 256  # of the tokenizer of bytes
SMALL = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 12},
        "size": {"enum": ["small", "large"]},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
    },
    "required": ["city", "size", "tags"],
    "additionalProperties": False,
}
ITEMS = [
    json.loads(line)
    for line in (REPOSITORY / "resources/demo/closed_book.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()[:20]
]


@pytest.fixture(scope="module")
def models(demo_model: Path) -> Any:
    """The embedded model by each library."""
    options = LoadOptions(n_ctx=512, n_threads=1)
    loaded = {name: binding(name).load(demo_model, options) for name in BINDINGS}
    yield loaded
    for model in loaded.values():
        model.close()


def prompts(model: Model, demo_model: Path) -> list[list[int]]:
    tokenizer = ChatTokenizer(read_gguf(demo_model), model)
    return [
        tokenizer.tokens(
            chat(f"Answer the question in a few words.\n\nQuestion: {item['question']}")
        )
        for item in ITEMS
    ]


def choice(number: int) -> dict[str, Any]:
    """A schema with the answers of an item and the next four."""
    names = [each for item in ITEMS[number : number + 5] for each in item["answers"]]
    sure = {"type": "integer", "minimum": 0, "maximum": 9}
    return {
        "type": "object",
        "properties": {"answer": {"enum": list(dict.fromkeys(names))}, "sure": sure},
        "required": ["answer", "sure"],
        "additionalProperties": False,
    }


def decoding(schema: Mapping[str, Any] = SMALL, most: int = 60, temperature: float = 0) -> Decoding:
    sent = LLGUIDANCE.sent(schema).schema
    return Decoding(temperature=temperature, max_new_tokens=most, seed=3, json_schema=sent)


# Answers of the embedded model


def test_both_libraries_give_the_same_valid_answers(
    models: dict[BindingName, Model], demo_model: Path
) -> None:
    answers = {
        name: [
            model.submit(prompt, decoding(choice(number))).result()
            for number, prompt in enumerate(prompts(model, demo_model))
        ]
        for name, model in models.items()
    }
    assert answers["xllamacpp"] == answers["llama_cpp_python"]
    texts = [answer.text for answer in answers["xllamacpp"]]
    assert len(set(texts)) > 5
    for number, answer in enumerate(answers["xllamacpp"]):
        reply = read_reply(answer.text)
        assert (answer.finish_reason, reply.form) == ("stop", "valid")
        assert read_schema(choice(number)).flaw(reply.value) is None
        assert answer.text == json.dumps(reply.value, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize("name", BINDINGS)
def test_sampled_answers_obey_the_schema(
    models: dict[BindingName, Model], demo_model: Path, name: BindingName
) -> None:
    model = models[name]
    for prompt in prompts(model, demo_model)[:10]:
        answer = model.submit(prompt, decoding(temperature=1.5)).result()
        assert answer.finish_reason == "stop"
        assert jsonschema_rs.is_valid(SMALL, json.loads(answer.text))


@pytest.mark.parametrize("name", BINDINGS)
def test_an_answer_is_cut_off_only_before_its_object_is_complete(
    models: dict[BindingName, Model], demo_model: Path, name: BindingName
) -> None:
    model = models[name]
    prompt, *_ = prompts(model, demo_model)
    whole = model.submit(prompt, decoding()).result()
    assert whole.text.endswith("}")
    exact = model.submit(prompt, decoding(most=whole.tokens)).result()
    assert exact == whole
    cut = model.submit(prompt, decoding(most=whole.tokens - 1)).result()
    assert (cut.finish_reason, cut.tokens) == ("length", whole.tokens - 1)
    assert whole.text.startswith(cut.text)
    stopped = model.submit(prompt, decoding().model_copy(update={"stop": ["size"]})).result()
    assert (stopped.finish_reason, stopped.text) == ("stop", whole.text.partition("size")[0])
    free = model.submit(prompt, decoding().model_copy(update={"json_schema": None})).result()
    assert not free.text.startswith("{")


def test_an_answer_that_llama_cpp_did_not_hold_to_its_schema_is_an_error(
    models: dict[BindingName, Model], demo_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server only logs that it cannot compile a grammar, and answers without one."""
    monkeypatch.setattr(
        binding_xllamacpp,
        "_grammar",
        lambda _: {"grammar": '%llguidance {}\nstart: %json {"if":1}'},
    )
    model = models["xllamacpp"]
    prompt, *_ = prompts(model, demo_model)
    with pytest.raises(RequestError, match="cannot be held to its JSON schema") as caught:
        model.submit(prompt, decoding()).result()
    assert not caught.value.retryable


def test_a_part_says_how_its_answers_were_held_to_their_schema(
    demo_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    loose = {**SMALL, "required": ["city"], "not": {"required": ["tags"]}}
    refused = {**SMALL, "required": ["nowhere"]}

    def asked(schema: Mapping[str, Any]) -> Any:
        made = Decoding(temperature=0, max_new_tokens=8, seed=0, json_schema=dict(schema))
        return [request(1, messages=chat("Where?"), decoding=made)]

    client = LlamaCppClient(demo_settings(demo_model))
    for schema, enforced in ((SMALL, "exactly"), (loose, "loosened")):
        (line,) = run(tmp_path, client, asked(schema))
        assert line.schema_enforced == enforced
        assert line.response_text is not None and line.response_text.startswith('{"city":"')
    with pytest.raises(UserError, match=r"data set d, item 1: .*cannot be enforced.*nowhere"):
        run(tmp_path, client, asked(refused))


# One sequence


def begun(schema: Mapping[str, Any]) -> Constraint:
    return Grammars(byte_tokenizer()).begin(LLGUIDANCE.sent(schema).schema)


def allowed(held: Constraint) -> set[int]:
    logits = np.zeros(END + 1, np.float32)
    held.mask(logits)
    assert set(np.unique(logits)) <= {0, -np.inf}
    return set(np.flatnonzero(logits == 0).tolist())


def test_the_end_is_allowed_only_where_the_value_is_complete() -> None:
    held = begun({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
    for byte in b'{"a":12':
        assert byte in allowed(held) and END not in allowed(held)
        assert not held.is_complete and not held.is_done
        held.accept(byte)
    held.accept(ord("}"))
    assert held.is_complete and held.is_done
    number = begun({"type": "integer"})
    number.accept(ord("1"))
    assert {END, ord("2")} <= allowed(number)
    assert number.is_complete and not number.is_done


def test_a_token_that_is_not_allowed_is_an_error() -> None:
    held = begun(SMALL)
    with pytest.raises(RequestError, match="cannot be held"):
        held.accept(ord("["))
    assert not held.is_done


def test_sequences_are_independent_and_a_schema_is_compiled_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[str] = []
    compile_one = constraint.LLMatcher

    def counted(tokenizer: Any, text: str, **options: Any) -> Any:
        compiled.append(text)
        return compile_one(tokenizer, text, **options)

    monkeypatch.setattr(constraint, "LLMatcher", counted)
    grammars = Grammars(byte_tokenizer())
    first, second = grammars.begin(SMALL), grammars.begin(dict(SMALL))
    first.accept(ord("{"))
    assert allowed(first) == {ord('"')} and allowed(second) == {ord("{")}
    assert len(compiled) == 1
    turned = {**SMALL, "properties": dict(reversed(list(SMALL["properties"].items())))}  # type: ignore[attr-defined]
    third = grammars.begin(turned)
    for byte in b'{"tags"':
        third.accept(byte)
    assert len(compiled) == 2


def test_a_pattern_that_explodes_while_decoding_is_an_error() -> None:
    held = begun({"type": "string", "pattern": "^(a{1,1000}){1,1000}$"})
    held.accept(ord('"'))
    with pytest.raises(RequestError, match="too many expressions"):
        for _ in range(2000):
            held.mask(np.zeros(END + 1, np.float32))
            held.accept(ord("a"))


# What is enforced

TEXT = {"type": "string"}
OVERLAPPING = [{"type": "object", "required": ["a"]}, {"type": "object", "required": ["b"]}]


@pytest.mark.parametrize(
    ("keyword", "schema"),
    [
        ("uniqueItems", {"type": "array", "uniqueItems": True}),
        ("contains", {"type": "array", "contains": TEXT, "minContains": 2}),
        ("dependentRequired", {"type": "object", "dependentRequired": {"a": ["b"]}}),
        ("dependentSchemas", {"type": "object", "dependentSchemas": {"a": {"minProperties": 2}}}),
        ("if", {"if": TEXT, "then": {"minLength": 2}, "else": {"minimum": 2}}),
        ("not", {"not": TEXT}),
        ("propertyNames", {"type": "object", "propertyNames": {"pattern": "^a"}}),
        ("unevaluatedProperties", {"type": "object", "unevaluatedProperties": False}),
        ("unevaluatedItems", {"type": "array", "unevaluatedItems": False}),
        ("pattern", {"type": "string", "pattern": "^(?!a)"}),
        ("pattern", {"type": "string", "pattern": r"(a)\1"}),
        ("pattern", {"type": "string", "pattern": "^[^a]*a[^a]{0,5000}$", "minLength": 2500}),
        ("format", {"type": "string", "format": "regex"}),
        ("oneOf", {"oneOf": OVERLAPPING}),
        ("patternProperties", {"type": "object", "patternProperties": {"^a": TEXT, "a$": {}}}),
        ("minProperties", {"type": "object", "minProperties": 2}),
        ("maxProperties", {"type": "object", "properties": {"a": {}, "b": {}}, "maxProperties": 1}),
    ],
)  # fmt: skip
def test_what_is_not_enforced_is_named_with_its_place(keyword: str, schema: dict[str, Any]) -> None:
    whole = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "a/b": schema},
        "required": ["n"],
        "$defs": {"unused": {"type": "string", "pattern": "^x"}},
    }
    sent = LLGUIDANCE.sent(whole)
    assert sent.loosened == ((keyword, f"/properties/a~1b/{keyword}"),)
    assert sent.enforced == "loosened"
    held = begun(whole)
    for byte in b'{"n":1':
        held.accept(byte)


@pytest.mark.parametrize(
    "schema",
    [
        SMALL,
        {"type": "array", "items": {"$ref": "#"}, "uniqueItems": False, "maxItems": 3},
        {"oneOf": [{"const": "a"}, {"const": "b"}, {"type": "integer", "maximum": 9}]},
        {"type": "object", "patternProperties": {"^a": TEXT}, "minProperties": 1, "required": []},
        {"type": "string", "format": "color", "pattern": r"^\d+$", "title": "x", "x-guidance": {}},
        {"allOf": [{"properties": {"a": TEXT}}, {"required": ["a"]}], "type": "object"},
        {"type": "number", "multipleOf": 0.1, "minimum": 0, "exclusiveMaximum": 5},
    ],
)
def test_what_is_enforced_exactly(schema: dict[str, Any]) -> None:
    assert LLGUIDANCE.sent(schema).enforced == "exactly"
    check(schema, answers=20)


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_texts_of_a_format_are_accepted_by_two_validators(form: str) -> None:
    schema = {"type": "string", "format": form}
    if form in PATTERNS:
        check(schema, answers=30)
    else:
        assert LLGUIDANCE.sent(schema).enforced == "loosened"


@pytest.mark.parametrize(
    "pattern",
    [r"^\d+$", r"^\w\s\w$", "^.{3}$", "^[^a]{2}$", r"^\S\D\W$", r"^\p{L}{2,5}$", r"^[\w.-]+@x$",
     r"^\u0041\cJ?$", "^$|x$", r"^[\s\S]{2}$", "^[a&&b|~[]+$", "^(a|b)?/"],
)  # fmt: skip
def test_patterns_mean_what_the_validator_means(pattern: str) -> None:
    check({"type": "string", "pattern": pattern, "maxLength": 40}, answers=30)


def check(schema: dict[str, Any], answers: int) -> None:
    """See that answers that are drawn by chance from all that is allowed obey a schema."""
    grammars = Grammars(byte_tokenizer())
    mine, second = read_schema(schema), jsonschema_rs.validator_for(schema, validate_formats=True)
    drawn = np.random.default_rng(0)
    complete = 0
    for number in range(answers):
        held, made = grammars.begin(LLGUIDANCE.sent(schema).schema), bytearray()
        logits = np.log(_WEIGHTS[number % len(_WEIGHTS)])
        while not held.is_done and len(made) < 400:
            masked = logits.astype(np.float32)
            held.mask(masked)
            token = int(np.argmax(masked + drawn.gumbel(size=END + 1)))
            held.accept(token)
            if token == END:
                break
            made.append(token)
        if held.is_complete or held.is_done:
            value = json.loads(made)
            assert mine.flaw(value) is None and second.is_valid(value), made.decode()
            complete += 1
    assert complete > answers / 2


def _weights(closing: float) -> Any:
    """How likely a byte is to be drawn: mostly ASCII, and what ends a value more often."""
    weights = np.ones(END + 1)
    weights[128:256] = 0.05
    weights[[ord('"'), ord("}"), ord("]"), END]] = closing
    return weights


_WEIGHTS = (_weights(3), _weights(30))


# Limits


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = TEXT
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (nested(100), "nested"),
        ({"enum": [f"value {number:07}" for number in range(60_000)]}, "characters"),
        ({"allOf": [{"anyOf": [{"required": [f"{a}{b}"]} for a in "xyz"]} for b in range(20)]},
         "too large"),
        ({"type": "integer", "minimum": 2, "maximum": 1}, "minimum"),
        ({"$ref": "https://example.org/a"}, r"'\$ref' at /\$ref"),
        ({"type": "object", "dependencies": {"a": ["b"]}}, "'dependencies' at /dependencies"),
    ],
)  # fmt: skip
def test_a_schema_that_cannot_be_enforced_is_refused(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(CannotEnforceError, match=message):
        LLGUIDANCE.sent(schema)
