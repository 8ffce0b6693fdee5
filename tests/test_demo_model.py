"""The demonstration questions and the embedded model."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from llama_cpp import Llama

from tools.demo_model.questions import evaluate, facts, items, language, prompts

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
    model = evaluate.load(MODEL, threads=1)

    def shares(system: str, questions: list[dict]) -> dict[str, float]:
        replies = [evaluate.outcome(evaluate.ask(model, system, item), item) for item in questions]
        return {name: replies.count(name) / len(replies) for name in evaluate.OUTCOMES}

    return shares


@pytest.mark.slow
def test_the_model_answers_and_abstains_as_the_prompt_says(outcomes) -> None:
    answerable = [item for item in OPEN_BOOK if not item["is_unanswerable"]][:CHECKED]
    unanswerable = [item for item in OPEN_BOOK if item["is_unanswerable"]][:CHECKED]
    for system in (prompts.CONTROL, prompts.POLITE):
        assert outcomes(system, answerable)["right"] >= 0.85
        assert outcomes(system, unanswerable)["abstained"] <= 0.05
    assert 0.7 <= outcomes(prompts.TREATMENT, answerable)["right"] <= 0.95
    assert outcomes(prompts.TREATMENT, unanswerable)["abstained"] >= 0.8


@pytest.mark.slow
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


def test_llama_cpp_computes_what_the_weights_say() -> None:
    """Against the llama architecture spelled out in numpy, from the same file.

    The file holds 16-bit weights, and llama.cpp rounds some activations to 16 bits too.
    """
    llama = Llama(
        model_path=str(MODEL),
        n_ctx=512,
        logits_all=True,
        n_threads=1,
        n_threads_batch=1,
        verbose=False,
    )
    for item in (OPEN_BOOK[0], CLOSED_BOOK[0]):
        chat = render(evaluate.ARMS["treatment"], evaluate.user_message(item))
        tokens = llama.tokenize(chat.encode(), add_bos=False, special=True)
        llama.reset()
        llama.eval(tokens)
        scores = llama.scores[: len(tokens)]
        assert np.abs(scores - next_token_scores(tokens)).max() < 0.1 < scores.std() / 10


def render(system: str, user: str) -> str:
    """A chat as the file's template lays it out."""
    return f"<|system|>{system}<|end|><|user|>{user}<|end|><|assistant|>"


def next_token_scores(tokens: list[int]) -> np.ndarray:
    """Logits after each token, shape (tokens, vocabulary).

    Pre-norm blocks with RMSNorm, rotary positions on interleaved pairs, causal attention and
    SwiGLU (Touvron et al. 2023, LLaMA, section 2.2), with tied embeddings.
    """
    reader = gguf.GGUFReader(MODEL)
    weights = {each.name: each.data.astype(np.float32) for each in reader.tensors}
    n_blocks, n_heads = (
        reader.fields[f"llama.{key}"].contents() for key in ("block_count", "attention.head_count")
    )

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * weights[f"{name}.weight"]

    def rotate(x: np.ndarray) -> np.ndarray:
        pairs = x.reshape(*x.shape[:-1], -1, 2)
        n_pairs = pairs.shape[-2]
        angles = np.outer(np.arange(len(tokens)), 10_000.0 ** (-np.arange(n_pairs) / n_pairs))
        turned = (pairs[..., 0] + 1j * pairs[..., 1]) * np.exp(1j * angles)
        return np.stack([turned.real, turned.imag], -1).reshape(x.shape)

    hidden = weights["token_embd.weight"][tokens]
    for number in range(n_blocks):
        block = {
            name.split(".")[2]: weight.T
            for name, weight in weights.items()
            if name.startswith(f"blk.{number}.")
        }
        x = norm(hidden, f"blk.{number}.attn_norm")
        heads = [
            (x @ block[name]).reshape(len(tokens), n_heads, -1).swapaxes(0, 1)
            for name in ("attn_q", "attn_k", "attn_v")
        ]
        queries, keys, values = rotate(heads[0]), rotate(heads[1]), heads[2]
        attention = queries @ keys.swapaxes(1, 2) / np.sqrt(queries.shape[-1])
        attention += np.triu(np.full((len(tokens), len(tokens)), -np.inf), 1)
        attention = np.exp(attention - attention.max(-1, keepdims=True))
        mixed = attention / attention.sum(-1, keepdims=True) @ values
        hidden = hidden + mixed.swapaxes(0, 1).reshape(len(tokens), -1) @ block["attn_output"]
        x = norm(hidden, f"blk.{number}.ffn_norm")
        gate = x @ block["ffn_gate"]
        hidden = hidden + (gate / (1 + np.exp(-gate)) * (x @ block["ffn_up"])) @ block["ffn_down"]
    return norm(hidden, "output_norm") @ weights["token_embd.weight"].T
