"""Check a GGUF model's context length from its metadata, before the model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psutil

from ..core.errors import UserError

_CACHE_BYTES = 2
"""Bytes of a number in llama.cpp's cache of keys and values, which holds 16-bit floats."""


def check_context(
    model: Path,
    metadata: Mapping[str, str],
    n_ctx: int,
    *,
    in_memory: bool,
    available_bytes: int | None = None,
) -> None:
    """See that a model was trained for a context length, and that the memory for it is there.

    Args:
        model: the GGUF file, for messages.
        metadata: its metadata, as text.
        n_ctx: context length in tokens.
        in_memory: whether the cache of keys and values lies in main memory, not on a GPU.
        available_bytes: free memory in bytes; by default what the system reports.

    Raises:
        UserError: it is too long; the message names the longest that is not.
    """
    arch = metadata.get("general.architecture", "")
    trained = _number(metadata, f"{arch}.context_length")
    if trained is not None and n_ctx > trained:
        raise UserError(
            f"{model.as_posix()}: n_ctx is {n_ctx}, but this model was trained for {trained} "
            f"tokens. Set n_ctx to {trained} or less."
        )
    per_token = cache_bytes_per_token(metadata)
    if not in_memory or per_token is None:
        return
    if available_bytes is None:
        available_bytes = psutil.virtual_memory().available
    if n_ctx * per_token > available_bytes:
        raise UserError(
            f"{model.as_posix()}: n_ctx={n_ctx} needs {n_ctx * per_token / 1e9:.1f} GB of memory "
            f"besides the model, and {available_bytes / 1e9:.1f} GB are free. Set n_ctx to "
            f"{available_bytes // per_token} or less."
        )


def cache_bytes_per_token(metadata: Mapping[str, str]) -> int | None:
    """Return the size of the keys and values of one token in bytes; None if it is not known.

    Each layer keeps a key and a value for each of its key-value heads. Key and value are as wide as
    the model's embedding divided by its heads, unless the metadata say otherwise (the GGUF
    specification, "attention").
    """
    arch = metadata.get("general.architecture", "")
    layers = _number(metadata, f"{arch}.block_count")
    heads = _number(metadata, f"{arch}.attention.head_count")
    kv_heads = _number(metadata, f"{arch}.attention.head_count_kv") or heads
    width = _number(metadata, f"{arch}.embedding_length")
    if not (layers and heads and kv_heads and width):
        return None
    key = _number(metadata, f"{arch}.attention.key_length") or width // heads
    value = _number(metadata, f"{arch}.attention.value_length") or width // heads
    return layers * kv_heads * (key + value) * _CACHE_BYTES


def _number(metadata: Mapping[str, str], key: str) -> int | None:
    """A whole number of the metadata; None where there is none, or one for each layer."""
    text = metadata.get(key, "")
    return int(text) if text.isdecimal() else None
