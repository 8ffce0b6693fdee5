"""What the jobs of an analysis read: its settings and its files."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from ..core.block import Block
from ..core.job_prompts import JobText, fill
from ..core.records import RawLine, Record
from ..plans.plan import Change
from ..plans.templates import Intent

log = logging.getLogger(__name__)

JobName = Literal["intent", "adapt_plan", "repair_plan"]
"""What a model is asked for an analysis; the type of its requests."""

MAX_NEW_TOKENS: Mapping[JobName, int] = {"intent": 512, "adapt_plan": 2048, "repair_plan": 2048}

TEMP = "0.0"
"""Models are asked at temperature 0."""


class AskedJob(Block):
    """How a model is asked for one thing: the text, the schema of the reply, where both are from.

    ``reply_schema`` is JSON text, because the order of its properties counts.
    """

    template: str
    template_source: str
    reply_schema: str
    schema_source: str

    @classmethod
    def of(cls, template: JobText, schema: JobText) -> AskedJob:
        """Return a job's texts as settings."""
        return cls(
            template=template.text,
            template_source=template.source,
            reply_schema=schema.text,
            schema_source=schema.source,
        )

    @property
    def schema_of_reply(self) -> dict[str, Any]:
        """The schema."""
        schema: dict[str, Any] = json.loads(self.reply_schema)
        return schema

    def filled(self, values: dict[str, str]) -> str:
        """Return the text with its fields filled in, and log where text and schema are from."""
        log.info("the prompt is %s; the schema of the reply is %s", *self.texts)
        return fill(self.template, values)

    @property
    def texts(self) -> tuple[JobText, JobText]:
        """The template and the schema of the reply."""
        return (
            JobText(self.template, self.template_source),
            JobText(self.reply_schema, self.schema_source),
        )


class AnalysisSettings(Block):
    """Settings of one analysis.

    ``data``: the table's file. ``backend``, ``engine``, ``model``: who is asked. ``enforced``: the
    backend holds replies to their schema; if it cannot, the prompt describes it.
    """

    name: str
    title: str | None
    note: str | None
    data: str
    question: str
    backend: str
    model: str
    enforced: bool
    jobs: dict[JobName, AskedJob]


class IntentReply(Record):
    """What a model says that a question is about."""

    primary: Intent
    confidence: float = Field(ge=0, le=1)
    reasoning: str


class AdaptationReply(Record):
    """What a model says that a plan needs."""

    changes: list[Change]
    rationale: str


class ReplyOrigin(Record):
    """The request behind a reply, and how the reply was held to its schema; absent: it was not."""

    request_digest: str | None
    schema_enforced: str | None

    @classmethod
    def of(cls, line: RawLine) -> ReplyOrigin:
        """Return the origin of a reply in a raw part."""
        return cls(request_digest=line.request_digest, schema_enforced=line.schema_enforced)


class AskedIntent(IntentReply, ReplyOrigin):
    """intent.json: the reply with its origin."""
