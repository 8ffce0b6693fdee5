"""What the commands of this stage take from the config."""

from __future__ import annotations

from pydantic import Field

from ..answers.parts import ArmParts
from ..backends.prices import Quote
from ..backends.tokens import TokenizerFile
from ..core.block import Block
from ..core.placed import Placed


class RewritingCostSettings(Block):
    """Where the requests lie by which questions are rewritten, and their name for readers."""

    name: str
    parts: ArmParts


class ArmCostSettings(Block):
    """What the answers of one arm are measured with.

    ``tokenizer`` is the file that counts tokens, ``n_ctx`` the context that prompts must fit in
    tokens, ``quote`` the model's price, if one is known; the note says if not. An arm whose answers
    come from a file has none of them. ``telemetry``: the files that were measured, if any.
    ``rewritings``: requests by which its questions are rewritten, which other arms may share.
    """

    parts: ArmParts
    system: str
    model: str
    tokenizer: TokenizerFile
    n_ctx: int | None
    quote: Quote | None
    note: str | None
    telemetry: list[Placed] = Field(default_factory=list, exclude_if=lambda files: not files)
    rewritings: list[RewritingCostSettings] = Field(
        default_factory=list, exclude_if=lambda of: not of
    )

    def rewriting_files(self) -> list[str]:
        """The raw parts of ``rewritings``."""
        return [file for each in self.rewritings for file in each.parts.raw_files()]


class PaidEmbedder(Block):
    """An embedder whose vectors cost something, or may: its price, or a note on what to do."""

    embedder: str
    model: str
    quote: Quote | None
    note: str | None


class TrialCostSettings(Block):
    """The arms of a trial by condition, and the ledger of the whole experiment.

    ``embedders``: those that find the passages of its arms and cost something.
    """

    arms: dict[str, ArmCostSettings]
    spending_folder: str
    embedders: list[PaidEmbedder] = Field(default_factory=list, exclude_if=lambda of: not of)
