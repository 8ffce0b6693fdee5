"""The notes of the demonstration, the questions on them, and the model that answers and cites."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from answering import demo_settings, use
from conftest import REPOSITORY

from tools.demo_model.cited import items, notes
from tools.demo_model.cited.prompts import ABSTENTION, TEMPLATE, around
from tools.demo_model.questions.language import seeded
from tools.demo_model.questions.prompts import CONTROL
from workflow_scripts.backends.llama_cpp import BindingName
from workflow_scripts.backends.llama_cpp_client import LlamaCppClient
from workflow_scripts.core.records import Decoding, Message

MODEL = REPOSITORY / "resources/models/assay-cited.gguf"
CARD = REPOSITORY / "resources/models/README.md"
DEMO = REPOSITORY / "resources/demo"
LARGEST_FILE = 5 * 10**6
ASKED = 60
CITATION = re.compile(r"\[(\d+)\]")


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


ITEMS = [json.loads(line) for line in lines_of(DEMO / "cited.jsonl")]


def test_the_generator_writes_the_shipped_notes_and_questions() -> None:
    assert [item for item, _ in items.questions()] == ITEMS
    written = {path: [line.text for line in lines] for path, lines in items.draw_notes().items()}
    assert written == {
        f"notes/{path.name}": lines_of(path) for path in sorted((DEMO / "notes").iterdir())
    }


def test_gold_lines_say_the_answer_and_others_say_nothing_of_it() -> None:
    text = "\n".join(line for path in (DEMO / "notes").iterdir() for line in lines_of(path))
    for item in ITEMS:
        assert item["is_unanswerable"] is (item["answers"] == []) is (item["relevant"] == [])
        if item["answers"]:
            path, number = re.fullmatch(r"(.+):L(\d+)", item["relevant"][0]).groups()
            line = lines_of(DEMO / path)[int(number) - 1]
            assert item["answers"][0] in line
            assert item["cluster_id"] in line
            assert text.count(line) == 1


def test_the_questions_on_code_name_files_that_are_there() -> None:
    questions = [json.loads(line) for line in lines_of(DEMO / "code_questions.jsonl")]
    assert len(questions) == 40
    for item in questions:
        assert item["reference"]
        assert all((REPOSITORY / path).is_file() for path in item["relevant"])


def test_the_model_is_small_and_is_the_one_its_card_describes() -> None:
    data = MODEL.read_bytes()
    assert len(data) <= LARGEST_FILE
    assert hashlib.sha256(data).hexdigest() in CARD.read_text(encoding="utf-8")


def prompt(item: dict, passages: list[str]) -> list[Message]:
    user = around(TEMPLATE, "\n\n".join(passages)) + f"Question: {item['question']}"
    return [Message(role="system", content=CONTROL), Message(role="user", content=user)]


@pytest.mark.parametrize("binding", ["xllamacpp", "llama_cpp_python"])
def test_the_model_answers_from_numbered_passages_and_cites(
    binding: BindingName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question with three lines of two other notes and the gold line between them."""
    monkeypatch.chdir(tmp_path)  # model checksums are remembered below results/
    rng = seeded("passages around the gold line")
    paths = sorted((DEMO / "notes").iterdir())

    def passages(item: dict) -> list[str]:
        texts = []
        for path in rng.sample(paths, 2):
            head = notes.heading(f"notes/{path.name}", 1, 3)
            texts.append("\n".join([head, *lines_of(path)[:3]]))
        if item["relevant"]:
            name, number = item["relevant"][0].split(":L")
            head = notes.heading(name, int(number), int(number))
            texts.insert(1, f"{head}\n{lines_of(DEMO / name)[int(number) - 1]}")
        return [f"[{number}] {text}" for number, text in enumerate(texts, 1)]

    asked = [(item, prompt(item, passages(item))) for item in ITEMS[:ASKED]]

    async def work(client: LlamaCppClient) -> list[str]:
        decoding = Decoding(temperature=0.0, max_new_tokens=12, seed=0)
        return [(await client.generate(each, decoding)).response_text for _, each in asked]

    answers = use(LlamaCppClient(demo_settings(MODEL, binding)), work)
    pairs = [(item, text) for (item, _), text in zip(asked, answers, strict=True)]
    stated = [(item["answers"][0], text) for item, text in pairs if item["answers"]]
    unanswerable = [text for item, text in pairs if not item["answers"]]
    assert sum(text.startswith(gold) for gold, text in stated) >= 0.85 * len(stated)
    assert sum(CITATION.findall(text) == ["2"] for _, text in stated) >= 0.85 * len(stated)
    assert unanswerable.count(ABSTENTION) >= 0.6 * len(unanswerable)
