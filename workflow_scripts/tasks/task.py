"""What a task is: how an item becomes a request, and what is made of the responses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from pydantic import BaseModel

from ..core.block import Block
from ..core.errors import UserError
from ..core.metric import (
    STATED,
    TOKEN_PROBABILITY,
    Confidence,
    ConfidenceRoles,
    Metric,
    SelectiveRoles,
)
from ..core.prompts import FIELD, read_prompt, without_fields
from ..core.records import Details, Item, Message, Outcome, Prediction, Question
from ..core.registry import load
from ..core.shown import Curve, Split
from ..retrieval.records import Passage
from ..retrieval.settings import Searching

Verdict = Literal["correct", "incorrect", "not_attempted"]
"""Whether a response answers its item correctly, as a person or a judge says."""


Reaction = Literal["answered", "refused", "does_not_know"]
"""Whether a response answers, as a judge says."""


class Sample(NamedTuple):
    """One response with its item. The ``response_text`` is cut down to the final answer.

    ``by_people`` and ``by_judges``: whether it is correct by a label and by most judges; ``None``
    without one. ``reaction``: where the rules leave open whether it answers, what most judges say.
    ``passages``: what was retrieved for the item in its arm, best first, given or not.
    """

    item: Any
    prediction: Prediction
    by_people: Verdict | None = None
    by_judges: Verdict | None = None
    reaction: Reaction | None = None
    passages: tuple[Passage, ...] = ()


@dataclass(frozen=True)
class Score:
    """What a scorer says about one response.

    ``metrics`` by name, ``None`` where one is not measured; ``details`` by column of
    outcomes.csv.
    """

    outcome: Outcome
    metrics: Mapping[str, float | None]
    details: Mapping[str, float | str | None] = field(default_factory=dict)


Mark = Literal["right", "wrong", "missing", "extra", "ignored"]


class Difference(NamedTuple):
    """One field of an answer against what was expected there.

    ``place`` is the same for all items that have the field. ``expected`` and ``given`` are texts
    for people, ``None`` where there is no such field.
    """

    place: str
    expected: str | None
    given: str | None
    mark: Mark


class Scorer(Protocol):
    """Scores responses against their items."""

    def __call__(self, samples: Sequence[Sample]) -> list[Score]:
        """Return one score for each sample, in their order.

        Raises:
            UserError: an item lacks what is needed; the message names it.
        """
        ...


class Task(ABC):
    """A task: one module, a template, and a line in `workflow_scripts.tasks.registry`.

    Attributes:
        name: what a config and file names call it.
        label: its name for readers.
        definition: what is asked, in a clause.
        asks_about: what a change may change, for the question on a trial's page; empty: the
            labels of the metrics that lead.
        item: the record of an item.
        question: its part that requests are made from; no field of the answers.
        row: the columns of a user's JSON Lines or CSV file.
        lists: columns that hold several texts, in CSV separated by ``||``.
        objects: columns that hold an object; in CSV each of its fields is a column ``name.field``.
        beside: a pattern for names of files beside a data set that its rows may name.
        fields: what its template holds in braces, each exactly once.
        optional: those that may stand for nothing. The paragraph of the template around such a
            field is then left out.
        template: the text that is used where there is no file at ``template_path``.
        max_new_tokens: the longest answer where the config says nothing.
        scored_by: ``module:class`` of its `Scorer`, made from the task, `ScoreSettings` and an
            ``options``. By name, because a changed scorer must not make requests again.
        compared_by: ``module:function`` that takes an item, a response and its finish reason, and
            yields a `Difference` for each field, for tasks whose answers have fields.
        scored_whole: whether its responses are scored whole, without their reasoning; otherwise
            they are cut down to the final answer.
        options: what a config can set for it (``task_options: {name: {…}}``).
        metrics: what is measured; the columns of per_item_scores.csv in this order.
        unmeasured: names of those that stay empty in this task.
        subgroups: names of the parts that its items fall into beside data sets and tags.
        details: further columns of outcomes.csv.
        extracted: the one that holds the answer taken out of a response, if one does.
        undecided: the one that is 1 where neither rules nor a judge say whether a response answers.
        selective_risk: for tasks in which a model may decline to answer.
        confidence: for tasks whose responses state how sure they are.
        false_answers: the metric that counts hallucinations, if one does.
        correctness: the metric that the config's ``correctness`` decides, if one is.
        answers_label: how the item viewer introduces the answers of an item.
        no_answers: what it says of an item that has none.
        context_label: what it calls the longer text.
        curves: metrics that are one measure at several cut-offs, drawn as curves.
        split: a column of outcomes.csv by which its outcomes are counted, if there is one.
        searches: whether its prompts may hold numbered passages that were searched for.
        has_passage: whether a passage in the prompt has to support the responses; then ``details``
            has ``support``, from 0 to 1.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    definition: ClassVar[str]
    asks_about: ClassVar[str] = ""
    item: ClassVar[type[Item]]
    question: ClassVar[type[Question]]
    row: ClassVar[type[BaseModel]]
    lists: ClassVar[frozenset[str]] = frozenset()
    objects: ClassVar[frozenset[str]] = frozenset()
    beside: ClassVar[str] = ""
    fields: ClassVar[frozenset[str]]
    optional: ClassVar[frozenset[str]] = frozenset()
    template: ClassVar[str]
    max_new_tokens: ClassVar[int] = 32
    scored_by: ClassVar[str]
    compared_by: ClassVar[str] = ""
    scored_whole: ClassVar[bool] = False
    options: ClassVar[type[Block]] = Block
    metrics: ClassVar[tuple[Metric, ...]]
    unmeasured: ClassVar[frozenset[str]] = frozenset()
    subgroups: ClassVar[tuple[str, ...]] = ()
    details: ClassVar[Details] = {}
    extracted: ClassVar[str] = ""
    undecided: ClassVar[str] = ""
    selective_risk: ClassVar[SelectiveRoles | None] = None
    confidence: ClassVar[ConfidenceRoles | None] = None
    false_answers: ClassVar[str | None] = None
    correctness: ClassVar[str | None] = None
    answers_label: ClassVar[str] = "Gold"
    no_answers: ClassVar[str] = "none"
    context_label: ClassVar[str] = "Passage"
    curves: ClassVar[tuple[Curve, ...]] = ()
    split: ClassVar[Split | None] = None
    searches: ClassVar[bool] = False
    has_passage: ClassVar[bool] = False

    @property
    def template_path(self) -> Path:
        """The file of its template where a config names no other; it need not exist."""
        return Path("prompts/tasks") / f"{self.name}.txt"

    @property
    def item_files(self) -> tuple[Path, ...]:
        """The files that its items are made from beside the data; they need not exist."""
        return ()

    @property
    def is_about(self) -> str:
        """What a change may change, in words: "Does this prompt change …?"."""
        leading = sorted((each for each in self.metrics if each.leads), key=lambda each: each.leads)
        return self.asks_about or " and ".join(each.label for each in leading) or "the answers"

    @property
    def confidences(self) -> tuple[Confidence, ...]:
        """What may say how sure its responses are, the most telling first."""
        if self.confidence is None:
            return (TOKEN_PROBABILITY,)
        definition = "The probability of being right that the response states."
        return (Confidence(self.confidence.stated, STATED, definition), TOKEN_PROBABILITY)

    @property
    def right(self) -> str | None:
        """The binary metric that says whether a response is right, if one does."""
        if self.confidence is not None:
            return self.confidence.correct
        leading = [each for each in self.metrics if each.leads and each.binary]
        leading = [each for each in leading if each.better == "higher"]
        first = min(leading, key=lambda each: each.leads, default=None)
        return self.correctness or (first.name if first else None)

    @abstractmethod
    def item_fields(self, row: Any) -> dict[str, Any]:
        """Return the fields of an item for a row of a user's file, but its data set.

        Raises:
            ValueError: the row lacks what this task needs; the message says what to do.
        """

    @abstractmethod
    def values(self, question: Any, options: Any) -> Mapping[str, str]:
        """Return what the fields of the template stand for; ``options`` are an ``options``."""

    def schema(self, question: Any, options: Any) -> dict[str, Any] | None:
        """Return the JSON Schema that is enforced on the answers; ``None``: they are free."""
        return None

    def search(self, options: Any) -> Searching | None:
        """Return how the passages of its requests are found; ``None``: they have none.

        ``options`` are an ``options``. A task that ``searches`` overrides the next four as well.
        """
        return None

    def search_text(self, question: Any) -> str:
        """Return the text that is searched for."""
        raise NotImplementedError(f"task {self.name} searches for nothing")

    def relevant(self, item: Any) -> Sequence[str]:
        """Return the gold passages of an item, as `workflow_scripts.retrieval.relevant` reads."""
        raise NotImplementedError(f"task {self.name} searches for nothing")

    def with_passages(self, question: Any, passages: Sequence[Passage]) -> Question:
        """Return a question with the passages that its prompt is given, best first."""
        raise NotImplementedError(f"task {self.name} searches for nothing")

    def in_prompt(self, passages: Sequence[Passage], options: Any) -> list[Passage]:
        """Return the passages that a prompt is given, as it numbers them from 1.

        ``passages``: all that were retrieved, best first.
        """
        raise NotImplementedError(f"task {self.name} searches for nothing")

    def scorer(self, settings: Any, options: Block) -> Scorer:
        """Return what scores its responses.

        Args:
            settings: `workflow_scripts.tasks.settings.ScoreSettings`.
            options: an ``options``.

        Raises:
            UserError: its module cannot be loaded.
        """
        made: Scorer = load(self.scored_by, f"the scorer of task {self.name!r}")(
            self, settings, options
        )
        return made

    def compared(
        self, item: Any, response: str, finish_reason: str, *, enforced: bool
    ) -> list[Difference]:
        """Return the fields of a response against the expected ones; none without fields.

        ``enforced``: the response was held to a JSON schema.
        """
        if not self.compared_by:
            return []
        function = load(self.compared_by, f"the comparison of task {self.name!r}")
        return list(function(item, response, finish_reason, enforced=enforced))

    @abstractmethod
    def shown(self, item: Any) -> dict[str, Any]:
        """Return what the item viewer shows of an item.

        ``question``: the text that the item is called by. ``answers``: the texts that count as
        right. ``context``: a longer text that several items may share, or ``None``.
        """

    def questions_of(self, item: Item) -> Question:
        """Return an item without what it is scored against."""
        fields = item.model_dump(include=set(self.question.model_fields))
        return self.question.model_validate(fields)

    def messages(
        self,
        question: Question,
        template: str,
        turns: Sequence[Message],
        options: Block | None = None,
    ) -> list[Message]:
        """Return the chat for a question: the turns before it, then the filled-in template.

        Fields are replaced in a single pass, so braces in an item's own text stay as they are. The
        user message is the same under every condition that shares template and options.
        """
        values = self.values(question, self.options() if options is None else options)
        template = without_fields(template, (name for name in self.optional if not values[name]))
        user = FIELD.sub(lambda found: values[found.group(1)], template)
        return [*turns, Message(role="user", content=user)]

    def read_template(self, path: Path) -> str:
        """Return the text of the template in a file, or the task's own where there is none.

        Raises:
            UserError: a field is missing, repeated or unknown.
        """
        text = read_prompt(path) if path.is_file() else self.template
        self.check_template(path, text)
        return text

    def check_template(self, path: Path, text: str) -> None:
        """See that the text around an item has each field once.

        Raises:
            UserError: a field is missing, repeated or unknown. ``path`` is the text's file.
        """
        found, wanted = sorted(FIELD.findall(text)), sorted(self.fields)
        if found != wanted:
            raise UserError(
                f"{path.as_posix()}: the fields are {_braced(found) or 'none'}; "
                f"task {self.name} needs each of {_braced(wanted)} exactly once"
            )


def _braced(names: Sequence[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)
