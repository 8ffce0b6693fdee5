"""Answers in the ``scenario_state.json`` of a HELM run.

Reference: ``ScenarioState``, ``RequestState`` and ``Instance`` in
https://github.com/stanford-crfm/helm.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..core.recorded import RecordedAnswer
from .answer_documents import Fields, items_of, known_reason, read_json_document
from .answer_formats import AnswerFormat
from .formats import DataFormat
from .source import Source


def read_helm(source: Source) -> Iterator[RecordedAnswer]:
    """Yield the completions of a run's requests.

    An item may have several completions and several trials, which are its samples, and perturbed
    versions, among which ``where: {perturbation: none}`` chooses.
    """
    document = Fields(source, "the document", read_json_document(source))
    for state in document.objects("request_states"):
        instance, result = state.object("instance"), state.object("result")
        place = state.place.removeprefix("the document, ")
        perturbation = instance.object("perturbation").get("name")
        common: dict[str, Any] = {
            "item_id": instance.text("id"),
            "question": instance.object("input").text("text"),
            "answers": tuple(_gold(instance)),
            "latency_s": result.seconds("request_time"),
            "labels": {
                "perturbation": str(perturbation or "none"),
                "split": str(instance.get("split")),
            },
        }
        completions = list(result.objects("completions")) if result.get("completions") else []
        trial = state.count("train_trial_index") or 0
        for number, completion in enumerate(completions):
            several = len(completions) > 1 or trial
            yield RecordedAnswer(
                place=place if len(completions) == 1 else f"{place}, completion {number}",
                sample_index=trial * len(completions) + number if several else None,
                response_text=completion.text("text"),
                finish_reason=known_reason(completion.object("finish_reason").get("reason")),
                **common,
            )
        if not completions:
            error = str(result.get("error") or "the run has no completion")
            yield RecordedAnswer(place=place, sample_index=trial or None, error=error, **common)


def _gold(instance: Fields) -> Iterator[str]:
    for reference in instance.objects("references"):
        if "correct" in (reference.get("tags") or ()):
            yield reference.object("output").text("text")


HELM = AnswerFormat(
    name="helm",
    description="the scenario_state.json of a HELM run",
    read=read_helm,
)
HELM_ITEMS = DataFormat(
    name="helm",
    description="the instances in the scenario_state.json of a HELM run",
    read=lambda source, task: items_of(HELM, source, task),
)
