"""Print how often the encoder, bm25 and lsa find the passage that answers a question.

    python -m tools.demo_model.encoder.evaluate --model resources/models/assay-encoder.gguf

It needs envs/rag.txt. The notes of the demonstration and held-out notes are cut and searched by
Assay itself, as config/retrieval.yaml has it. Neither have a full name of the training text. Then
it compares the vectors of llama.cpp with those of PyTorch.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from tools.demo_model.cited import items, notes
from tools.demo_model.encoder.train import vectors
from tools.demo_model.inherit import read_model
from tools.demo_model.questions.language import seeded
from tools.demo_model.recipes import ENCODERS
from workflow_scripts.backends.tokens import TokenizerFile
from workflow_scripts.retrieval.chunk import ChunkSettings, chunks
from workflow_scripts.retrieval.embed import embeddings
from workflow_scripts.retrieval.embedders.llama_cpp import LlamaCppEmbedder
from workflow_scripts.retrieval.embedders.settings import (
    Bm25Settings,
    LlamaCppEmbedderSettings,
    index_settings,
)
from workflow_scripts.retrieval.index import open_index, write_index
from workflow_scripts.retrieval.records import Chunk, Document
from workflow_scripts.retrieval.relevant import Relevant
from workflow_scripts.retrieval.settings import ChunkingSettings
from workflow_scripts.retrieval.vectors import write_embeddings

KS = (1, 3, 5)
NONE = max(KS) + 1
TOKENS = 20  # of a chunk
HELD_OUT_QUESTIONS = 600
NAMES = ("bm25", "lsa", "encoder")

Notes = dict[str, list[notes.Line]]
Asked = list[tuple[str, str]]
"""Questions, each with its gold line as an item names it."""


def demonstration() -> tuple[Notes, Asked]:
    """Return the notes of the demonstration, and the questions that they answer."""
    asked = [(item["question"], item["relevant"]) for item, _ in items.questions()]
    return items.draw_notes(), [(question, gold[0]) for question, gold in asked if gold]


def held_out(seed: int) -> tuple[Notes, Asked]:
    """Return as many other notes, and questions on them."""
    rng = seeded(f"encoder-held-out-{seed}")
    people = notes.draw_people(rng, "valid", items.PEOPLE * items.NOTES)
    written = {
        f"notes/{number + 1:03d}.txt": notes.draw_lines(
            rng, people[items.PEOPLE * number : items.PEOPLE * (number + 1)], items.LINES
        )
        for number in range(items.NOTES)
    }
    told = [
        (line, f"{path}:L{number}")
        for path, lines in written.items()
        for number, line in enumerate(lines, 1)
    ]
    asked = [
        (rng.choice(line.relation.questions).format(name=line.name), gold)
        for line, gold in rng.sample(told, HELD_OUT_QUESTIONS)
    ]
    return written, asked


def documents(written: Notes) -> Iterator[Document]:
    """Yield notes as documents of a corpus."""
    for path, lines in written.items():
        text = "".join(f"{line.text}\n" for line in lines)
        yield Document(path=path, text=text)


def ranks(name: str, model: Path, found_in: Sequence[Chunk], asked: Asked) -> np.ndarray:
    """Return the rank of each question's gold passage, or ``NONE``."""
    own = LlamaCppEmbedderSettings(kind="llama_cpp", model=str(model), n_threads=1)
    settings = index_settings(name, {"encoder": own})
    with tempfile.TemporaryDirectory() as temporary:
        folder, kept, vectors_file = Path(temporary), Path(temporary) / "kept", None
        if not isinstance(settings.settings, Bm25Settings):
            vectors_file = folder / "embeddings.npy"
            write_embeddings(vectors_file, embeddings(found_in, settings, kept))
        write_index(found_in, vectors_file, settings, folder / "index.json")
        index = open_index(folder, settings, found_in, kept)
        questions, golds = zip(*asked, strict=True)
        found = index.search(questions, max(KS))
        index.close()
    return np.array(
        [
            next((rank for rank, hit in enumerate(hits, 1) if gold.covers(found_in[hit.row])), NONE)
            for hits, gold in zip(found, map(Relevant.read, golds), strict=True)
        ]
    )


def compare(title: str, model: Path, written: Notes, asked: Asked) -> None:
    """Print the recall of all, and exact McNemar tests of the encoder against the others."""
    tokenizer = TokenizerFile(path=str(model), is_own=True)
    settings = ChunkSettings(
        chunking=ChunkingSettings(tokens=TOKENS, overlap=0.0), tokenizer=tokenizer
    )
    found_in = list(chunks(documents(written), settings))
    found = {name: ranks(name, model, found_in, asked) for name in NAMES}
    print(f"{title}: {len(found_in)} chunks, {len(asked)} questions")
    for name, of_name in found.items():
        print(f"  {name:8}", *(f"recall@{k} {(of_name <= k).mean():.3f} " for k in KS))
    for name in NAMES[:-1]:
        for k in KS:
            won = int(((found["encoder"] <= k) & (found[name] > k)).sum())
            lost = int(((found["encoder"] > k) & (found[name] <= k)).sum())
            p = binomtest(won, won + lost).pvalue if won + lost else 1.0
            print(f"  encoder and {name}, recall@{k}: {won} won, {lost} lost, p = {p:.1e}")


def largest_difference(model: Path, texts: Sequence[str]) -> float:
    """Return the largest difference of a number of a vector between llama.cpp and PyTorch."""
    ours = vectors(read_model(model), ENCODERS["assay-encoder"].tokenizer(), texts)
    embedder = LlamaCppEmbedder(LlamaCppEmbedderSettings(kind="llama_cpp", model=str(model)))
    theirs, _ = embedder.embed(texts)
    embedder.close()
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    return float(np.abs(ours.detach().numpy() - theirs).max())


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description="Measure the encoder of the demonstration.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1, help="of the held-out notes")
    arguments = parser.parse_args()
    demo = demonstration()
    compare("notes of the demonstration", arguments.model, *demo)
    compare("held-out notes", arguments.model, *held_out(arguments.seed))
    texts = [each.text for each in documents(demo[0])] + [question for question, _ in demo[1]]
    difference = largest_difference(arguments.model, texts)
    print(f"largest difference of a vector's numbers to PyTorch's: {difference:.1e}")


if __name__ == "__main__":
    main()
