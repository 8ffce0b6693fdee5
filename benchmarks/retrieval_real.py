"""How much the embedders without a model find: on SQuAD, and on questions about real code.

    python -m benchmarks.retrieval_real --squad squad2_dev_6078.json.gz \
        --code flask_85c5d93.tar.gz swe_qa_flask.jsonl

SQuAD: the answerable questions, and whole passages. Code: the gold files of a question are those
that its reference answer names, with a path or with a name that one file alone has. These labels
are noisy: an answer names files that it does not need, and leaves out others.

The data are no part of this repository.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from workflow_scripts.retrieval.chunk import ChunkSettings, chunks
from workflow_scripts.retrieval.embed import embeddings
from workflow_scripts.retrieval.embedders.settings import (
    EmbedderSettings,
    HybridSettings,
    IndexSettings,
    index_settings,
)
from workflow_scripts.retrieval.index import open_index, write_index
from workflow_scripts.retrieval.index_files import is_dense
from workflow_scripts.retrieval.ingest import documents
from workflow_scripts.retrieval.records import Chunk
from workflow_scripts.retrieval.settings import ChunkingSettings, CorpusSettings
from workflow_scripts.retrieval.vectors import write_embeddings

EMBEDDERS: Mapping[str, EmbedderSettings] = {
    "hybrid": HybridSettings(kind="hybrid", parts=("bm25", "lsa"))
}
NAMES = ("bm25", "lsa", "hybrid")
KS = (1, 3, 5, 10)


def make(folder: Path, made_of: Sequence[Chunk], settings: IndexSettings) -> None:
    """Write the files of an embedder."""
    own, place = settings.settings, folder / settings.embedder
    if isinstance(own, HybridSettings):
        return
    vectors = place / "embeddings.npy" if is_dense(own) else None
    if vectors is not None:
        write_embeddings(vectors, embeddings(made_of, settings))
    write_index(made_of, vectors, settings, place / "index.json")


def found_files(
    made_of: Sequence[Chunk], queries: Sequence[str], depth: int
) -> Mapping[str, list[list[str]]]:
    """Return the paths that each embedder finds for each query, best first, each once."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            settings = index_settings(name, EMBEDDERS)
            make(Path(folder), made_of, settings)
            index = open_index(Path(folder) / name, settings, made_of)
            found[name] = [
                list(dict.fromkeys(made_of[hit.row].path for hit in hits))
                for hits in index.search(queries, depth)
            ]
    return found


def report(title: str, found: Mapping[str, list[list[str]]], gold: Sequence[set[str]]) -> None:
    """Print hits (a gold path is among the first k) and recall (the share of them that is)."""
    print(title)
    for name, ranked in found.items():
        pairs = list(zip(ranked, gold, strict=True))
        hits = [sum(bool(right & {*paths[:k]}) for paths, right in pairs) for k in KS]
        parts = [sum(len(right & {*paths[:k]}) / len(right) for paths, right in pairs) for k in KS]
        for what, sums in (("hit", hits), ("recall", parts)):
            row = "  ".join(
                f"@{k} {each / len(gold):.3f}" for k, each in zip(KS, sums, strict=True)
            )
            print(f"  {name:8} {what:8} {row}")


def squad(path: Path) -> None:
    """Measure on a file in SQuAD's format."""
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        articles = json.load(stream)["data"]
    passages: list[Chunk] = []
    questions: list[tuple[str, str]] = []
    for paragraph in (each for article in articles for each in article["paragraphs"]):
        text, name = paragraph["context"], f"{len(passages):04d}"
        place = {"first_line": 1, "last_line": 1, "start": 0, "end": len(text), "tokens": 0}
        passages.append(Chunk(id=f"{name}:0-{len(text)}", path=name, text=text, **place))
        asked = [each for each in paragraph["qas"] if not each.get("is_impossible")]
        questions += [(each["question"], name) for each in asked]
    found = found_files(passages, [text for text, _ in questions], 10)
    title = f"{path.name}: {len(passages)} passages, {len(questions)} questions"
    report(title, found, [{name} for _, name in questions])


def code(archive: Path, asked: Path, tokens: int, include: list[str]) -> None:
    """Measure on the files of an archive."""
    settings = ChunkSettings(chunking=ChunkingSettings(tokens=tokens, by="code"))
    files = documents(archive, CorpusSettings(path=str(archive), include=include))
    made_of = list(chunks((each for each in files if each.left_out is None), settings))
    paths = {each.path for each in files if each.left_out is None}
    questions, gold = [], []
    for line in asked.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        named = set(re.findall(r"[\w./-]+\.\w+", row["answer"]))
        fitting = [{path for path in paths if f"/{path}".endswith(f"/{name}")} for name in named]
        if right := {min(each) for each in fitting if len(each) == 1}:
            questions.append(row["question"])
            gold.append(right)
    found = found_files(made_of, questions, 200)
    report(f"{asked.name}: {len(made_of)} chunks, {len(questions)} questions", found, gold)


def main() -> None:
    """Print what is found."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--squad", type=Path)
    parser.add_argument("--code", type=Path, nargs=2, action="append", default=[])
    parser.add_argument("--tokens", type=int, default=800, help="of a chunk of code")
    parser.add_argument("--include", nargs="+", default=["**"], help="patterns of paths")
    arguments = parser.parse_args()
    if arguments.squad is not None:
        squad(arguments.squad)
    for archive, asked in arguments.code:
        code(archive, asked, arguments.tokens, arguments.include)


if __name__ == "__main__":
    main()
