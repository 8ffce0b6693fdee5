"""The records of the demonstration, and the embedded model that fills them in."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from answering import demo_settings, use
from conftest import REPOSITORY
from jsonschema import Draft202012Validator

from tools.demo_model.questions.items import to_jsonl
from tools.demo_model.questions.language import seeded
from tools.demo_model.structured import items, records
from workflow_scripts.backends.llama_cpp import BindingName
from workflow_scripts.backends.llama_cpp_client import LlamaCppClient
from workflow_scripts.core.records import Decoding, Message
from workflow_scripts.schemas.reply import read_reply

MODEL = REPOSITORY / "resources/models/assay-structured.gguf"
CARD = REPOSITORY / "resources/models/README.md"
SHIPPED = (REPOSITORY / "resources/demo" / items.NAME).read_text(encoding="utf-8")
ITEMS = [json.loads(line) for line in SHIPPED.splitlines()]
LARGEST_FILE = 5 * 10**6
ASKED = 30
BINDINGS: tuple[BindingName, ...] = ("xllamacpp", "llama_cpp_python")


def test_the_generator_writes_the_shipped_records() -> None:
    assert to_jsonl(items.items()) == SHIPPED
    assert len({item["id"] for item in ITEMS}) == len(ITEMS) == items.ITEMS


def test_expected_objects_obey_their_schemas_and_stand_in_their_passages() -> None:
    for item in ITEMS:
        Draft202012Validator(item["schema"]).validate(item["expected"])
        assert 3 <= len(item["expected"]) <= 6
        assert list(item["expected"]) == list(item["schema"]["properties"])
        for key, value in item["expected"].items():
            if isinstance(value, int) and not isinstance(value, bool) and key != "price":
                assert re.search(rf"\b{value}\b", item["context"])


def test_subjects_of_the_records_never_occur_in_training() -> None:
    halves = {kind.name: kind.halves for kind in records.KINDS}
    rng = seeded("training subjects")
    trained = {
        kind.name: {kind.draw_subject(rng, "train") for _ in range(5_000)} for kind in records.KINDS
    }
    for item in ITEMS:
        (met,) = [
            (kind, first, second)
            for kind in records.KINDS
            for first in halves[kind.name][0]
            for second in halves[kind.name][1]
            if item["question"].endswith((f" {first} {second}.",))
        ]
        kind, *pair = met
        assert kind.split_of(*pair) == "test"
        assert tuple(pair) not in trained[kind.name]
        for half, place in zip(pair, (0, 1), strict=True):
            assert any(subject[place] == half for subject in trained[kind.name])


def test_the_model_is_small_and_is_the_one_its_card_describes() -> None:
    data = MODEL.read_bytes()
    assert len(data) <= LARGEST_FILE
    assert hashlib.sha256(data).hexdigest() in CARD.read_text(encoding="utf-8")


def messages(item: dict[str, Any]) -> list[Message]:
    """An item as the demonstration puts it under the arm ``described``."""
    system, template = (
        (REPOSITORY / "prompts" / name).read_text(encoding="utf-8").strip()
        for name in ("system/control.txt", "records.txt")
    )
    user = (
        template.replace("{context}", item["context"])
        .replace("{question}", item["question"])
        .replace("{schema}", json.dumps(item["schema"]))
    )
    return [Message(role="system", content=system), Message(role="user", content=user)]


def answers(binding: BindingName, *, enforced: bool) -> list[str]:
    """The greedy answers to the first items, free or held to the schema."""

    async def work(client: LlamaCppClient) -> list[str]:
        texts = []
        for item in ITEMS[:ASKED]:
            schema = item["schema"] if enforced else None
            decoding = Decoding(temperature=0.0, max_new_tokens=96, seed=0, json_schema=schema)
            texts.append((await client.generate(messages(item), decoding)).response_text)
        return texts

    return use(LlamaCppClient(demo_settings(MODEL, binding)), work)


def valid(item: dict[str, Any], text: str) -> bool:
    found = read_reply(text).value
    return found is not None and Draft202012Validator(item["schema"]).is_valid(found)


@pytest.mark.parametrize("enforced", [False, True], ids=["free", "enforced"])
def test_free_answers_are_mostly_valid_and_enforced_ones_are(
    enforced: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With both libraries that run llama.cpp, whose greedy answers are equal."""
    monkeypatch.chdir(tmp_path)  # model checksums are remembered below results/
    first, second = (answers(binding, enforced=enforced) for binding in BINDINGS)
    assert first == second
    share = sum(map(valid, ITEMS[:ASKED], first)) / ASKED
    assert share == 1.0 if enforced else 0.7 <= share <= 0.9
    right = sum(
        read_reply(text).value == item["expected"]
        for item, text in zip(ITEMS[:ASKED], first, strict=True)
    )
    assert right >= 0.5 * ASKED
