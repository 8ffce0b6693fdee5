"""What embeddings cost: in the experiment's ledger, and within its budget."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..backends.ledger import Embedded, Entry, Ledger, LedgerFile, SpendingSettings
from ..backends.prices import dollars
from ..backends.tokens import BytesCounter
from ..core.errors import UserError

_AROUND = 2
"""Tokens that a model puts around a text."""

_TOLERANCE_USD = 1e-9


def most_tokens(texts: Iterable[str]) -> int:
    """Return the most tokens that texts can have: one for each byte."""
    return sum(len(text.encode()) + _AROUND for text in texts)


class EmbeddingSpending:
    """Holds requests for vectors against the budget, one at a time.

    What a request may cost is written down before it is sent, and what it did cost before its
    vectors are kept. A text has no more tokens than bytes.

    Args:
        settings: the experiment's, for the embedder.
        embedder: its name in the config.
        model: the model, by the provider's name.
    """

    def __init__(self, settings: SpendingSettings, embedder: str, model: str) -> None:
        self._settings = settings
        self._embedded = Embedded(embedder=embedder, model=model)
        self._ledger = Ledger(Path(settings.folder))
        unique = f"embed-{time.time_ns()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"
        self._file = LedgerFile(self._ledger.folder / unique)
        self._paid = 0.0
        self._lost = 0.0

    @property
    def paid_usd(self) -> float:
        """What this process has paid, in US dollars."""
        return self._paid

    def check(self, texts: Sequence[str]) -> None:
        """Refuse to start texts that are expected to cost more than the budget has left.

        Raises:
            UserError: it is not enough.
        """
        budget = self._settings.budget_usd
        if budget is None:
            return
        usd = self._usd(sum(map(BytesCounter().text, texts)))
        spent = self._ledger.spent()
        if spent.total_usd + usd > budget + _TOLERANCE_USD:
            raise UserError(
                f"budget_usd={budget:g} is not enough: embedding {len(texts):,} texts is expected "
                f"to cost {dollars(usd)} ({spent.in_words()}), so none is sent. Raise budget_usd, "
                "or make the corpus smaller"
            )

    def reserve(self, texts: Sequence[str]) -> float:
        """Set aside what some texts may cost, and return it.

        Raises:
            UserError: the budget does not allow it.
        """
        usd = self._usd(most_tokens(texts))
        self._write(usd)
        budget = self._settings.budget_usd
        if budget is None:
            return usd
        spent = self._ledger.spent()
        if spent.total_usd <= budget + _TOLERANCE_USD:
            return usd
        self._write(0.0)
        raise UserError(
            f"budget_usd={budget:g} is reached: {dollars(spent.total_usd - usd)} is paid or set "
            f"aside, and embedding the next {len(texts)} texts may cost {dollars(usd)}. All "
            "vectors are kept. To continue, raise budget_usd and start again"
        )

    def settle(self, reserved: float, texts: int, tokens: int | None) -> None:
        """Write down what the vectors of texts cost; without a count, what was set aside."""
        self._paid += reserved if tokens is None else self._usd(tokens)
        self._embedded = self._embedded.model_copy(
            update={
                "texts": self._embedded.texts + texts,
                "tokens": self._embedded.tokens + (tokens or 0),
            }
        )
        self._write(0.0)

    def fail(self, reserved: float, *, may_be_charged: bool) -> None:
        """Write down that there are no vectors; the provider may charge for them all the same."""
        self._lost += reserved if may_be_charged else 0.0
        self._write(0.0)

    def close(self) -> None:
        """Write that nothing follows."""
        if self._file.is_open:
            self._write(0.0, final=True)
        self._file.close()

    def _usd(self, tokens: int) -> float:
        return self._settings.quote.usd(tokens, 0, batch=False)

    def _write(self, reserved: float, *, final: bool = False) -> None:
        self._file.write(
            Entry(
                paid_usd=self._paid,
                reserved_usd=reserved,
                lost_usd=self._lost,
                final=final,
                embedded=self._embedded,
            )
        )
