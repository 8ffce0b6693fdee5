"""Threads, batch, answers at once and cache, against values computed by hand."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import psutil
import pytest

from workflow_scripts.backends.gguf_context import (
    Memory,
    Setting,
    attention_bytes_per_pair,
    cache_bytes_per_token,
)
from workflow_scripts.backends.gguf_file import GgufFile, read_gguf
from workflow_scripts.backends.llama_cpp_binding import LoadOptions
from workflow_scripts.backends.llama_cpp_sizing import explanation, sized
from workflow_scripts.backends.settings import BackendSettings

WEIGHTS = 5 * 10**9
A_TOKEN = 2**17
"""Llama 3.1 8B: 32 layers, 8 key-value heads of 128 numbers, key and value, 2 bytes each."""

PAIR = (32 + 1) * 4
"""Its attention of a token to a cell: scores of 32 heads, and a mask, 4 bytes each."""

WORKING = 512_000_000
"""What is kept free on a GPU."""


@pytest.fixture
def file() -> GgufFile:
    metadata = {
        "general.architecture": "llama",
        "llama.block_count": 32,
        "llama.attention.head_count": 32,
        "llama.attention.head_count_kv": 8,
        "llama.embedding_length": 4096,
    }
    return GgufFile(Path("m.gguf"), metadata, {"blk.0.ffn_up.weight": WEIGHTS})


def settings(**values: Any) -> BackendSettings:
    return BackendSettings(
        backend="local",
        local_engine="llama_cpp",
        local_binding="llama_cpp_python",
        local_model="m.gguf",
        **values,
    )


def sizes(file: GgufFile, n_ctx: int, left: int, **values: Any) -> tuple[int, int, int]:
    """Batch, answers at once and cells where one context on the CPU leaves so many bytes."""
    memory = Memory(WEIGHTS + n_ctx * A_TOKEN + left, None)
    found = sized(file, Setting(n_ctx, 0), settings(**values), memory)
    return found.batch, found.sequences, found.cells


def test_much_memory_holds_sixteen_answers_on_a_cpu(file: GgufFile) -> None:
    assert sizes(file, 1024, 10**11) == (512, 16, 16 * 1024)
    assert sizes(file, 4096, 10**11) == (512, 16, 32_768)
    assert sizes(file, 65_536, 10**12) == (512, 16, 65_536)


def test_short_memory_makes_cache_batch_and_answers_smaller(file: GgufFile) -> None:
    of_context = 512 * PAIR * 1024
    each = A_TOKEN + 512 * PAIR
    # Half of what is left is for attention to one context, then for more cells with theirs.
    assert sizes(file, 1024, 2 * (of_context + 1024 * each)) == (512, 16, 2048)
    assert sizes(file, 1024, 2 * (of_context + 512 * each)) == (512, 12, 1536)
    assert sizes(file, 1024, 2 * of_context) == (512, 8, 1024)
    less = 2 * of_context - 2
    further = (of_context - 1 - of_context // 2) // (A_TOKEN + 256 * PAIR)
    assert sizes(file, 1024, less) == (256, (1024 + further) // 128, 1024 + further)
    assert sizes(file, 1024, 0) == (64, 8, 1024)
    assert sizes(file, 100, 0) == (64, 1, 100)


def test_the_config_has_the_last_word(file: GgufFile) -> None:
    mine = {"n_sequences": 100, "n_batch": 700, "n_threads": 3}
    assert sizes(file, 1024, 0, **mine) == (700, 100, 1024)
    assert sizes(file, 64, 10**12, **mine) == (700, 100, 6400)
    found = sized(file, Setting(64, 0), settings(**mine), Memory(10**12, None))
    assert found.threads == 3
    assert explanation(found, settings(**mine)) == (
        "3 threads (n_threads: set), 100 answers at once (n_sequences: set), batches of 700 tokens "
        "(n_batch: set), a cache of 6400 tokens (by need, within half of the free memory)"
    )


def test_a_gpu_counts_its_own_memory_and_no_attention(file: GgufFile) -> None:
    def found(gpu: int | None, n_ctx: int = 1024) -> tuple[int, int, int]:
        options = sized(file, Setting(n_ctx, -1), settings(n_gpu_layers=-1), Memory(0, gpu))
        return options.batch, options.sequences, options.cells

    model = WEIGHTS + 1024 * A_TOKEN + WORKING
    assert found(10**12) == (512, 64, 32_768)
    assert found(model + 2 * 1024 * A_TOKEN) == (512, 16, 2048)
    assert found(model) == (512, 8, 1024)
    assert found(None) == (512, 64, 1024)  # it does not say what is free


def test_the_memory_is_what_llama_cpp_reports(demo_model: Path) -> None:
    import llama_cpp

    from workflow_scripts.backends.binding_llama_cpp_python import Context, Vocabulary, _log_errors

    lines: list[str] = []

    @llama_cpp.llama_log_callback  # type: ignore[untyped-decorator] # of a library without types
    def keep(level: int, text: bytes, user_data: Any) -> None:
        lines.append(text.decode("utf-8", "replace"))

    def reported(cells: int, batch: int) -> float:
        """The buffers for the cache and for computing."""
        lines.clear()
        options = LoadOptions(1024, n_threads=1, batch=batch, sequences=4, cells=cells)
        Context(demo_model, vocabulary, options).close()
        found = re.findall(r"(?:KV|compute) buffer size = +([\d.]+) MiB", "".join(lines))
        assert len(found) == 2
        return sum(map(float, found)) * 2**20

    file, vocabulary = read_gguf(demo_model), Vocabulary(demo_model)
    per_token, pair = cache_bytes_per_token(file), attention_bytes_per_pair(file)
    assert per_token
    llama_cpp.llama_log_set(keep, None)
    try:
        for batch in (512, 128):
            more = reported(8192, batch) - reported(4096, batch)
            assert more == pytest.approx(4096 * (per_token + batch * pair), rel=1e-3)
    finally:
        llama_cpp.llama_log_set(_log_errors, None)
        vocabulary.close()


def test_an_unknown_cache_holds_one_context() -> None:
    unknown = GgufFile(Path("m.gguf"), {"general.architecture": "x"}, {"a": WEIGHTS})
    found = sized(unknown, Setting(1024, 0), settings(), Memory(10**12, None))
    assert (found.sequences, found.cells) == (16, 1024)


def test_the_log_says_why(file: GgufFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: 8 if logical else 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    options = sized(file, Setting(1024, 0), settings(), Memory(WEIGHTS + 1024 * A_TOKEN, None))
    assert explanation(options, settings()) == (
        "4 threads (n_threads: one for each physical core), 8 answers at once (n_sequences: as "
        "many as fit into the cache), batches of 64 tokens (n_batch: less than usual, as memory is "
        "short), a cache of 1024 tokens (by need, within half of the free memory)"
    )
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5}, raising=False)
    options = sized(file, Setting(1024, 0), settings(), Memory(10**12, None))
    assert explanation(options, settings()).startswith(
        "2 threads (n_threads: one for each physical core), 16 answers at once (n_sequences: usual "
        "on a CPU), batches of 512 tokens (n_batch: usual), a cache of 16384 tokens"
    )
