"""llama.cpp by llama-cpp-python, which is compiled for the machine it is installed on.

Its low-level interface: one context with many sequences, which `llama_cpp_scheduler` fills.
"""

from __future__ import annotations

import ctypes
import functools
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from ..core.records import Decoding
from .client import RequestError
from .llama_cpp_binding import Generated, LoadOptions, build, cannot_load
from .llama_cpp_scheduler import Scheduler
from .logprobs import Token, of_answer

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
llama_cpp.llama_backend_init()

_MOST_PAIRS = 128 * 512
"""On a CPU, attention computes with the cells of all sequences, so long prompts wait for others."""

_FLASH_ATTENTION = {"cpu": 0, "gpu": -1}
"""Off, or where llama.cpp thinks best. On a CPU it evaluates prompts a tenth faster, but rounds
them otherwise than new tokens: one of the demo's 600 greedy answers depended on its neighbours."""


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
        return LoadedModel(path, options)

    def load_tokenizer(self, path: Path) -> Vocabulary:
        """Load the vocabulary alone."""
        return Vocabulary(path, vocab_only=True)


class Vocabulary:
    """A model's tokens, and the model if it is loaded too.

    Args:
        path: the GGUF file.
        options: fields of `llama_model_params`.
    """

    def __init__(self, path: Path, **options: Any) -> None:
        _reported.clear()
        parameters = llama_cpp.llama_model_default_params()
        parameters.use_extra_bufts = not _uses_amx(llama_cpp.llama_print_system_info())
        for name, value in options.items():
            setattr(parameters, name, value)
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
        if self.model is None:
            raise cannot_load(path, next(iter(_reported), "it gives no reason"))  # the first is it
        self.tokens = llama_cpp.llama_model_get_vocab(self.model)
        self.size = llama_cpp.llama_vocab_n_tokens(self.tokens)

    def tokenize(self, text: str, *, special: bool, around: bool = False) -> list[int]:
        """Return the tokens of a text, ``around`` with those that the model puts around it."""
        encoded = text.encode("utf-8")
        room = len(encoded) + 8
        while True:
            found = (llama_cpp.llama_token * room)()
            count = llama_cpp.llama_tokenize(
                self.tokens, encoded, len(encoded), found, room, around, special
            )
            if count >= 0:
                return found[:count]
            room = -count

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has by itself."""
        return [len(self.tokenize(text, special=False)) for text in texts]

    def piece(self, token: int) -> bytes:
        """Return the text of a token; control tokens have none."""
        room = 64
        while True:
            found = (ctypes.c_char * room)()
            size = llama_cpp.llama_token_to_piece(self.tokens, token, found, room, 0, False)
            if size >= 0:
                return found.raw[:size]
            room = -size

    def is_end(self, token: int) -> bool:
        """Return whether a token ends an answer."""
        return bool(llama_cpp.llama_vocab_is_eog(self.tokens, token))

    def close(self) -> None:
        """Give its memory back."""
        llama_cpp.llama_model_free(self.model)

    @functools.cached_property
    def grammars(self) -> Grammars:
        """The schemas compiled for this vocabulary. Imports what few models need."""
        from llguidance.llamacpp import lltokenizer_from_vocab

        from .constraint import Grammars

        ends = [each for each in range(self.size) if self.is_end(each)]
        return Grammars(lltokenizer_from_vocab(self.tokens, eos_token=ends))


class LoadedModel:
    """A model with a context, whose sequences are filled by a scheduler.

    Args:
        path: the GGUF file.
        options: how it is loaded.
    """

    def __init__(self, path: Path, options: LoadOptions) -> None:
        self._vocabulary = Vocabulary(path, n_gpu_layers=options.n_gpu_layers)
        self._context = Context(path, self._vocabulary, options)
        self._scheduler = Scheduler(self._context)

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Return the tokens of a text."""
        return self._vocabulary.tokenize(text, special=special)

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has by itself."""
        return self._vocabulary.lengths(texts)

    def submit(self, prompt: list[int], decoding: Decoding) -> Future[Generated]:
        """Return the future answer to a prompt."""
        schema = decoding.json_schema
        constraint = None if schema is None else self._vocabulary.grammars.begin(schema)
        continuation = Continuation(self._context, self._vocabulary, decoding, constraint)
        return self._scheduler.submit(prompt, decoding.max_new_tokens, continuation)

    def close(self) -> None:
        """Give its memory back."""
        self._scheduler.close()
        self._context.close()
        self._vocabulary.close()


class Context:
    """A `llama_context`: all sequences in one cache, so that shared prefixes cost nothing.

    Args:
        path: the GGUF file, for messages.
        vocabulary: with its model.
        options: how it is loaded.
    """

    def __init__(self, path: Path, vocabulary: Vocabulary, options: LoadOptions) -> None:
        model = vocabulary.model
        self.sequences = options.sequences
        self.batch = options.batch
        self.cells = options.cells or options.n_ctx
        self.can_share = not (
            llama_cpp.llama_model_is_recurrent(model) or llama_cpp.llama_model_is_hybrid(model)
        )
        self.most_pairs = None if options.n_gpu_layers else _MOST_PAIRS
        self._vocabulary = vocabulary
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = self.cells
        parameters.n_batch = parameters.n_ubatch = self.batch
        parameters.n_seq_max = self.sequences
        parameters.n_threads = parameters.n_threads_batch = options.threads
        parameters.flash_attn_type = _FLASH_ATTENTION["gpu" if options.n_gpu_layers else "cpu"]
        parameters.kv_unified = parameters.swa_full = parameters.no_perf = True
        self.handle = llama_cpp.llama_init_from_model(model, parameters)
        if self.handle is None:
            raise cannot_load(path, next(iter(_reported), "there is no room for its context"))
        self._memory = llama_cpp.llama_get_memory(self.handle)
        self._rows = _Rows(self.batch)

    def copy(self, source: int, target: int, length: int) -> None:
        """Let the target sequence begin with the first tokens of another."""
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def cut(self, sequence: int, length: int) -> None:
        """Forget all but the first tokens of a sequence."""
        llama_cpp.llama_memory_seq_rm(self._memory, sequence, length, -1)

    def decode(
        self,
        tokens: NDArray[np.int32],
        positions: NDArray[np.int32],
        sequences: NDArray[np.int32],
        wanted: NDArray[np.int8],
    ) -> None:
        """Evaluate tokens."""
        code = llama_cpp.llama_decode(
            self.handle, self._rows.filled(tokens, positions, sequences, wanted)
        )
        if code:
            raise RequestError(f"llama.cpp: llama_decode returned {code}", retryable=True)

    def logits(self, row: int) -> NDArray[np.float32]:
        """Return the logits of a row of the last batch, to read or to change."""
        found = llama_cpp.llama_get_logits_ith(self.handle, row)
        return np.ctypeslib.as_array(found, (self._vocabulary.size,))

    def close(self) -> None:
        """Give its memory back."""
        llama_cpp.llama_free(self.handle)


class _Rows:
    """A `llama_batch` over arrays of ours, which are filled without a loop."""

    def __init__(self, size: int) -> None:
        self._tokens = np.zeros(size, np.int32)
        self._positions = np.zeros(size, np.int32)
        self._sequences = np.zeros(size, np.int32)
        self._wanted = np.zeros(size, np.int8)
        self._ones = np.ones(size, np.int32)  # each token belongs to one sequence
        pointer = ctypes.POINTER(llama_cpp.llama_seq_id)
        start, step = self._sequences.ctypes.data, self._sequences.itemsize
        self._pointers = (pointer * size)(
            *(ctypes.cast(start + step * row, pointer) for row in range(size))
        )
        self._batch = llama_cpp.llama_batch(
            n_tokens=0,
            token=_pointer(self._tokens, llama_cpp.llama_token),
            embd=None,
            pos=_pointer(self._positions, llama_cpp.llama_pos),
            n_seq_id=_pointer(self._ones, ctypes.c_int32),
            seq_id=self._pointers,
            logits=_pointer(self._wanted, ctypes.c_int8),
        )

    def filled(
        self,
        tokens: NDArray[np.int32],
        positions: NDArray[np.int32],
        sequences: NDArray[np.int32],
        wanted: NDArray[np.int8],
    ) -> llama_cpp.llama_batch:
        """Return the batch with these rows."""
        count = len(tokens)
        self._tokens[:count] = tokens
        self._positions[:count] = positions
        self._sequences[:count] = sequences
        self._wanted[:count] = wanted
        self._batch.n_tokens = count
        return self._batch


class Continuation:
    """An answer while it is made, by llama.cpp's own samplers.

    The stop text that comes first in the answer ends it. A complete schema does too.
    """

    def __init__(
        self,
        context: Context,
        vocabulary: Vocabulary,
        decoding: Decoding,
        constraint: Constraint | None,
    ) -> None:
        self._context = context
        self._vocabulary = vocabulary
        self._constraint = constraint
        self._stops = [text.encode("utf-8") for text in decoding.stop]
        self._longest = decoding.max_new_tokens
        self._sampler = _sampler(decoding)
        self._text = b""
        self._tokens = 0
        self._is_cut = False
        self._likely: list[Token] | None = [] if decoding.logprobs else None

    def take(self, row: int) -> int | None:
        """Choose the next token; None at the end of the answer."""
        scores = None if self._likely is None else self._context.logits(row).astype(np.float64)
        if self._constraint is not None:
            self._constraint.mask(self._context.logits(row))
        token = int(llama_cpp.llama_sampler_sample(self._sampler, self._context.handle, row))
        if self._constraint is not None:
            self._constraint.accept(token)
        if self._vocabulary.is_end(token):
            return None
        self._tokens += 1
        piece = self._vocabulary.piece(token)
        self._text += piece
        if self._likely is not None and scores is not None:
            scores -= scores.max()
            likely = scores[token] - np.log(np.exp(scores).sum())
            self._likely.append(Token(piece, float(likely)))
        ends = [at for stop in self._stops if (at := self._text.find(stop)) >= 0]
        if ends:
            self._text = self._text[: min(ends)]
            return None
        if self._constraint is not None and self._constraint.is_done:
            return None
        self._is_cut = self._tokens == self._longest
        return None if self._is_cut else token

    def answer(self) -> Generated:
        """Return the whole answer."""
        text = self._text.decode("utf-8", errors="replace")
        likely = of_answer(self._likely or (), text, thinks=False)
        return Generated(text, "length" if self._is_cut else "stop", self._tokens, likely)

    def close(self) -> None:
        """Give the sampler back."""
        llama_cpp.llama_sampler_free(self._sampler)


def _uses_amx(system_info: bytes) -> bool:
    """Return whether llama.cpp was compiled for Intel's AMX; its buffers crash on Q8_0 models."""
    return b"AMX_INT8 = 1" in system_info


def _sampler(decoding: Decoding) -> Any:
    """Return a chain of llama.cpp's samplers. What is None is off."""
    parameters = llama_cpp.llama_sampler_chain_default_params()
    parameters.no_perf = True
    chain = llama_cpp.llama_sampler_chain_init(parameters)
    if decoding.temperature == 0:
        steps = [llama_cpp.llama_sampler_init_greedy()]
    else:
        steps = [
            llama_cpp.llama_sampler_init_top_k(decoding.top_k or 0),
            llama_cpp.llama_sampler_init_top_p(
                1.0 if decoding.top_p is None else decoding.top_p, 1
            ),
            llama_cpp.llama_sampler_init_temp(decoding.temperature),
            llama_cpp.llama_sampler_init_dist(decoding.seed),
        ]
    for step in steps:
        llama_cpp.llama_sampler_chain_add(chain, step)
    return chain


def _pointer(array: NDArray[Any], kind: Any) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(kind))
