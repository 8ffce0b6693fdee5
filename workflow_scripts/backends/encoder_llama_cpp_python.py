"""Vectors by llama-cpp-python's low-level interface."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import llama_cpp
import numpy as np

from .binding_llama_cpp_python import Vocabulary
from .client import RequestError
from .llama_cpp_binding import LoadOptions, cannot_load


class LlamaCppPythonEncoder:
    """A model and a context for one text.

    Args:
        path: the GGUF file.
        options: how it is loaded.
    """

    def __init__(self, path: Path, options: LoadOptions) -> None:
        self._vocabulary = Vocabulary(path, n_gpu_layers=options.n_gpu_layers)
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = options.n_ctx
        parameters.n_seq_max = 1
        parameters.embeddings = parameters.no_perf = True
        parameters.flash_attn_type = 0  # it would round keys to 16 bits
        parameters.n_threads = parameters.n_threads_batch = options.threads
        self._context = llama_cpp.llama_init_from_model(self._vocabulary.model, parameters)
        if self._context is None:
            raise cannot_load(path, "there is no room for its context")
        self._batch = llama_cpp.llama_batch_init(options.n_ctx, 0, 1)
        self._width = llama_cpp.llama_model_n_embd(self._vocabulary.model)

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a text, with those that the model puts around it."""
        return self._vocabulary.tokenize(text, special=False, around=True)

    def vector(self, tokens: Sequence[int]) -> Sequence[float]:
        """Return the pooled vector of a text."""
        batch = self._batch
        batch.n_tokens = len(tokens)
        for position, token in enumerate(tokens):
            batch.token[position] = token
            batch.pos[position] = position
            batch.n_seq_id[position] = 1
            batch.seq_id[position][0] = 0
            batch.logits[position] = True
        memory = llama_cpp.llama_get_memory(self._context)
        if memory is not None:  # encoders have none
            llama_cpp.llama_memory_clear(memory, True)
        if code := llama_cpp.llama_decode(self._context, batch):
            raise RequestError(f"llama.cpp: llama_decode returned {code}", retryable=False)
        found = llama_cpp.llama_get_embeddings_seq(self._context, 0)
        if not found:
            raise RequestError("llama.cpp: the model made no vector", retryable=False)
        vector: list[float] = np.ctypeslib.as_array(found, (self._width,)).tolist()
        return vector

    def close(self) -> None:
        """Give its memory back."""
        llama_cpp.llama_batch_free(self._batch)
        llama_cpp.llama_free(self._context)
        self._vocabulary.close()
