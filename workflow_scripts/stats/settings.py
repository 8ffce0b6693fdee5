"""What the statistics take from the config; light to import, because every run's plan does."""

from __future__ import annotations

from pydantic import Field

from ..config.schema import Block, Stats
from ..records import Task


class StatsSettings(Block):
    """The config's stats block, and the facts of the design that the scores do not tell.

    ``samples_per_item`` by temperature, 1 where it is not given; ``tasks``: what task each data
    set is put to.
    """

    stats: Stats
    samples_per_item: dict[str, int] = Field(default_factory=dict)
    tasks: dict[str, Task] = Field(default_factory=dict)

    def samples_at(self, temp: str) -> int:
        """Samples per item at a temperature."""
        return self.samples_per_item.get(temp, 1)


def is_primary(stats: Stats, metric: str, task: str, temp: str) -> bool:
    """Whether a metric's difference in a task and at a temperature is declared primary."""
    declared = stats.registration
    return (
        declared is not None
        and metric == declared.primary
        and declared.task in (None, task)
        and declared.temp in (None, temp)
    )
