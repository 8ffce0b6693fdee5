"""The slice of the config that the plan reads."""

from __future__ import annotations

from pydantic import Field

from ..answers.parts import ArmParts, TrialParts
from ..backends.prices import Quote
from ..backends.settings import BackendSettings
from ..comparisons.settings import WaveSettings
from ..core.block import Block
from ..core.records import TaskName
from ..requests.parts import BuildSettings
from ..retrieval.embedders.settings import EmbedderSettings
from ..retrieval.settings import Search
from .settings import PaidEmbedder


class PlannedEmbedder(PaidEmbedder):
    """The same with what it embeds: files of chunks, and questions with their tasks."""

    settings: EmbedderSettings
    chunks: list[str]
    questions: list[tuple[TaskName, str]]


class PlannedSearch(Block):
    """Parts of requests whose passages such embedders find, and what the parts are made from."""

    embedders: list[str]
    search: Search
    parts: list[str]
    chunks: str
    questions: str
    prompt: str
    system: str
    build: BuildSettings


class PlannedModel(Block):
    """One model of one backend, with its price, if one is known.

    The settings are those that say who is asked and how; the others decide nothing here.
    """

    backend: str
    model: str
    settings: BackendSettings
    quote: Quote | None


class PlannedJudge(Block):
    """A judge of a trial's responses: which model of ``models`` is asked, with which instructions.

    ``repeats``: requests for each response, with those that are repeated. ``pairs``: it sees two
    responses at once.
    """

    name: str
    asked: tuple[str, str]
    text: str
    max_new_tokens: int
    repeats: float
    pairs: bool = Field(False, exclude_if=lambda pairs: not pairs)


class PlannedTrial(Block):
    """One trial, the parts that it is made of, and its declared question, if there is one.

    ``asked_of``: by condition, the backend and the model. Arms whose answers come from a file are
    not in it. ``again``: by condition, the requests that are sent a second time. ``rewritten``: by
    condition, the requests with the passages of rewritten questions, where ``parts`` has those with
    the passages of the questions.
    """

    folder: str
    asked_of: dict[str, tuple[str, str]]
    parts: TrialParts
    rewritten: dict[str, ArmParts] = Field(default_factory=dict, exclude_if=lambda arms: not arms)
    again: dict[str, ArmParts] = Field(default_factory=dict, exclude_if=lambda arms: not arms)
    judges: list[PlannedJudge] = Field(default_factory=list)
    question: WaveSettings | None = None


class PlannedRewriting(Block):
    """The requests by which one model rewrites the questions of a task.

    ``asked``: the backend and the model. ``requests``: the batch-input part.
    """

    task: str
    asked: tuple[str, str]
    requests: str


class PlannedAnalysis(Block):
    """One analysis, and the files with its requests.

    ``first``: the first request. ``possible``: those that may follow. ``repair``: the one that asks
    for a repair, if it was made already; ``repair_type`` is the type of such requests.
    """

    name: str
    first: str
    possible: str
    repair: str
    repair_type: str


class PlanSettings(Block):
    """The whole experiment, where it writes down what it pays, and what it may pay.

    ``analyses_ask``: the backend and the model of all analyses. ``embedders``: those that cost
    something; ``searches``: what they find passages for.
    ``left_out``: settings of the config that send what others send.
    """

    experiment: str
    spending_folder: str
    budget_usd: float | None
    models: list[PlannedModel]
    trials: list[PlannedTrial]
    rewrites: list[PlannedRewriting] = Field(default_factory=list, exclude_if=lambda of: not of)
    analyses: list[PlannedAnalysis] = Field(default_factory=list, exclude_if=lambda of: not of)
    analyses_ask: tuple[str, str] | None = Field(None, exclude_if=lambda asked: asked is None)
    left_out: list[str] = Field(default_factory=list, exclude_if=lambda notes: not notes)
    embedders: list[PlannedEmbedder] = Field(default_factory=list, exclude_if=lambda of: not of)
    searches: list[PlannedSearch] = Field(default_factory=list, exclude_if=lambda of: not of)
