"""What a trial and its arms are, as the stages read it; `trials` makes it from the config."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ..backends.shape import Shape
from ..core.block import Block
from ..core.placed import Placed
from ..core.recorded import AnswersFile
from ..core.records import Decoding, Reasoning, TaskName

INSTRUCTION = "instruction"
"""What readers call the text around an item; templates and options of tasks decide it."""


class DecodingSettings(Block):
    """How answers are decoded, apart from the temperature."""

    max_new_tokens: dict[TaskName, int]
    top_p: float | None
    top_k: int | None
    stop: list[str]
    reasoning: Reasoning | None = Field(None, exclude_if=lambda given: given is None)
    logprobs: bool = Field(False, exclude_if=lambda asked: not asked)

    def request(
        self, task: TaskName, temp: str, seed: int, json_schema: dict[str, Any] | None = None
    ) -> Decoding:
        """The decoding parameters of one request, with the schema that its answer has to obey."""
        return Decoding(
            temperature=float(temp),
            max_new_tokens=self.max_new_tokens[task],
            top_p=self.top_p,
            top_k=self.top_k,
            stop=self.stop,
            seed=seed,
            json_schema=json_schema,
            reasoning=self.reasoning,
            logprobs=self.logprobs,
        )


OWN_TEMPERATURE = "the model’s own"
"""What a temperature is called that the model does not take."""


class Template(Block):
    """The text around an item: its file, ``None`` for the task's own text, and its SHA-256."""

    file: str | None
    sha256: str


class Arm(Block):
    """One condition of a trial: what is asked, and who answers.

    ``name`` is what the config calls it. Its requests and raw parts are named after ``prompt``:
    arms whose requests have the same texts share them. ``text`` is its system prompt, ``turns``
    are the other turns of its prompt, each with its role. ``templates`` are given by data set,
    ``options`` by task as far as they are configured.
    ``engine`` and ``model_id`` are the backend's kind and its name of the model.
    ``takes_temperature``: otherwise none is sent. ``shape``: what the config changes of requests.
    ``answers`` is the file that its answers come
    from, if nobody is asked.
    """

    name: str
    prompt: str
    text: str
    turns: list[str] = Field(default_factory=list, exclude_if=lambda turns: not turns)
    templates: dict[str, Template]
    options: dict[TaskName, dict[str, Any]]
    backend: str
    model: str
    decoding_name: str
    decoding: DecodingSettings
    inputs_folder: Placed
    raw_folder: Placed
    engine: str = Field("", exclude_if=lambda engine: not engine)
    model_id: str = Field("", exclude_if=lambda model: not model)
    takes_temperature: bool = Field(True, exclude_if=lambda takes: takes)
    shape: Shape = Field(default_factory=Shape, exclude_if=lambda shape: shape == Shape())
    answers: AnswersFile | None = Field(None, exclude_if=lambda file: file is None)

    @property
    def prompt_text(self) -> str:
        """Its prompt for readers: the system prompt, then its other turns."""
        return "\n\n".join(filter(None, [self.text, *self.turns]))

    def asks(self) -> dict[str, Any]:
        """What decides its answers, by what a reader calls it."""
        decoding = {
            name.replace("_", " "): value for name, value in self.decoding if name != "logprobs"
        }
        return {
            "system prompt": self.text,
            INSTRUCTION: [
                [each.sha256 for each in self.templates.values()],
                self.options,
                self.turns,
            ],
            **decoding,
            "backend": self.backend,
            "model": self.model,
        }

    def differing(self, other: Arm) -> list[str]:
        """What decides the answers of one of two arms and not of the other."""
        if self.answers or other.answers:
            return [] if self.answers == other.answers else ["answers"]
        asks = other.asks()
        return [name for name, value in self.asks().items() if value != asks[name]]


class Trial(Block):
    """One backend × model × prompt set × decoding, compared at each temperature."""

    experiment: str
    title: str | None
    note: str | None
    backend: str
    engine: str
    model: str
    decoding_name: str
    decoding: DecodingSettings
    prompt_set: str
    arms: dict[str, Arm]
    temps: list[str]
    folder: Placed

    @property
    def asks(self) -> bool:
        """Whether a model is asked in one of its arms."""
        return any(arm.answers is None for arm in self.arms.values())

    def temperature(self, temp: str) -> str:
        """Return one of ``temps`` in words: as it was sent, or `OWN_TEMPERATURE`."""
        asked = [arm for arm in self.arms.values() if arm.answers is None]
        own = [arm for arm in asked if not arm.takes_temperature]
        if not own:
            return temp
        if len(own) == len(asked):
            return OWN_TEMPERATURE
        return f"{temp} ({', '.join(f'“{arm.name}”' for arm in own)}: {OWN_TEMPERATURE})"


class ListedAnalysis(Block):
    """An analysis as the front page lists it. ``data``: the name of the table's file."""

    name: str
    question: str
    data: str


class FrontSettings(Block):
    """The trials that the front page compares, and the analyses that it lists."""

    title: str | None
    note: str | None
    trials: list[Trial]
    analyses: list[ListedAnalysis] = Field(
        default_factory=list, exclude_if=lambda analyses: not analyses
    )
