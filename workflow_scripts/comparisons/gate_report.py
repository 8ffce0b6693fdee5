"""gate.json: what its writer writes, and pages, CI and the command's exit code read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ..core.block import Block
from ..core.metric import Better, Kind
from ..stats.settings import Assumption, GateDecision

SCHEMA_VERSION = 1

EXIT_CODES: Mapping[GateDecision, int] = {"passes": 0, "worse": 1, "cannot_tell": 2}
BROKEN = 3
"""The exit code of a run that ends before the gate has decided."""

Reason = Literal["reaches_margin", "not_trusted", "undefined", "stopped_early", "judge_bar"]


class Doubt(Block):
    """Why a metric is not believed: what decides it does not reach the config's ``judge_bar``.

    ``level``: what decides it, in words. ``kappa``: how it agrees with people, ``None`` where that
    is undefined or, if not ``labelled``, not known.
    """

    level: str
    labelled: bool
    kappa: float | None
    bar: float


class Judgement(Block):
    """One check in one comparison.

    ``backend`` to ``prompt_set`` name the trial, ``arm`` its treatment.
    ``change`` is the difference of a share or the ratio of an amount, with its interval at
    ``confidence``; ``None`` is undefined, or beyond what a number can hold. ``n_unpaired``: items
    of the whole comparison that only one arm has. ``reason``: why the decision is
    ``cannot_tell``. ``items_needed``: how many items would tell with the report's ``power``,
    ``None`` where no number is known; ``assumes``: see `workflow_scripts.stats.settings`.
    ``doubt``: of the reason ``judge_bar``.
    """

    backend: str
    model: str
    decoding: str
    prompt_set: str
    arm: str
    task: str
    temp: str
    temperature: str = ""
    subgroup: str | None
    metric: str
    label: str
    kind: Kind
    better: Better
    margin: float
    confidence: float
    n_unpaired: int
    decision: GateDecision
    reason: Reason | None
    change: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    n_items: int = 0
    n_clusters: int = 0
    items_needed: int | None = None
    assumes: Assumption | None = None
    doubt: Doubt | None = None

    @property
    def trial(self) -> str:
        """The trial's folder below the experiment's."""
        return "/".join((self.backend, self.model, self.decoding, self.prompt_set))


class GateReport(Block):
    """gate.json: the decision over all checks, with the exit code of ``snakemake gate``."""

    schema_version: int = SCHEMA_VERSION
    experiment: str
    title: str | None
    decision: GateDecision
    exit_code: int
    power: float
    checks: list[Judgement]
