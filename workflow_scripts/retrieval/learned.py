"""Vectors by an embedder with a model: kept ones first, the rest in batches."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..backends.client import RequestError
from ..backends.http import HttpError
from ..backends.ledger import SpendingSettings
from ..core.errors import UserError
from ..core.progress import Progress
from .embedders.embedder import LearnedEmbedder, Vectors, unit
from .embedders.settings import IndexSettings, LearnedFields
from .embedders.table import make_embedder
from .kept import KeptVectors, take_over, text_digest
from .records import Chunk
from .spending import EmbeddingSpending

log = logging.getLogger(__name__)

_TRIES = 6
_LONGEST_WAIT_S = 30.0
_REFUSED = frozenset({400, 413, 422, 500})
"""Statuses by which servers refuse a batch for one of its texts."""

_SERVER_ERROR = 500  # llama-server's refusal of a long text; may also pass


def learned_vectors(
    settings: IndexSettings, kept: Path | None, spending: SpendingSettings | None
) -> LearnedVectors:
    """Return the vectors of an embedder with a model.

    Raises:
        UserError: its key is missing, or it is not said where vectors are kept.
    """
    own = settings.settings
    if kept is None or not isinstance(own, LearnedFields):
        raise UserError(f"embedder {settings.embedder!r} has a model: it needs --kept")
    return LearnedVectors(settings.embedder, own, kept, spending)


class LearnedVectors:
    """Vectors of chunks and questions. Use as a context manager.

    Args:
        name: of the embedder.
        settings: of the embedder.
        kept: the folder in which vectors are kept.
        spending: of the experiment, where vectors cost something.

    Raises:
        UserError: the key is missing.
    """

    def __init__(
        self,
        name: str,
        settings: LearnedFields,
        kept: Path,
        spending: SpendingSettings | None = None,
    ) -> None:
        self._name = name
        self._settings = settings
        self._embedder: LearnedEmbedder = make_embedder(settings)
        self._root = kept
        self._spending = (
            None if spending is None else EmbeddingSpending(spending, name, settings.model)
        )

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            self._embedder.open()
            if new := self._embedder.new_in_identity:
                identity = self._embedder.identity()
                former = {name: text for name, text in identity.items() if name not in new}
                take_over(self._root, former, identity)
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the model or the connections."""
        self._embedder.close()
        if self._spending is not None:
            self._spending.close()

    @property
    def max_tokens(self) -> int | None:
        """The most tokens that the model reads of a text, where it is known."""
        return self._embedder.max_tokens

    def identity(self) -> Mapping[str, str]:
        """Return who embeds, and with which prefixes."""
        prefixes = {
            "query_prefix": self._settings.query_prefix,
            "passage_prefix": self._settings.passage_prefix,
        }
        return {
            **self._embedder.identity(),
            **{name: text for name, text in prefixes.items() if text},
        }

    def passages(self, chunks: Sequence[Chunk]) -> Vectors:
        """Return the vectors of chunks, of length 1."""
        texts = [self._settings.passage_prefix + chunk.text for chunk in chunks]
        return self._vectors(texts, [f"chunk {chunk.id}" for chunk in chunks])

    def queries(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of questions, of length 1."""
        sent = [self._settings.query_prefix + text for text in texts]
        return self._vectors(sent, [f"the question {text[:80]!r}" for text in texts])

    def _vectors(self, texts: Sequence[str], names: Sequence[str]) -> Vectors:
        """Return a vector of each text.

        Args:
            texts: as they are sent.
            names: of the texts, for messages.

        Raises:
            UserError: the embedder makes none of one of them.
        """
        digests = [text_digest(text) for text in texts]
        first = {digest: row for row, digest in reversed(list(enumerate(digests)))}
        kept = KeptVectors(self._root, self._embedder.identity())
        found = kept.find(first)
        if len(found) < len(first):
            with kept.alone():
                found |= kept.find(first.keys() - found.keys())
                missing = [row for digest, row in first.items() if digest not in found]
                missing.sort()
                if missing and found:
                    log.info("%d of %d texts are embedded already", len(found), len(first))
                self._make(kept, found, missing, texts, names)
        widths = {len(vector) for vector in found.values()}
        if len(widths) > 1:
            sizes = " and ".join(map(str, sorted(widths)))
            raise UserError(
                f"embedder {self._name!r} made vectors of {sizes} dimensions; another model is "
                "behind its name now. Set model_version, so that the two are kept apart"
            )
        return np.stack([found[digest] for digest in digests])

    def _make(
        self,
        kept: KeptVectors,
        found: dict[bytes, NDArray[np.float32]],
        missing: Sequence[int],
        texts: Sequence[str],
        names: Sequence[str],
    ) -> None:
        def take(rows: Sequence[int], vectors: Vectors) -> None:
            """Check vectors and keep them."""
            called = [names[row] for row in rows]
            width = len(next(iter(found.values()))) if found else vectors.shape[1]
            if vectors.shape[1] != width:
                raise UserError(
                    f"embedder {self._name!r} made a vector of {vectors.shape[1]} dimensions of "
                    f"{called[0]}, and of {width} before. Is another model behind its name now?"
                )
            vectors = unit(vectors, called, f"embedder {self._name!r}")
            made = dict(zip((text_digest(texts[row]) for row in rows), vectors, strict=True))
            kept.keep(made)
            found.update(made)

        def ask(rows: Sequence[int]) -> None:
            """Ask for vectors; where a batch is refused, find the text at fault."""
            try:
                take(rows, self._patiently([texts[row] for row in rows]))
            except RequestError as error:
                refused = isinstance(error, HttpError) and error.status in _REFUSED
                if len(rows) == 1 or not refused:
                    raise self._no_vector(names[rows[0]], error) from error
                half = len(rows) // 2
                ask(rows[:half])
                ask(rows[half:])

        if self._spending is not None:
            self._spending.check([texts[row] for row in missing])
        started = time.monotonic()
        for start in range(0, len(missing), self._embedder.batch):
            rows = missing[start : start + self._embedder.batch]
            self._refuse_long([texts[row] for row in rows], [names[row] for row in rows])
            ask(rows)
            done = start + len(rows)
            per_s = done / max(time.monotonic() - started, 1e-9)
            paid = None if self._spending is None else self._spending.paid_usd
            log.info("%s", Progress(self._name, done, len(missing), per_s=per_s, paid_usd=paid))

    def _refuse_long(self, texts: Sequence[str], names: Sequence[str]) -> None:
        """Raise an error if a text is longer than the model reads: it would be cut in silence."""
        limit = self.max_tokens
        if limit is None:
            return
        for text, name in zip(texts, names, strict=True):
            if len(text.encode()) + 2 <= limit:  # a token has at least a byte
                continue
            count = self._embedder.count_tokens(text)
            if count is not None and count > limit:
                raise UserError(
                    f"embedder {self._name!r} reads at most {limit} tokens, and {name} has "
                    f"{count}. Make chunks smaller (chunkings: tokens)"
                )

    def _no_vector(self, name: str, error: RequestError) -> UserError:
        limit = "" if self.max_tokens is None else f" It reads at most {self.max_tokens} tokens."
        return UserError(
            f"embedder {self._name!r} made no vector of {name}: {error}.{limit} Vectors that were "
            "made before are kept; fix the cause and run again"
        )

    def _patiently(self, texts: Sequence[str]) -> Vectors:
        """Ask for vectors; again where the failure may pass."""
        for tries in range(1, _TRIES + 1):
            reserved = 0.0 if self._spending is None else self._spending.reserve(texts)
            try:
                vectors, tokens = self._embedder.embed(texts)
            except RequestError as error:
                if self._spending is not None:
                    self._spending.fail(reserved, may_be_charged=error.may_be_charged)
                status = error.status if isinstance(error, HttpError) else None
                most = _TRIES if len(texts) == 1 or status != _SERVER_ERROR else 2
                if not error.retryable or tries >= most:
                    raise
                log.info("%s; trying again", error)
                time.sleep(min(max(error.wait_s, 0.25 * 2**tries), _LONGEST_WAIT_S))
            else:
                if self._spending is not None:
                    self._spending.settle(reserved, len(texts), tokens)
                return vectors
        raise AssertionError  # the last try returns or raises
