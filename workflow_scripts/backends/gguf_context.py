"""Check a GGUF model's context length from its metadata, before the model is loaded."""

from __future__ import annotations

import psutil

from ..core.errors import UserError
from .gguf_file import GgufFile

_CACHE_BYTES = 2
"""Bytes of a number in llama.cpp's cache of keys and values, which holds 16-bit floats."""


def check_context(
    file: GgufFile,
    n_ctx: int,
    *,
    in_memory: bool,
    available_bytes: int | None = None,
) -> None:
    """See that a model was trained for a context length, and that the memory for it is there.

    Args:
        file: the GGUF file of the model.
        n_ctx: context length in tokens.
        in_memory: whether the cache of keys and values lies in main memory, not on a GPU.
        available_bytes: free memory in bytes; by default what the system reports.

    Raises:
        UserError: it is too long; the message names the longest that is not.
    """
    trained = file.number("context_length")
    if trained is not None and n_ctx > trained:
        raise UserError(
            f"{file.path.as_posix()}: n_ctx is {n_ctx}, but this model was trained for {trained} "
            f"tokens. Set n_ctx to {trained} or less."
        )
    per_token = cache_bytes_per_token(file)
    if not in_memory or per_token is None:
        return
    if available_bytes is None:
        available_bytes = psutil.virtual_memory().available
    if n_ctx * per_token > available_bytes:
        raise UserError(
            f"{file.path.as_posix()}: n_ctx={n_ctx} needs {n_ctx * per_token / 1e9:.1f} GB of "
            f"memory besides the model, and {available_bytes / 1e9:.1f} GB are free. Set n_ctx to "
            f"{available_bytes // per_token} or less."
        )


def cache_bytes_per_token(file: GgufFile) -> int | None:
    """Return the size of the keys and values of one token in bytes; None if it is not known.

    Each layer keeps a key and a value for each of its key-value heads. Key and value are as wide as
    the model's embedding divided by its heads, unless the metadata say otherwise (the GGUF
    specification, "attention").
    """
    layers, width = file.number("block_count"), file.number("embedding_length")
    if not layers or not width:
        return None
    heads = file.numbers("attention.head_count", layers)
    if not heads or not all(heads):
        return None
    kv_heads = file.numbers("attention.head_count_kv", layers) or heads
    of_head = width // heads[0]
    key = file.number("attention.key_length") or of_head
    value = file.number("attention.value_length") or of_head
    return sum(kv_heads) * (key + value) * _CACHE_BYTES
