"""What exports take from the config; light to import, because every run's plan does."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..core.block import Block
from ..datasets.settings import HubBenchmark
from ..tasks.given import ArmRetrieval
from .inspect_log import InspectSettings

Deployment = Literal["self_deployed", "externally_managed", "unknown"]


class ParquetSettings(Block):
    """What the tables of a trial have beside their CSV files: the passages of arms that search."""

    retrievals: dict[str, ArmRetrieval]


class EvalSettings(InspectSettings):
    """Whose answers to which task make up one evaluation, and what others ask of it besides.

    ``model`` is the path's name of the model or its id; ``confidence`` is the level of intervals.
    ``benchmarks`` and ``urls``: of the task's data sets, those on the Hugging Face Hub and those
    that were downloaded.
    """

    deployment_type: Deployment
    model_availability: Literal["open_weights", "closed_weights", "unknown"]
    confidence: float
    benchmarks: dict[str, HubBenchmark] = Field(default_factory=dict)
    urls: dict[str, str] = Field(default_factory=dict)

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
