"""What exports take from the config; light to import, because every run's plan does."""

from __future__ import annotations

from typing import Literal

from ..datasets.settings import HubBenchmark
from .inspect_log import InspectSettings


class EvalSettings(InspectSettings):
    """Whose answers to which task make up one evaluation, and what the format asks besides.

    ``model`` is the path's name of the model or its id; ``confidence`` is the level of intervals.
    """

    deployment_type: Literal["self_deployed", "externally_managed", "unknown"]
    model_availability: Literal["open_weights", "closed_weights", "unknown"]
    confidence: float

    @property
    def developer(self) -> str:
        """Who made the model, as far as its id says so; else the engine."""
        return self.model_id.split("/", maxsplit=1)[0]

    @property
    def model_id(self) -> str:
        """The model's id as on the Hugging Face Hub: developer and name."""
        parts = [each for each in self.model.split("/") if each]
        return "/".join(parts) if len(parts) == 2 else f"{self.engine}/{'_'.join(parts)}"

    @property
    def evaluation_name(self) -> str:
        """What was asked, and how, without whom."""
        how = (self.prompt_set, self.condition, self.task, f"t{self.temp}")
        return "/".join((self.experiment, *how))


class HubSettings(EvalSettings):
    """An arm's task, and which of the task's data sets are benchmarks of the Hub."""

    benchmarks: dict[str, HubBenchmark]
