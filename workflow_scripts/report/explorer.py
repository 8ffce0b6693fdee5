"""The data behind the item explorer: every item with what both arms answered."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from ..errors import UserError
from ..records import SEPARATOR, TASKS, ErrorRow, Item, ItemScores, Outcome, Prediction
from ..score.outcomes import outcome_of

ItemOutcome = Outcome | Literal["mixed"]

OUTCOMES: dict[ItemOutcome, tuple[str, str]] = {
    "correct": ("✓", "answered, and it matches a gold answer"),
    "wrong": ("✗", "answered, but no gold answer matches (or there is none)"),
    "abstained": ("–", "said that it does not know; right on unanswerable items"),
    "refused": ("⊘", "would not answer, or the provider blocked it"),
    "mixed": ("≈", "the samples of this item differ"),
    "empty": ("∅", "the response says nothing"),
    "truncated": ("…", "cut off at the token limit"),
    "failed": ("!", "the request has no answer, see the errors"),
}
"""Each outcome's sign and meaning."""

SCORES = ("em", "f1", "abstain_rate", "false_answer_rate", "unsupported_rate")
"""The scores an arm shows, in this order."""

_FAILED = 2
"""A failed sample is its number and its error; an answered one has more."""


def outcome(item: Item, scores: ItemScores | None, samples: Sequence[Sequence[Any]]) -> ItemOutcome:
    """What an arm made of an item, over all its samples (as `explorer_data` gives them).

    Scores are means over the samples: where they are neither 0 nor 1, the samples differ, and
    elsewhere they hold for each sample.
    """
    if scores is None:
        return "failed"
    matches = 0.0 if item.is_unanswerable else scores.em
    if 0 < matches < 1 or 0 < scores.abstain_rate < 1:
        return "mixed"
    found: set[Outcome] = {
        "failed"
        if len(sample) == _FAILED
        else outcome_of(
            sample[1], sample[2], matches=matches == 1, abstains=scores.abstain_rate == 1
        )
        for sample in samples
    }
    return found.pop() if len(found) == 1 else "mixed"


def explorer_data(
    items: Mapping[str, Item],
    predictions: Iterable[Prediction],
    scores: Iterable[ItemScores],
    errors: Iterable[ErrorRow],
) -> dict[str, Any]:
    """Collect the items that were asked, as plain JSON values.

    Returns:
        ``contexts``: each distinct passage once.
        ``items``: by task and in the order given, each with
        ``key, task, dataset, question, answers, context``
        (an index or null), ``unanswerable``, ``cluster`` and
        ``arms[temp][condition] = {outcome, scores, samples}``; a sample is
        ``[index, text, finish_reason, prompt_tokens, completion_tokens]`` or ``[index, error]``.

    Raises:
        UserError: a prediction, score or error is about an item that is not in ``items``.
    """
    samples: dict[tuple[str, str], dict[tuple[str, str], list[list[Any]]]]
    samples = defaultdict(lambda: defaultdict(list))
    for answer in predictions:
        samples[answer.type, f"{answer.dataset}{SEPARATOR}{answer.item_id}"][
            answer.temp, answer.condition
        ].append(
            [
                answer.sample_index,
                answer.response_text,
                answer.finish_reason,
                answer.prompt_tokens,
                answer.completion_tokens,
            ]
        )
    for error in errors:
        samples[error.type, f"{error.dataset}{SEPARATOR}{error.item_id}"][
            error.temp, error.condition
        ].append([error.sample_index, f"{error.error_type}: {error.error_message}"])
    scored = {(row.type, row.item_key, row.temp, row.condition): row for row in scores}

    contexts: dict[str, int] = {}
    shown = []
    for task, item in itertools.product(TASKS, items.values()):
        arms: dict[str, dict[str, Any]] = {}
        for (temp, condition), given in sorted(samples.pop((task, item.key), {}).items()):
            row = scored.get((task, item.key, temp, condition))
            given.sort(key=lambda sample: sample[0])
            arms.setdefault(temp, {})[condition] = {
                "outcome": outcome(item, row, given),
                "scores": None if row is None else [getattr(row, name) for name in SCORES],
                "samples": given,
            }
        if not arms:  # not asked in this task
            continue
        context = None
        if task == "open_book" and item.context is not None:
            context = contexts.setdefault(item.context, len(contexts))
        shown.append(
            {
                "key": item.key,
                "task": task,
                "dataset": item.dataset,
                "question": item.question,
                "answers": list(dict.fromkeys(item.answers)),
                "context": context,
                "unanswerable": item.is_unanswerable,
                "cluster": item.cluster_id,
                "arms": arms,
            }
        )
    if samples:
        task_name, key = min(samples)
        raise UserError(
            f"the answers name {len(samples)} items that the item files do not have, the first "
            f"is {key!r} ({task_name}). Give the report the items that were asked."
        )
    return {"contexts": list(contexts), "items": shown}


def transitions(
    data: dict[str, Any], task: str, temp: str, control: str, treatment: str
) -> dict[tuple[ItemOutcome, ItemOutcome], int]:
    """How many items went from which outcome under the control to which under the treatment."""
    counts: Counter[tuple[ItemOutcome, ItemOutcome]] = Counter()
    for item in data["items"]:
        arms = item["arms"].get(temp, {})
        if item["task"] == task and (control in arms or treatment in arms):
            counts[_outcome_of(arms, control), _outcome_of(arms, treatment)] += 1
    return dict(counts)


def _outcome_of(arms: dict[str, Any], condition: str) -> ItemOutcome:
    found: ItemOutcome = arms[condition]["outcome"] if condition in arms else "failed"
    return found
