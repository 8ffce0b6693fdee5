"""Ready-made jobs about a table: the intent of a question, and the adaptation of a plan.

They are structured outputs whose template and schema are those of prompts/jobs/
(`workflow_scripts.core.job_prompts`), and whose items are written with a profile of the table.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from ..core import job_prompts
from ..core.block import Block
from ..core.metric import ConfidenceRoles, Metric
from ..core.records import Details, Message, Question
from ..core.values import ItemId, Text
from ..plans.plan import Change, Plan, Rejected, apply_changes
from ..plans.profile import Profile
from .structured import (
    SCHEMA_VALID,
    UNKNOWN_NAMES,
    VALID_JSON,
    WRAPPED,
    Structured,
    StructuredItem,
    StructuredOptions,
    StructuredQuestion,
    checked_fields,
)
from .structured_fields import Rule

ACCURACY = Metric(
    name="accuracy",
    label="right intents",
    definition="Share of items whose reply names the right intent. A reply that cannot be read "
    "counts as wrong.",
    better="higher",
    binary=True,
    leads=2,
    rose="gained {points} points of right intents",
    fell="cost {points} points of right intents",
)
BRIER = Metric(
    name="brier",
    label="Brier score",
    definition="Mean squared difference between the stated confidence and 1 (right intent) or 0 "
    "(wrong), times 100: 0 is best, and 25 is a coin that says 50%. A reply without a readable "
    "intent and confidence counts 100.",
    better="lower",
)
PLAN_MATCH = Metric(
    name="plan_match",
    label="right plans",
    definition="Share of items whose adapted plan has exactly the expected steps: tools and "
    "parameters count, wording, ids and order do not. A reply that cannot be read counts as wrong.",
    better="higher",
    binary=True,
    leads=2,
    rose="gained {points} points of right plans",
    fell="cost {points} points of right plans",
)
CHANGE_F1 = Metric(
    name="change_f1",
    label="F1 of the changes",
    definition="Overlap (harmonic mean of precision and recall) of the steps that the reply takes "
    "out and puts in with those that should be, 0 to 100; 100 if both are none. A reply that "
    "cannot be read scores 0.",
    better="higher",
)
EXTRA_STEPS = Metric(
    name="extra_steps",
    label="plans with unjustified steps",
    definition="Share of items whose reply puts a step into the plan that the expected plan does "
    "not have.",
    better="lower",
    binary=True,
    gained="new",
    lost="avoided",
)


class PlanOptions(StructuredOptions):
    """What a config can set for the adaptation of plans; an arm as well.

    ``names``: whether the enforced and described schema lists the tools and the table's columns
    (``listed``), or takes any text for their names (``open``). Replies are always validated against
    the open one, so that arms are comparable.
    """

    names: Literal["open", "listed"] = "open"


class PlanQuestion(StructuredQuestion):
    """With the table and the plan to adapt."""

    profile: Profile
    plan: Plan


class PlanItem(PlanQuestion, StructuredItem):
    """``expected`` has the changes that make the expected plan."""

    def adapted(self, changes: list[Change]) -> tuple[Plan, list[Rejected]]:
        """Return the plan after some changes, and those that cannot be applied."""
        return apply_changes(self.plan, changes, self.profile)


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: ItemId
    question: Text
    profile: Profile
    cluster_id: Text | None = None
    dataset: str | None = None


class IntentRow(_Row):
    """One question as users write it, with the right intent. See docs/jobs.md."""

    primary: Text


class PlanRow(_Row):
    """One plan as users write it, with the changes that it needs. See docs/jobs.md."""

    plan: Plan
    changes: list[Change]


class Job(Structured):
    """What the jobs have in common.

    Attributes:
        job: what their files in prompts/jobs/ are called.
        rules: how replies are compared with the expected object.
    """

    job: ClassVar[str]
    rules: ClassVar[dict[str, Rule]]
    template = ""  # the package's own: `read_template`
    objects = frozenset()
    beside = ""
    optional = frozenset()
    context_label = "Table"

    @property
    def template_path(self) -> Path:
        """The file of the template where a config names no other."""
        return job_prompts.FOLDER / f"{self.job}.md"

    @property
    def item_files(self) -> tuple[Path, ...]:
        """The schema of the replies: it is part of each item."""
        return (job_prompts.schema_path(self.job),)

    def read_template(self, path: Path) -> str:
        """Return the text of the template in a file, or the package's own if it is missing.

        Raises:
            UserError: as `job_prompts.read_template` does.
        """
        return job_prompts.read_template(self.job, path).text

    def check_template(self, path: Path, text: str) -> None:
        """See that a text has each field once, and other braces twice."""
        job_prompts.check_fields(path, text, self.fields)

    def messages(
        self,
        question: Question,
        template: str,
        turns: Sequence[Message],
        options: Block | None = None,
    ) -> list[Message]:
        """Return the turns before the item, and the filled-in template."""
        values = self.values(question, self.options() if options is None else options)
        user = job_prompts.fill(template, values)
        return [*turns, Message(role="user", content=user)]

    def item_fields(self, row: Any) -> dict[str, Any]:
        """Return the fields of an item; without a cluster's name, each item stands alone."""
        schema = job_prompts.read_schema(job_prompts.schema_path(self.job)).value
        return checked_fields(
            row, row.profile.text(), schema, self.expected(row), self.rules,
            cluster_id=row.cluster_id or row.id,
        )  # fmt: skip

    @abstractmethod
    def expected(self, row: Any) -> dict[str, Any]:
        """Return a right reply; the parts that are not compared are an example."""

    def values(self, question: Any, options: Any) -> Mapping[str, str]:
        """Return what the fields of the template stand for."""
        return {**super().values(question, options), "profile": question.context}


