"""How long retrieval takes on a large code base: the sources of this environment's packages.

    python -m benchmarks.retrieval [--chunks 50000] [--langchain]

Times are wall-clock seconds of one process, and seconds of CPU, for busy machines. The embedders
for `--langchain` and for the changed file are cheap, so that all else is measured. `--langchain`
makes an environment of its own with langchain-community and faiss-cpu. The usual steps are measured
there: load files, split them, embed and index them, search one question at a time.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
import psutil

from workflow_scripts.retrieval import dense
from workflow_scripts.retrieval.chunk import ChunkSettings, chunks
from workflow_scripts.retrieval.embed import embeddings
from workflow_scripts.retrieval.embedders.settings import (
    LlamaCppEmbedderSettings,
    index_settings,
)
from workflow_scripts.retrieval.hits import Index, places
from workflow_scripts.retrieval.index import open_index, write_index
from workflow_scripts.retrieval.ingest import documents
from workflow_scripts.retrieval.records import Chunk, Document
from workflow_scripts.retrieval.settings import ChunkingSettings, CorpusSettings
from workflow_scripts.retrieval.vectors import write_embeddings

from . import retrieval_langchain as langchain

SOURCES = Path(sysconfig.get_path("purelib"))
CHUNKING = ChunkSettings(chunking=ChunkingSettings(tokens=300, overlap=0.1))
CODE = ChunkSettings(chunking=ChunkingSettings(tokens=300, overlap=0.1, by="code"))
QUERIES = 1_000
TOP_K = 10
PACKAGES = ("langchain-community", "langchain-text-splitters", "faiss-cpu")


@contextmanager
def timed(what: str, limit: str = "") -> Iterator[Callable[[], float]]:
    """Print how long a block takes; the value gives the seconds afterwards."""
    started, worked, found = time.perf_counter(), time.process_time(), 0.0
    yield lambda: found
    found, worked = time.perf_counter() - started, time.process_time() - worked
    print(f"{what:40} {found:9.3f} s, {worked:9.3f} s of CPU  {limit}", flush=True)


def ingested(folder: Path) -> list[Document]:
    """Return the documents of the sources."""
    with timed("ingest") as took:
        settings = CorpusSettings(path=str(folder), include=["*.py"])
        found = [each for each in documents(folder, settings) if each.left_out is None]
    size = sum(each.length for each in found) / 1e6
    print(f"  {len(found)} files, {size:.0f} MB: {size / took():.0f} MB/s")
    return found


def chunked(files: Sequence[Document], most: int, chunking: ChunkSettings) -> list[Chunk]:
    """Return chunks of documents."""
    with timed(f"chunk by {chunking.chunking.by}", "at least 20 MB/s") as took:
        found = list(islice(chunks(files, chunking), most))
    size = sum(len(each.text) for each in found) / 1e6
    print(f"  {len(found)} chunks, {size:.0f} MB: {size / took():.0f} MB/s")
    return found


def questions(made_of: Sequence[Chunk]) -> list[str]:
    """Return questions made of words of the chunks."""
    chance = random.Random(1)
    texts = (chance.choice(made_of).text.split() for _ in range(QUERIES))
    return [" ".join(chance.choices(words, k=min(8, len(words)))) for words in texts]


def searched(index: Index, asked: Sequence[str], limit: str) -> None:
    """Print how long searches take, one by one and together."""
    index.search(asked[:1], TOP_K)
    few = asked[:200]
    started = time.perf_counter()
    single = [index.search([each], TOP_K)[0] for each in few]
    one = (time.perf_counter() - started) / len(few)
    started = time.perf_counter()
    together = index.search(asked, TOP_K)
    all_of_them = (time.perf_counter() - started) / len(asked)
    assert together[: len(few)] == single
    print(
        f"  a query {1e3 * one:.2f} ms ({limit}); {len(asked)} together {1e3 * all_of_them:.2f} ms "
        f"each: {one / all_of_them:.1f} times faster",
        flush=True,
    )


def without_model(folder: Path, made_of: Sequence[Chunk]) -> None:
    """Measure bm25 and lsa."""
    asked = questions(made_of)
    for name, limits in (("bm25", ("under 20 s", "under 5 ms")), ("lsa", ("", "under 10 ms"))):
        settings, place = index_settings(name, {}), folder / name
        vectors = None
        if name == "lsa":
            vectors = place / "embeddings.npy"
            with timed("lsa: vectors", "under 120 s"):
                write_embeddings(vectors, embeddings(made_of, settings))
            most = psutil.Process().memory_info()
            peak = getattr(most, "peak_wset", None) or _peak()
            print(f"  peak memory of the process so far {peak / 1e9:.2f} GB (under 2 GB)")
        with timed(f"{name}: index", limits[0]):
            write_index(made_of, vectors, settings, place / "index.json")
        with timed(f"{name}: open"):
            index = open_index(place, settings, made_of)
        searched(index, asked, limits[1])


def _peak() -> int:
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def one_changed_file(folder: Path, files: Sequence[Document], encoder: Path) -> None:
    """Measure a change of one file of 5,000 with an embedder that has a model."""
    small = [each.model_copy(update={"text": each.text[:45]}) for each in files if each.text[:45]]
    small = (small * (5_000 // len(small) + 1))[:5_000]
    small = [
        each.model_copy(update={"path": f"{number}/{each.path}", "text": f"{number} {each.text}"})
        for number, each in enumerate(small)
    ]
    own = LlamaCppEmbedderSettings(kind="llama_cpp", model=str(encoder))
    settings, chunking = index_settings("e", {"e": own}), ChunkingSettings(tokens=40, overlap=0)

    def make() -> None:
        made_of = list(chunks(small, ChunkSettings(chunking=chunking)))
        made = embeddings(made_of, settings, folder / "kept")
        write_embeddings(folder / "e" / "embeddings.npy", made)
        write_index(made_of, folder / "e" / "embeddings.npy", settings, folder / "e" / "index.json")

    with timed("5,000 files with a tiny encoder"):
        make()
    small[17] = small[17].model_copy(update={"text": "changed = True\n"})
    with timed("the same after a change of one file", "under 10 s"):
        make()


class Hashed:
    """The embedder of the comparison."""

    def identity(self) -> dict[str, str]:
        """Return its name."""
        return {"kind": "hashed"}

    def queries(self, texts: Sequence[str]) -> np.ndarray:
        """Return vectors of length 1."""
        return langchain.vectors(texts)

    def close(self) -> None:
        """Nothing is open."""


def compared(folder: Path, source: Path, python: Path) -> None:
    """Measure ingesting and searching here and with LangChain, with one embedder, not counted.

    In seconds of CPU: other processes change these least.
    """
    started = time.process_time()
    files = documents(source, CorpusSettings(path=str(source), include=["*.py"]))
    made_of = list(chunks((each for each in files if each.left_out is None), CHUNKING))
    ingesting = time.process_time() - started
    embedder = Hashed()
    vectors = embedder.queries([each.text for each in made_of])
    started = time.process_time()
    content = dense.build(vectors, exact=True)
    index = dense.DenseIndex(content, places([each.id for each in made_of]), embedder)
    ingesting += time.process_time() - started
    asked = questions(made_of)
    (folder / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
    started = time.process_time()
    index.search(asked, TOP_K)
    searching = time.process_time() - started
    command = [str(python), langchain.__file__, str(source), str(folder / "asked.json")]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    theirs = json.loads(said)
    print(f"Assay: {len(made_of)} chunks; LangChain: {theirs['chunks']} chunks of 300 tokens")
    for what, ours, other in (
        ("ingest, chunks of 300 tokens", ingesting, theirs["by_tokens_s"]),
        ("ingest, theirs of 1,200 characters", ingesting, theirs["by_characters_s"]),
        ("1,000 queries", searching, theirs["search_s"]),
    ):
        print(f"{what:40} {ours:9.3f} s, LangChain {other:.3f} s of CPU: {other / ours:.1f} times")


def environment(folder: Path) -> Path | None:
    """Return the Python of an environment with LangChain, or None if it cannot be installed."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", *PACKAGES]
    return python if subprocess.run(install, check=False).returncode == 0 else None


def main() -> None:
    """Print all times."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--chunks", type=int, default=50_000)
    parser.add_argument("--encoder", type=Path, help="a GGUF encoder, for the changed file")
    parser.add_argument("--langchain", action="store_true", help="compare with LangChain")
    parser.add_argument("--python", type=Path, help="of an environment that has it already")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = ingested(SOURCES)
        chunked(files, arguments.chunks, CODE)
        without_model(folder, chunked(files, arguments.chunks, CHUNKING))
        if arguments.encoder is not None:
            one_changed_file(folder, files, arguments.encoder)
        if arguments.langchain:
            python = arguments.python or environment(folder / "langchain")
            if python is None:
                print("LangChain cannot be installed; the comparison is left out")
            else:
                compared(folder, SOURCES / "pandas", python)


if __name__ == "__main__":
    main()
