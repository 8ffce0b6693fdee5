"""The encoder of the demonstration: what it finds in notes that it was not trained on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY

from tools.demo_model.encoder.pairs import draw_pairs
from tools.demo_model.questions.language import seeded
from workflow_scripts.backends.llama_cpp import BindingName
from workflow_scripts.backends.tokens import TokenizerFile
from workflow_scripts.retrieval.chunk import token_counter
from workflow_scripts.retrieval.embedders.llama_cpp import LlamaCppEmbedder
from workflow_scripts.retrieval.embedders.settings import LlamaCppEmbedderSettings
from workflow_scripts.retrieval.tokens import line_ends

MODEL = REPOSITORY / "resources/models/assay-encoder.gguf"
CITED = REPOSITORY / "resources/models/assay-cited.gguf"
CARD = REPOSITORY / "resources/models/README.md"
DEMO = REPOSITORY / "resources/demo"
LARGEST_FILE = 2 * 10**6
LINES = 2  # of a passage, as most chunks of config/retrieval.yaml have


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def vectors(texts: list[str], binding: BindingName = "xllamacpp") -> np.ndarray:
    settings = LlamaCppEmbedderSettings(
        kind="llama_cpp", model=str(MODEL), local_binding=binding, n_threads=1
    )
    embedder = LlamaCppEmbedder(settings)
    try:
        found, _ = embedder.embed(texts)
    finally:
        embedder.close()
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def recall(questions: list[str], passages: list[str], rows: list[int], k: int) -> float:
    cosines = vectors(questions) @ vectors(passages).T
    right = cosines[np.arange(len(rows)), rows]
    return float(((cosines > right[:, None]).sum(1) < k).mean())


def test_the_model_is_small_and_is_the_one_its_card_describes() -> None:
    data = MODEL.read_bytes()
    assert len(data) <= LARGEST_FILE
    assert hashlib.sha256(data).hexdigest() in CARD.read_text(encoding="utf-8")


def test_it_finds_the_notes_of_the_demonstration() -> None:
    """bm25 has the right chunk first for 0.59 of the questions, and lsa for 0.56."""
    passages, places = [], {}
    for path in sorted((DEMO / "notes").iterdir()):
        lines = lines_of(path)
        for start in range(0, len(lines), LINES):
            for number in range(start, start + LINES):
                places[f"notes/{path.name}:L{number + 1}"] = len(passages)
            passages.append("".join(f"{line}\n" for line in lines[start : start + LINES]))
    items = [json.loads(line) for line in lines_of(DEMO / "cited.jsonl")]
    asked = [item for item in items if item["relevant"]]
    assert len(asked) == 210
    rows = [places[item["relevant"][0]] for item in asked]
    assert recall([item["question"] for item in asked], passages, rows, k=1) >= 0.9


def test_it_was_not_trained_on_the_people_of_the_demonstration() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (DEMO / "notes").iterdir())
    people = {item["cluster_id"] for item in map(json.loads, lines_of(DEMO / "cited.jsonl"))}
    pairs = draw_pairs(seeded("some batch"), "train", 200)
    trained = "".join(pairs.passages)
    assert len(people) > 150
    assert not [name for name in people if name in trained]
    assert not set(trained.splitlines()) & set(text.splitlines())


def test_both_libraries_make_the_same_vectors() -> None:
    texts = ["Where does Mira Holt live?", "The home of Mira Holt is Porto.\nTom Reed eats soup.\n"]
    one, other = (vectors(texts, binding) for binding in ("xllamacpp", "llama_cpp_python"))
    assert one == pytest.approx(other, abs=1e-3)


def test_it_counts_tokens_as_the_model_that_answers() -> None:
    """So the encoder and bm25 search the same chunks."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((DEMO / "notes").iterdir())[:5]]
    counts = []
    for model in (MODEL, CITED):
        found = token_counter(TokenizerFile(path=str(model), is_own=True))
        counts.append([found.count(text, line_ends(text)).tolist() for text in texts])
    assert counts[0] == counts[1]
