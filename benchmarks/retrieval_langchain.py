"""LangChain's usual steps for `retrieval.py`; runs in an environment without Assay.

python retrieval_langchain.py FOLDER QUESTIONS.json
"""

from __future__ import annotations

import json
import re
import sys
import time
import zlib
from collections.abc import Sequence

import numpy as np

WIDTH = 256

_TOKEN = re.compile(r"[A-Z]?[a-z]+|[A-Z]|[0-9]+|\n|([^\sA-Za-z0-9])\1*")
"""Assay's estimate of tokens, as long as the text is ASCII."""


def tokens(text: str) -> int:
    """Return about how many tokens a text has."""
    return sum(1 for _ in _TOKEN.finditer(text))


def vectors(texts: Sequence[str]) -> np.ndarray:
    """Return vectors of length 1: how often words of each hash occur."""
    found = np.zeros((len(texts), WIDTH), np.float32)
    for row, text in enumerate(texts):
        numbers = [zlib.crc32(word.encode()) % WIDTH for word in text.split()]
        found[row] = np.bincount(numbers, minlength=WIDTH) if numbers else 1
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def main() -> None:
    """Print the seconds of CPU as JSON."""
    from langchain_community.document_loaders import DirectoryLoader, TextLoader
    from langchain_community.vectorstores import FAISS
    from langchain_core.embeddings import Embeddings
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    spent = 0.0

    class Hashed(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            nonlocal spent
            started = time.process_time()
            found = vectors(texts).tolist()
            spent += time.process_time() - started
            return found

        def embed_query(self, text: str) -> list[float]:
            return vectors([text])[0].tolist()

    folder, asked = sys.argv[1:]
    started = time.process_time()
    loader = DirectoryLoader(
        folder,
        glob="**/*.py",
        loader_cls=TextLoader,
        loader_kwargs={"autodetect_encoding": True},
        silent_errors=True,
    )
    documents = loader.load()
    load_s = time.process_time() - started

    started = time.process_time()
    RecursiveCharacterTextSplitter(chunk_size=1200, chunk_overlap=120).split_documents(documents)
    by_characters_s = time.process_time() - started

    started = time.process_time()
    splitter = RecursiveCharacterTextSplitter(
        chunk_size=300, chunk_overlap=30, length_function=tokens
    )
    pieces = splitter.split_documents(documents)
    by_tokens_s = time.process_time() - started

    started = time.process_time()
    store = FAISS.from_documents(pieces, Hashed())
    index_s = time.process_time() - started - spent
    with open(asked, encoding="utf-8") as stream:  # noqa: PTH123 - no pathlib needed here
        questions = json.load(stream)
    started = time.process_time()
    for question in questions:
        store.similarity_search(question, k=10)
    search_s = time.process_time() - started
    print(
        json.dumps(
            {
                "chunks": len(pieces),
                "by_characters_s": load_s + by_characters_s + index_s,
                "by_tokens_s": load_s + by_tokens_s + index_s,
                "search_s": search_s,
            }
        )
    )


if __name__ == "__main__":
    main()
