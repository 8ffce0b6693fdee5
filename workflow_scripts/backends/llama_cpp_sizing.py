"""How llama.cpp is loaded for many answers at once: sizes that follow from cores and memory."""

from __future__ import annotations

from .gguf_context import (
    Memory,
    Setting,
    attention_bytes_per_pair,
    cache_bytes_per_token,
    needed,
)
from .gguf_file import GgufFile
from .llama_cpp_binding import USUAL_BATCH, LoadOptions
from .settings import BackendSettings

_MOST_CELLS = 32_768
"""Tokens in a cache that several answers share. More of them slow each other down."""

_OWN_TOKENS = 128
"""Cells that an answer is expected to need: question and answer, behind a shared beginning."""

_LEAST_BATCH = 64
"""Smallest batch that is chosen. Prompts take too long in smaller ones."""


def most_at_once(n_sequences: int | None, n_gpu_layers: int) -> int:
    """Return how many answers are made at once at most.

    A CPU gains little by more than 16, and computes with the tokens of all.
    """
    return n_sequences or (64 if n_gpu_layers else 16)


def sized(
    file: GgufFile, setting: Setting, settings: BackendSettings, memory: Memory
) -> LoadOptions:
    """Return how a model is loaded: as the config says, and otherwise as free memory allows.

    Many answers need more tokens in the cache than one, and on a CPU memory for the attention of
    each token of a batch to each cell. Both together take at most half of the memory that the model
    leaves with one context. Where the attention of one context does not fit, the batch is halved.
    Where free memory or the size of a token is unknown, the cache holds one context.
    """
    n_ctx, most = setting.n_ctx, most_at_once(settings.n_sequences, setting.n_gpu_layers)
    left, per_token = _left(file, setting, memory), cache_bytes_per_token(file)
    pair = 0 if setting.n_gpu_layers else attention_bytes_per_pair(file)
    spare = (left or 0) // 2
    batch = settings.n_batch or USUAL_BATCH
    while settings.n_batch is None and batch > _LEAST_BATCH and batch * pair * n_ctx > spare:
        batch //= 2
    cells, fit = n_ctx, most
    if left is not None and per_token:
        further = (spare - batch * pair * n_ctx) // (per_token + batch * pair)
        cells = min(most * n_ctx, max(_MOST_CELLS, n_ctx), n_ctx + max(0, further))
        fit = max(1, cells // min(_OWN_TOKENS, n_ctx))
    return LoadOptions(
        n_ctx=n_ctx,
        n_gpu_layers=setting.n_gpu_layers,
        n_threads=settings.n_threads,
        batch=batch,
        sequences=settings.n_sequences or min(most, fit),
        cells=cells,
    )


def explanation(options: LoadOptions, settings: BackendSettings) -> str:
    """Return the sizes with the reason for each, in one line."""
    most = most_at_once(None, options.n_gpu_layers)
    device = "GPU" if options.n_gpu_layers else "CPU"
    fit = "as many as fit into the cache" if options.sequences < most else f"usual on a {device}"
    usual = "usual" if options.batch == USUAL_BATCH else "less than usual, as memory is short"
    reasons = {
        "n_threads": "set" if settings.n_threads else "one for each physical core",
        "n_sequences": "set" if settings.n_sequences else fit,
        "n_batch": "set" if settings.n_batch else usual,
    }
    return (
        f"{options.threads} threads (n_threads: {reasons['n_threads']}), "
        f"{options.sequences} answers at once (n_sequences: {reasons['n_sequences']}), "
        f"batches of {options.batch} tokens (n_batch: {reasons['n_batch']}), "
        f"a cache of {options.cells} tokens (by need, within half of the free memory)"
    )


def _left(file: GgufFile, setting: Setting, memory: Memory) -> int | None:
    """Return the free bytes beside a model with one context, on the GPU if it has layers there."""
    need = needed(file, setting)
    if not need.gpu:
        return max(0, memory.main - need.main)
    return None if memory.gpu is None else max(0, memory.gpu - need.gpu)
