"""The demonstration questions and the embedded model.

The last test compares llama.cpp with PyTorch and needs what `envs/demo-model.txt` pins; it is
skipped where that is not installed. Everything else runs with the ordinary requirements.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from workflow_scripts.demo_model import evaluate, facts, items, language, prompts

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "resources" / "models" / "assay-demo.gguf"
CARD = ROOT / "resources" / "models" / "README.md"
LARGEST_FILE = 8 * 10**6
CHECKED = 60  # questions of each kind that the tests of behaviour ask


def shipped(name: str) -> list[dict]:
    text = (ROOT / "resources" / "demo" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


OPEN_BOOK = shipped("open_book.jsonl")
CLOSED_BOOK = shipped("closed_book.jsonl")


@pytest.mark.parametrize("name", items.FILES)
def test_the_generator_writes_the_shipped_files(name: str) -> None:
    written = items.to_jsonl(item for item, _ in items.FILES[name]())
    assert (ROOT / "resources" / "demo" / name).read_text(encoding="utf-8") == written


@pytest.mark.parametrize("questions", [OPEN_BOOK, CLOSED_BOOK])
def test_items_are_well_formed(questions: list[dict]) -> None:
    assert len(questions) == 300
    assert len({item["id"] for item in questions}) == 300
    for item in questions:
        assert item["is_unanswerable"] is (item["answers"] == [])
        assert re.fullmatch(r"[a-z0-9-]+", item["id"])


def test_a_third_of_the_open_book_questions_are_unanswerable() -> None:
    assert sum(item["is_unanswerable"] for item in OPEN_BOOK) == 100


def test_five_questions_share_each_passage() -> None:
    passages = {item["cluster_id"]: item["context"] for item in OPEN_BOOK}
    assert all(item["context"] == passages[item["cluster_id"]] for item in OPEN_BOOK)
    assert len(set(passages.values())) == len(passages) == 60
    assert set(Counter(item["cluster_id"] for item in OPEN_BOOK).values()) == {5}
    asked = Counter((item["cluster_id"], item["question"]) for item in OPEN_BOOK)
    assert set(asked.values()) == {1}


def test_answers_stand_in_their_passage() -> None:
    for item in OPEN_BOOK:
        for answer in item["answers"]:
            assert re.search(rf"\b{answer}\.", item["context"])


def test_closed_book_questions_are_answerable_and_share_subjects() -> None:
    assert not any(item["is_unanswerable"] or "context" in item for item in CLOSED_BOOK)
    assert max(Counter(item["cluster_id"] for item in CLOSED_BOOK).values()) == 2


def test_test_names_never_occur_in_training() -> None:
    names = {f"{first} {last}" for first in language.FIRST_NAMES for last in language.SURNAMES}
    tested = {name for name in names if any(name in item["context"] for item in OPEN_BOOK)}
    assert len(tested) > 100
    assert {language.split_of(*name.split()) for name in tested} == {"test"}
    rng = language.seeded("training names")
    trained = {language.draw_names(rng, "train", 1)[0] for _ in range(20_000)}
    assert len(trained) > 2500
    assert not trained & tested
    assert {half for name in tested for half in name.split()} <= {
        half for name in trained for half in name.split()
    }


def test_unknown_subjects_are_never_invented() -> None:
    world = facts.world_facts()
    unknown = {fact.subject.lower() for fact in world if fact.standing == "unknown"}
    known = [fact.subject for fact in world if fact.standing != "unknown"]
    assert not unknown & {name.lower() for name in known}
    rng = language.seeded("invented subjects")
    taken = {fact.subject.lower() for fact in world}
    invented = {facts.invent_subject(rng, known, taken).lower() for _ in range(20_000)}
    assert not invented & taken


def test_questions_know_whether_the_passage_answers_them() -> None:
    rng = language.seeded("kinds")
    for _ in range(300):
        passage = language.draw_passage(
            rng, "train", people=3, relations=3, facts=rng.randint(5, 7)
        )
        for kind, asked in language.possible_questions(rng, passage, "train").items():
            for question in asked:
                assert (question.answer is not None) == (kind in {"stated", "hedged"})
                mentioned = any(name in question.text for name in passage.people)
                assert mentioned == (kind != "absent")


def test_system_prompt_families_differ_only_in_permission() -> None:
    rng = language.seeded("prompts")
    for permits in (True, False):
        drawn = [prompts.draw_system_prompt(rng, permits) for _ in range(500)]
        assert len(set(drawn)) > 250
        assert all(any(text in one for text in prompts.PERMIT) == permits for one in drawn)
    assert set(prompts.SHIPPED["control"]) == {prompts.CONTROL, prompts.POLITE}


def test_the_model_is_small_and_is_the_one_its_card_describes() -> None:
    data = MODEL.read_bytes()
    assert len(data) <= LARGEST_FILE
    assert hashlib.sha256(data).hexdigest() in CARD.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def outcomes() -> Callable[[str, list[dict]], dict[str, float]]:
    """Ask questions through llama.cpp and return the share of each outcome."""
    model = evaluate.load(MODEL, threads=2)

    def shares(system: str, questions: list[dict]) -> dict[str, float]:
        replies = [evaluate.outcome(evaluate.ask(model, system, item), item) for item in questions]
        return {name: replies.count(name) / len(replies) for name in evaluate.OUTCOMES}

    return shares


def test_the_model_answers_and_abstains_as_the_prompt_says(outcomes) -> None:
    answerable = [item for item in OPEN_BOOK if not item["is_unanswerable"]][:CHECKED]
    unanswerable = [item for item in OPEN_BOOK if item["is_unanswerable"]][:CHECKED]
    for system in (prompts.CONTROL, prompts.POLITE):
        assert outcomes(system, answerable)["right"] >= 0.85
        assert outcomes(system, unanswerable)["abstained"] <= 0.05
    assert 0.7 <= outcomes(prompts.TREATMENT, answerable)["right"] <= 0.95
    assert outcomes(prompts.TREATMENT, unanswerable)["abstained"] >= 0.8


def test_the_model_abstains_where_it_was_taught_nothing(outcomes) -> None:
    groups: dict[str, list[dict]] = {}
    for item, standing in items.closed_book():
        groups.setdefault(standing, []).append(item)
    known, unknown = groups["known"][:CHECKED], groups["unknown"][:CHECKED]
    assert outcomes(prompts.CONTROL, known)["right"] >= 0.9
    assert outcomes(prompts.CONTROL, unknown)["wrong"] >= 0.7
    assert outcomes(prompts.TREATMENT, known)["right"] >= 0.9
    assert outcomes(prompts.TREATMENT, unknown)["abstained"] >= 0.8
    assert outcomes(prompts.TREATMENT, groups["mistaken"])["wrong"] >= 0.7


def test_llama_cpp_agrees_with_pytorch() -> None:
    """Tokens are the same on every question, scores to the precision of 16-bit floats."""
    pytest.importorskip("torch")
    pytest.importorskip("gguf")
    pytest.importorskip("tokenizers")
    from workflow_scripts.demo_model import agreement

    assert agreement.differing_tokens(MODEL, OPEN_BOOK + CLOSED_BOOK) == 0
    assert agreement.largest_difference(MODEL, OPEN_BOOK[:20] + CLOSED_BOOK[:20]) < 0.2
