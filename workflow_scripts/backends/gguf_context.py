"""What fits: a GGUF model's context and memory, from its metadata, before the model is loaded."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ..core.errors import UserError
from .gguf_file import GgufFile

_CACHE_BYTES = 2
"""Bytes of a number in llama.cpp's cache of keys and values, which holds 16-bit floats."""

_SCORE_BYTES = 4
"""Bytes of a score of attention."""

_WORKING_BYTES = 512_000_000
"""Room on a GPU for what llama.cpp computes with, and for the driver."""


@dataclass(frozen=True)
class Memory:
    """Free memory in bytes: of the machine, and of the GPUs together where they tell it."""

    main: int
    gpu: int | None


@dataclass(frozen=True)
class Setting:
    """What decides how much memory a model takes; -1 layers on the GPU are all."""

    n_ctx: int
    n_gpu_layers: int

    def __str__(self) -> str:
        return f"n_ctx: {self.n_ctx} with n_gpu_layers: {self.n_gpu_layers}"


def free_memory() -> Memory:
    """Return what is free now, on the GPUs that this process may use."""
    import psutil

    from ..telemetry.gpus import free_gpu_bytes

    return Memory(psutil.virtual_memory().available, free_gpu_bytes(os.environ))


def fitted(file: GgufFile, wanted: Setting, memory: Memory, *, auto_fit: bool) -> Setting:
    """Return how a model is loaded: as wanted, or by ``auto_fit`` as large as fits.

    Fewer layers on the GPU come first, because they change the speed alone; then a shorter context.

    Raises:
        UserError: what is wanted does not fit; the message says what does.
    """
    trained = file.number("context_length")
    if trained is not None and wanted.n_ctx > trained:
        raise UserError(
            f"{file.path.as_posix()}: n_ctx is {wanted.n_ctx}, but this model was trained for "
            f"{trained} tokens. Set n_ctx to {trained} or less."
        )
    if _fits(file, wanted, memory):
        return wanted
    largest = _largest(file, wanted, memory)
    if auto_fit and largest is not None:
        return largest
    need = needed(file, wanted)
    on_gpu = (
        f", {need.gpu / 1e9:.1f} GB of it on the GPU, where {memory.gpu / 1e9:.1f} GB are free"
        if need.gpu and memory.gpu is not None
        else ""
    )
    advice = f"set {largest} (auto_fit: true does it), or " if largest is not None else ""
    raise UserError(
        f"{file.path.as_posix()}: {wanted} needs {(need.main + (need.gpu or 0)) / 1e9:.1f} GB of "
        f"memory{on_gpu}; {memory.main / 1e9:.1f} GB of main memory are free. To fix it, {advice}"
        "close other programs, or take a smaller model or quantisation."
    )


def needed(file: GgufFile, setting: Setting) -> Memory:
    """Return the memory that a model takes: its weights, and the keys and values of its context.

    llama.cpp puts the last layers on the GPU, each with its keys and values, and the output behind
    them if all layers are there. A model without an output of its own computes it with a copy of
    its embedding.
    """
    layers = file.number("block_count") or 0
    wanted = setting.n_gpu_layers
    count = layers + 1 if wanted < 0 else min(wanted, layers + 1)
    on_gpu = range(max(layers - count, 0), layers)
    cache = _cache_bytes_by_layer(file) or [0] * layers
    weights = {
        layer: sum(size for name, size in file.tensors.items() if name.startswith(f"blk.{layer}."))
        for layer in on_gpu
    }
    gpu = sum(weights[layer] + cache[layer] * setting.n_ctx for layer in on_gpu)
    copied = 0
    if count > layers:
        gpu += sum(size for name, size in file.tensors.items() if name.startswith("output"))
        if "output.weight" not in file.tensors:
            copied = file.tensors.get("token_embd.weight", 0)
    whole = sum(file.tensors.values()) + sum(cache) * setting.n_ctx
    return Memory(main=whole - gpu, gpu=gpu + copied + _WORKING_BYTES if gpu else 0)


def _fits(file: GgufFile, setting: Setting, memory: Memory) -> bool:
    need = needed(file, setting)
    fits_gpu = not need.gpu or memory.gpu is None or need.gpu <= memory.gpu
    return fits_gpu and need.main <= memory.main


def _largest(file: GgufFile, wanted: Setting, memory: Memory) -> Setting | None:
    """The most layers on the GPU with the wanted context; else the longest context without any."""
    layers = file.number("block_count") or 0
    most = layers + 1 if wanted.n_gpu_layers < 0 else min(wanted.n_gpu_layers, layers + 1)
    for count in range(most, -1, -1):
        setting = Setting(wanted.n_ctx, count)
        if _fits(file, setting, memory):
            return setting
    without = needed(file, Setting(0, 0)).main
    per_token = cache_bytes_per_token(file)
    longest = (memory.main - without) // per_token if per_token else 0
    return Setting(longest, 0) if longest > 0 else None


def cache_bytes_per_token(file: GgufFile) -> int | None:
    """Return the size of the keys and values of one token in bytes; None if it is not known."""
    found = _cache_bytes_by_layer(file)
    return None if found is None else sum(found)


def attention_bytes_per_pair(file: GgufFile) -> int:
    """Return what attention of a token in a batch to a cell of the cache takes on a CPU, in bytes.

    llama.cpp computes layer after layer. Without flash attention it keeps a score for each head,
    and a mask for all, as 32-bit floats.
    """
    layers = file.number("block_count") or 0
    heads = file.numbers("attention.head_count", layers) or [0]
    return _SCORE_BYTES * (max(heads) + 1)


def _cache_bytes_by_layer(file: GgufFile) -> list[int] | None:
    """Bytes of a token in each layer.

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
    return [each * (key + value) * _CACHE_BYTES for each in kv_heads]
