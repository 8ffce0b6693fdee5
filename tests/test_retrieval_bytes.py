"""The same inputs give the same bytes in another folder, process and environment."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conftest import REPOSITORY, clean_environment
from encoder_gguf import CONTEXT, write_encoder

from workflow_scripts.retrieval.embedders.settings import (
    HybridSettings,
    LlamaCppEmbedderSettings,
    index_settings,
)

STAGES = """
import importlib, json, sys
for module, *sys.argv[1:] in json.load(sys.stdin):
    importlib.import_module(f"workflow_scripts.{module}").main()
"""
"""Runs commands one after another in one process, which takes a third of the time."""

ENVIRONMENTS = [
    {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OPENBLAS_CORETYPE": "Nehalem",
        "LC_ALL": "C",
        "TZ": "Pacific/Kiritimati",
        "PYTHONHASHSEED": "1",
    },
    {
        "OMP_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "2",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONHASHSEED": "2",
    },
]
"""The first one has OpenBLAS compute as on a processor of 2008, where it knows of processors."""


def write_inputs(folder: Path, order: random.Random) -> None:
    """Write documents in some order, questions, and a small encoder."""
    documents = {path.name: path.read_bytes() for path in (REPOSITORY / "docs").glob("[a-d]*.md")}
    for number, encoding in enumerate(["utf-16", "utf-8", "utf-8-sig"]):
        text = f"Größe {number} ist ıİiI.\r\n" * (number + 1)
        documents[f"short/ü #{number}.txt"] = text.encode(encoding)
    names = sorted(documents)
    for name in order.sample(names, len(names)):
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(documents[name])
    rows = [
        {
            **{"id": f"q{number}", "dataset": "d", "cluster_id": f"q{number}"},
            **{"question": question, "answers": ["x"]},
        }
        for number, question in enumerate(
            ["Größe IST", "the budget of a run", "def equal(scores)", "what re-runs, and why"]
        )
    ]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "items.jsonl").write_text(lines, encoding="utf-8")
    write_encoder(folder / "encoder.gguf")


def commands(folder: Path, threads: int) -> Iterator[list[str]]:
    """Write the settings of all stages, and yield their commands."""

    def told(name: str, settings: dict[str, Any]) -> list[str]:
        (folder / f"{name}.json").write_text(json.dumps(settings), encoding="utf-8")
        return ["--settings", f"{name}.json"]

    embedders = {
        "both": HybridSettings(kind="hybrid", parts=("bm25", "lsa")),
        "encoder": LlamaCppEmbedderSettings(
            kind="llama_cpp", model="encoder.gguf", n_threads=threads
        ),
    }
    tokenizer = {"path": "encoder.gguf", "is_own": True}
    for corpus, only, chunking, used in (
        ("all", ["**"], {"chunking": {"tokens": 120}}, ["bm25", "lsa", "both"]),
        (
            *("few", ["arms.md", "short/"]),
            *({"chunking": {"tokens": CONTEXT - 4}, "tokenizer": tokenizer}, ["encoder"]),
        ),
    ):
        settings = told(f"{corpus}.ingest", {"path": "in", "include": only})
        documents, chunks = f"{corpus}/documents.jsonl", f"{corpus}/chunks.jsonl"
        yield ["retrieval.ingest", *settings, "--source", "in", "--output", documents]
        settings = told(f"{corpus}.chunk", chunking)
        yield ["retrieval.chunk", *settings, "--documents", documents, "--output", chunks]
        for name in used:
            index = index_settings(name, embedders).model_dump(mode="json")
            settings = [*told(f"{name}.index", index), "--chunks", chunks]
            kept = ["--kept", "kept"] if name == "encoder" else []
            vectors = []
            if name in ("lsa", "encoder"):
                vectors = ["--embeddings", f"{corpus}/{name}/embeddings.npy"]
                yield ["retrieval.embed", *settings, *kept, "--output", vectors[1]]
            if name != "both":
                output = ["--output", f"{corpus}/{name}/index.json"]
                yield ["retrieval.index", *settings, *vectors, *output]
            search = {"corpus": corpus, "chunking": "x", "embedder": name, "top_k": 12}
            found = told(f"{name}.retrieve", {"task": "rag", "search": search, "index": index})
            yield [
                *("requests.retrieve", *found, "--items", "items.jsonl", "--chunks", chunks),
                *("--index", f"{corpus}/{name}", *kept, "--output", f"retrievals/{name}.jsonl"),
            ]


def contents(folder: Path) -> dict[str, bytes]:
    """What was made, without the record of what each command read."""
    found = [path for name in ("all", "few", "retrievals") for path in (folder / name).rglob("*")]
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in found
        if path.is_file() and "seals" not in path.parts
    }


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for number, given in enumerate(ENVIRONMENTS):
        folder = tmp_path / ("a folder" if number else "b")
        write_inputs(folder, random.Random(number))
        stages = list(commands(folder, threads=number + 1))
        subprocess.run(
            [sys.executable, "-c", STAGES],
            cwd=folder,
            env={**clean_environment(), **given},
            input=json.dumps(stages).encode(),
            check=True,
        )
        made.append(contents(folder))
    one, other = made
    assert one.keys() == other.keys()
    assert [path for path in one if one[path] != other[path]] == []
    assert sum(path.startswith("retrievals/") for path in one) == 4
