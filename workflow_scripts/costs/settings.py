"""What the commands of this stage take from the config."""

from __future__ import annotations

from ..config.schema import BackendSettings, Block
from ..parse.parts import TrialParts
from ..stats.settings import WaveSettings
from .prices import Quote
from .tokens import TokenizerFile


class CostSettings(Block):
    """The parts of a trial."""

    parts: TrialParts


class TrialCostSettings(Block):
    """The parts of a trial, and the price of its model, if one is known; the note says if not.

    ``spending_folder`` is the ledger of the whole experiment.
    """

    parts: TrialParts
    model: str
    tokenizer: TokenizerFile
    quote: Quote | None
    note: str | None
    spending_folder: str


class SpendingSettings(Block):
    """Where spending is written down, who is asked, what tokens cost, and what may be paid.

    ``model`` says whose tokens are counted; see `counted_as`.
    """

    folder: str
    engine: str
    model: str
    tokenizer: TokenizerFile
    quote: Quote
    budget_usd: float | None


def counted_as(backend: str, settings: BackendSettings) -> str:
    """Return the name under which the ledger keeps the counts of a model's prompts."""
    return f"{backend}/{settings.model}"


class PlannedModel(Block):
    """One model of one backend, with its price, if one is known.

    The settings are those that say who is asked and how; the others decide nothing here.
    """

    backend: str
    model: str
    settings: BackendSettings
    quote: Quote | None


class PlannedTrial(Block):
    """One trial, the parts that it is made of, and its declared question, if there is one."""

    folder: str
    backend: str
    model: str
    parts: TrialParts
    question: WaveSettings | None = None


class PlanSettings(Block):
    """The whole experiment, where it writes down what it pays, and what it may pay."""

    experiment: str
    spending_folder: str
    budget_usd: float | None
    models: list[PlannedModel]
    trials: list[PlannedTrial]