class QuestionIntent(Job):
    """Which kind of analysis answers a question?"""

    name = "question_intent"
    job = "intent"
    label = "Intent of a question"
    definition = "which kind of analysis answers a question about a table"
    asks_about = "schema validity and right intents"
    item = StructuredItem
    question = StructuredQuestion
    row = IntentRow
    options = StructuredOptions
    rules: ClassVar[dict[str, Rule]] = {"/confidence": "ignore", "/reasoning": "ignore"}
    fields = job_prompts.FIELDS["intent"]
    max_new_tokens = 256
    metrics = (SCHEMA_VALID, ACCURACY, BRIER, VALID_JSON, UNKNOWN_NAMES, WRAPPED)
    details: ClassVar[Details] = {**Structured.details, "stated_confidence": float}
    confidence = ConfidenceRoles(stated="stated_confidence", correct=ACCURACY.name)
    scored_by = "workflow_scripts.tasks.job_scorers:IntentScorer"

    def expected(self, row: IntentRow) -> dict[str, Any]:
        """Return the right intent; confidence and reasoning are not compared."""
        return {"primary": row.primary, "confidence": 1, "reasoning": "Not compared."}


class PlanAdaptation(Job):
    """How must a plan of analysis change for a table and a question?"""

    name = "plan_adaptation"
    job = "adapt_plan"
    label = "Adaptation of a plan"
    definition = "how a plan of analysis must change for a table and a question"
    asks_about = "schema validity and right plans"
    item = PlanItem
    question = PlanQuestion
    row = PlanRow
    rules: ClassVar[dict[str, Rule]] = {"/rationale": "ignore"}
    fields = job_prompts.FIELDS["adapt_plan"]
    options = PlanOptions
    max_new_tokens = 768
    metrics = (
        *(SCHEMA_VALID, PLAN_MATCH, CHANGE_F1, EXTRA_STEPS),
        *(VALID_JSON, UNKNOWN_NAMES, WRAPPED),
    )
    details: ClassVar[Details] = {
        **Structured.details,
        "unjustified": float,
        "rejected_changes": str,
    }
    scored_by = "workflow_scripts.tasks.job_scorers:PlanScorer"
    compared_by = "workflow_scripts.tasks.job_scorers:compared_plans"

    def item_fields(self, row: PlanRow) -> dict[str, Any]:
        """Return the fields of an item, whose expected changes can be applied."""
        _, rejected = apply_changes(row.plan, row.changes, row.profile)
        if rejected:
            first = rejected[0]
            raise ValueError(f"change {first.number} cannot be applied: {first.reason}")
        return {**super().item_fields(row), "profile": row.profile, "plan": row.plan}

    def expected(self, row: PlanRow) -> dict[str, Any]:
        """Return the changes; the rationale is not compared."""
        changes = [each.model_dump(exclude_none=True) for each in row.changes]
        return {"changes": changes, "rationale": "Not compared."}

    def values(self, question: PlanQuestion, options: PlanOptions) -> Mapping[str, str]:
        """Return what the fields of the template stand for."""
        from ..plans.tools import tools_text

        given = super().values(question, options)
        return {**given, "plan": question.plan.text(), "tools": tools_text()}

    def reply_schema(self, question: PlanQuestion, options: PlanOptions) -> dict[str, Any]:
        """Return the schema, with the tools and the table's columns listed where that is wanted."""
        from ..plans.tools import narrowed

        schema = super().reply_schema(question, options)
        return narrowed(schema, question.profile) if options.names == "listed" else schema

    def shown(self, item: PlanItem) -> dict[str, Any]:
        """Return the question, the expected changes, and the table with the plan."""
        changes = [json.dumps(each, ensure_ascii=False) for each in item.expected["changes"]]
        return {
            "question": item.question,
            "answers": ["\n".join(changes) or "no change"],
            "context": f"{item.context}\n\n{item.plan.text()}",
        }


QUESTION_INTENT = QuestionIntent()
PLAN_ADAPTATION = PlanAdaptation()
