"""llama.cpp by llama-cpp-python, which is compiled for the machine it is installed on."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from ..core.records import Decoding
from .client import RequestError
from .llama_cpp_binding import PREFIX_BLOCK, Generated, LoadOptions, build, cannot_load

if TYPE_CHECKING:
    from .constraint import Constraint, Grammars

log = logging.getLogger(__name__)

_GGML_ERROR = 4

_reported: list[str] = []
"""What llama.cpp has reported as errors since the last model was loaded."""


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator] # of a library without types
def _log_errors(level: int, text: bytes, user_data: Any) -> None:
    """llama-cpp-python's own callback takes llama.cpp's warnings for errors and hides these."""
    if level == _GGML_ERROR:
        message = text.decode("utf-8", errors="replace").strip()
        _reported.append(message)
        log.warning("llama.cpp: %s", message)


llama_cpp.llama_log_set(_log_errors, None)


class LlamaCppPython:
    """The library."""

    def served_by(self) -> Mapping[str, str]:
        """Return what answers; the library does not know the commit of its llama.cpp."""
        number = llama_cpp.llama_version().decode()
        return {
            "server": "llama-cpp-python",
            "version": llama_cpp.__version__,
            "build": build(number, llama_cpp.llama_print_system_info().decode()),
        }

    def finds_gpu(self) -> bool:
        """Return whether llama.cpp was compiled for a GPU, and finds one."""
        return bool(llama_cpp.llama_supports_gpu_offload())

    def load(self, path: Path, options: LoadOptions) -> LoadedModel:
        """Load a model."""
        return LoadedModel(
            path,
            n_ctx=options.n_ctx,
            n_gpu_layers=options.n_gpu_layers,
            n_batch=PREFIX_BLOCK,
            n_threads=options.n_threads,
            n_threads_batch=options.n_threads,
        )

    def load_tokenizer(self, path: Path) -> LoadedModel:
        """Load the vocabulary alone."""
        return LoadedModel(path, vocab_only=True)


class LoadedModel:
    """A model with one context, or its vocabulary.

    Args:
        path: the GGUF file.
        options: of the library.
    """

    def __init__(self, path: Path, **options: Any) -> None:
        _reported.clear()
        try:
            self._llama = llama_cpp.Llama(model_path=str(path), verbose=False, **options)
        except (ValueError, OSError) as error:
            # The first report is the reason. On the terminal llama-cpp-python hides it.
            raise cannot_load(path, _reported[0] if _reported else str(error)) from error

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Return the tokens of a text."""
        tokens: list[int] = self._llama.tokenize(
            text.encode("utf-8"), add_bos=False, special=special
        )
        return tokens

    def generate(self, prompt: list[int], decoding: Decoding) -> Generated:
        """Answer a prompt; the evaluated blocks that it shares with the last one are reused."""
        self._keep_whole_blocks(prompt)
        try:
            return self._generated(prompt, decoding)
        except (RuntimeError, ValueError) as error:
            raise RequestError(f"llama.cpp: {error}", retryable=True) from error

    def _generated(self, prompt: list[int], decoding: Decoding) -> Generated:
        """llama-cpp-python's own loop cuts at the first text of the *list* of stop texts that
        occurs. Here the one that comes first in the answer ends it.
        """
        llama, stops = self._llama, [text.encode("utf-8") for text in decoding.stop]
        llama.set_seed(decoding.seed)
        made: list[int] = []
        started, first_token_s = time.perf_counter(), None
        schema = decoding.json_schema
        constraint = None if schema is None else self._grammars.begin(schema)
        generated = llama.generate(
            prompt,
            temp=decoding.temperature,
            top_p=1.0 if decoding.top_p is None else decoding.top_p,
            top_k=0 if decoding.top_k is None else decoding.top_k,
            min_p=0.0,
            repeat_penalty=1.0,
            logits_processor=None if constraint is None else _processors(constraint),
        )
        end, is_done = None, False
        for token in generated:
            first_token_s = first_token_s or time.perf_counter() - started
            if constraint is not None:
                constraint.accept(token)
                is_done = constraint.is_done
            if llama_cpp.llama_vocab_is_eog(llama._model.vocab, token):
                break
            made.append(token)
            if stops:
                text = llama.detokenize(made, prev_tokens=prompt)
                end = min((at for stop in stops if (at := text.find(stop)) >= 0), default=None)
            if end is not None or is_done or len(made) == decoding.max_new_tokens:
                break
        whole = llama.detokenize(made, prev_tokens=prompt)[:end].decode("utf-8", errors="replace")
        is_cut = end is None and not is_done and len(made) == decoding.max_new_tokens
        return Generated(whole, "length" if is_cut else "stop", len(made), first_token_s or 0.0)

    @functools.cached_property
    def _grammars(self) -> Grammars:
        """The schemas compiled for the model's vocabulary. Imports what few models need."""
        from llguidance.llamacpp import lltokenizer_from_vocab

        from .constraint import Grammars

        vocabulary = self._llama._model.vocab
        tokens = range(llama_cpp.llama_vocab_n_tokens(vocabulary))
        ends = [each for each in tokens if llama_cpp.llama_vocab_is_eog(vocabulary, each)]
        return Grammars(lltokenizer_from_vocab(vocabulary, eos_token=ends))

    def _keep_whole_blocks(self, prompt: list[int]) -> None:
        """Forget what lies evaluated beyond the last whole block shared with a prompt."""
        shared = self._llama.longest_token_prefix(self._llama._input_ids.tolist(), prompt[:-1])
        self._llama.n_tokens = shared - shared % PREFIX_BLOCK

    def close(self) -> None:
        """Give its memory back."""
        self._llama.close()


def _processors(constraint: Constraint) -> llama_cpp.LogitsProcessorList:
    """Return a constraint as the library calls it before it samples a token."""

    def masked(_tokens: NDArray[np.intc], logits: NDArray[np.single]) -> NDArray[np.single]:
        constraint.mask(logits)
        return logits

    return llama_cpp.LogitsProcessorList([masked])
