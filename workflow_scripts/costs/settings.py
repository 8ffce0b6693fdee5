"""What the commands of this stage take from the config."""

from __future__ import annotations

from ..answers.parts import TrialParts
from ..backends.prices import Quote
from ..backends.settings import BackendSettings
from ..backends.tokens import TokenizerFile
from ..comparisons.settings import WaveSettings
from ..config.arms import Arm
from ..core.block import Block


class CostSettings(Block):
    """The parts of a trial."""

    parts: TrialParts


class AuditSettings(Block):
    """The parts and arms of a trial, and the file whose tokenizer measures them, if any."""

    parts: TrialParts
    arms: dict[str, Arm]
    tokenizer: str | None
    n_ctx: int


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


class PlannedModel(Block):
    """One model of one backend, with its price, if one is known.

    The settings are those that say who is asked and how; the others decide nothing here.
    """

    backend: str
    model: str
    settings: BackendSettings
    quote: Quote | None


class PlannedTrial(Block):
    """One trial, the parts that it is made of, and its declared question, if there is one.

    ``asked_of``: by condition, the backend and the model.
    """

    folder: str
    asked_of: dict[str, tuple[str, str]]
    parts: TrialParts
    question: WaveSettings | None = None


class PlanSettings(Block):
    """The whole experiment, where it writes down what it pays, and what it may pay."""

    experiment: str
    spending_folder: str
    budget_usd: float | None
    models: list[PlannedModel]
    trials: list[PlannedTrial]
