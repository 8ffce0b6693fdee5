"""What the statistics take from the config; light to import, because every run's plan does."""

from __future__ import annotations

from pydantic import Field

from ..answers.parts import ArmParts, TrialParts
from ..backends.prices import Quote
from ..config.trial import Trial
from ..core.block import Block
from ..core.records import TaskName
from ..judges.settings import Measurement
from ..stats.settings import GateCheck, Stats


class StatsSettings(Block):
    """The config's stats block, and the facts of the design that the scores do not tell.

    ``samples_per_item`` by temperature, 1 where it is not given; ``tasks``: what task each data
    set is put to.
    """

    stats: Stats
    samples_per_item: dict[str, int] = Field(default_factory=dict)
    tasks: dict[str, TaskName] = Field(default_factory=dict)

    def samples_at(self, temp: str) -> int:
        """Samples per item at a temperature."""
        return self.samples_per_item.get(temp, 1)


class WaveSettings(Block):
    """A trial's design, its parts that were asked so far, and those of all its waves."""

    stats: StatsSettings
    treatments: list[str]
    temps: list[str]
    asked: TrialParts
    planned: TrialParts
    waves_planned: int

    def primary_comparisons(self) -> list[tuple[str, str, str]]:
        """Treatment, temperature and task of each comparison that was declared primary."""
        declared = self.stats.stats.registration
        return [
            (treatment, temp, task)
            for treatment in self.treatments
            for temp in self.temps
            for task in sorted(set(self.stats.tasks.values()))
            if declared
            and is_primary(self.stats.stats, declared.primary, task, temp, declared.subgroup)
        ]


class ComparisonsSettings(Block):
    """How all trials of an experiment are compared with each other."""

    stats: Stats
    trials: list[Trial]


class GateSettings(Block):
    """What must not get worse in which trials; every check has a margin.

    ``power``: how often a run with the items that `gate.json` asks for would tell. ``judged``:
    whether the trials have judgements.json.
    """

    title: str | None
    trials: list[Trial]
    checks: list[GateCheck]
    judged: bool = False
    power: float


def is_primary(
    stats: Stats, metric: str, task: str, temp: str, subgroup: str | None = None
) -> bool:
    """Whether a metric's difference in a task, at a temperature, is declared primary.

    ``subgroup``: the part of the items that the difference is of; ``None``: all items.
    """
    declared = stats.registration
    return (
        declared is not None
        and metric == declared.primary
        and declared.subgroup == subgroup
        and declared.task in (None, task)
        and declared.temp in (None, temp)
    )


class AskedModel(Block):
    """The model of a judge, its raw parts about a trial and its price, if one is known."""

    model: str
    raw: list[str]
    quote: Quote | None


class RetestedArm(Block):
    """The parts of an arm that some requests were sent again from, and the parts of these.

    ``quote``: the model's price, if one is known.
    """

    backend: str
    model: str
    decoding: str
    first: ArmParts
    again: ArmParts
    quote: Quote | None


class RetestSettings(Block):
    """The arms of a trial by condition, as far as a model is asked."""

    arms: dict[str, RetestedArm]
    confidence: float


class JudgementSettings(Block):
    """The judges of a trial, and the labels that they are held against.

    ``asked``: the judges that are models; ``judged_models``: by condition. ``bar``: the least kappa
    with which a judge is believed. ``trial``: its name; labels of others do not count.
    """

    judges: dict[str, Measurement]
    asked: dict[str, AskedModel]
    judged_models: dict[str, str]
    labels: str | None
    arms: dict[str, str]
    bar: float | None
    confidence: float
    trial: str | None = None
