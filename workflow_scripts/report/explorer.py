"""The data behind the item explorer: every item with what was sent and what was answered.

It reaches the page compressed, in two blocks that the browser unpacks: `explorer_data` once the
page is on the screen, and `request_data` when somebody first asks for a raw request.
"""

from __future__ import annotations

import base64
import itertools
import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..answers.parts import TrialParts
from ..backends.capabilities import dropped, sent_values
from ..config.trial import OWN_TEMPERATURE, Arm
from ..core.errors import UserError
from ..core.metric import Metric
from ..core.records import (
    Answer,
    Decoding,
    Item,
    ItemScores,
    Message,
    Request,
    RequestMeta,
)
from ..metrics.final_answer import final_answer, without_reasoning
from ..tasks.task import Task
from .fields import FieldMarks
from .outcomes import ItemOutcomes
from .passages import ArmPassages, cited

_FAILED = 2
"""A failed sample is its number and its error; an answered one has more."""


def explorer_data(
    items: Mapping[str, Item],
    answers: Iterable[Answer],
    scores: Iterable[ItemScores],
    outcomes: ItemOutcomes,
    tasks: Mapping[str, Task],
    metrics: Sequence[str],
    passages: ArmPassages | None = None,
    marks: FieldMarks | None = None,
) -> dict[str, Any]:
    """Collect the items that a page holds of those that were asked, as plain JSON values.

    Args:
        items: all items by `Item.key`.
        answers: all requests of the trial.
        scores: the trial's per-item scores.
        outcomes: what became of the items, and which of them the page holds.
        tasks: the trial's tasks by name, in the order of their items.
        metrics: the scores that an arm shows, in this order.
        passages: what the arms that search found.
        marks: takes in the fields of all answers, also of items that the page does not hold.

    Returns:
        ``metrics``: the names of the scores. ``contexts``: each distinct passage of an item once.
        ``passages``: each that was found once, as `ArmPassages` has it.
        ``items``: by task and in the order given, each with
        ``key, task, dataset, question, answers, context``
        (an index or null), ``subgroups``, ``cluster`` and
        ``arms[temp][condition] = {outcome, scores, samples}``, in an arm that searches with the
        ``passages`` of `ArmPassages`; a sample is
        ``[index, text, finish_reason, prompt_tokens, completion_tokens, latency_s, scored,
        fields, cited]`` or ``[index, error]``. ``scored`` is the final answer, or null where it is
        the whole text; ``fields`` has ``[place, expected, given, mark]`` of each field; ``cited``
        the numbers of the cited passages. They are left out where nothing is behind them.

    Raises:
        UserError: an answer is about an item that is not in ``items``, or has no outcome.
    """
    samples: dict[tuple[str, str], dict[tuple[str, str], list[list[Any]]]]
    samples = defaultdict(lambda: defaultdict(list))
    for answer in answers:
        shown = outcomes.on_page(answer.type, answer.item_key)
        if shown or (marks is not None and tasks[answer.type].compared_by):
            sample = _sample(answer, tasks, items)
            if marks is not None:
                marks.add(answer, sample)
            if shown:
                arm = (answer.temp, answer.condition)
                samples[answer.type, answer.item_key][arm].append(sample)
    scored = {
        (row.type, row.item_key, row.temp, row.condition): [row.score(name) for name in metrics]
        for row in scores
        if outcomes.on_page(row.type, row.item_key)
    }

    passages = passages or ArmPassages()
    contexts: dict[str, int] = {}
    found_items = []
    for task, key in itertools.product(tasks, items):
        of_item = samples.pop((task, key), None)
        if of_item is None:  # not asked in this task, or not on the page
            continue
        item = items[key]
        arms: dict[str, dict[str, Any]] = {}
        for (temp, condition), given in sorted(of_item.items()):
            outcome = outcomes.of(task, key, temp, condition)
            if outcome is None:
                raise UserError(
                    f"outcomes.csv says nothing about item {key!r} ({task}) under {condition} "
                    f"at temperature {temp}; delete the file and run again to make it again"
                )
            given.sort(key=lambda sample: sample[0])
            arms.setdefault(temp, {})[condition] = {
                "outcome": outcome,
                "scores": scored.get((task, key, temp, condition)),
                "samples": given,
            }
            if (found := passages.of_item(tasks[task], item, condition)) is not None:
                arms[temp][condition]["passages"] = found
        texts = tasks[task].shown(item)
        context = texts["context"]
        if context is not None:
            context = contexts.setdefault(context, len(contexts))
        found_items.append(
            {
                "key": item.key,
                "task": task,
                "dataset": item.dataset,
                "question": texts["question"],
                "answers": texts["answers"],
                "context": context,
                "subgroups": list(item.subgroups()),
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
    return {
        "metrics": list(metrics),
        "contexts": list(contexts),
        "passages": passages.texts,
        "items": found_items,
    }


def _sample(answer: Answer, tasks: Mapping[str, Task], items: Mapping[str, Item]) -> list[Any]:
    if answer.failed:
        return [answer.sample_index, f"{answer.error_type}: {answer.error_message}"]
    response, finish_reason = answer.response_text, answer.finish_reason or ""
    task = tasks.get(answer.type)
    item = items.get(answer.item_key) if task and task.compared_by else None
    whole = task is not None and task.scored_whole
    scored = (without_reasoning if whole else final_answer)(response)
    enforced = answer.schema_enforced is not None
    fields = (
        task.compared(item, response, finish_reason, enforced=enforced) if task and item else []
    )
    further = [
        None if scored == response else scored,
        [list(each) for each in fields] or None,
        (cited(scored, task) if task else None) or None,
    ]
    while further and further[-1] is None:
        further.pop()
    return [
        answer.sample_index,
        response,
        answer.finish_reason,
        answer.prompt_tokens,
        answer.completion_tokens,
        answer.latency_s,
        *further,
    ]


def request_data(
    data: Mapping[str, Any],
    parts: TrialParts,
    answers: Iterable[Answer],
    arms: Mapping[str, Arm] = MappingProxyType({}),
) -> dict[str, Any]:
    """What was sent for the items of ``data``, and what of the answers ``data`` does not have.

    Most of a request is the same for many items, so it is kept once: a message is a list of
    texts in which 0 stands for the item's passage, 1 for its question, and the numbers from 2 for
    the passages that were found, in the order of ``data``.

    Args:
        data: as `explorer_data` gives it.
        parts: where the trial's requests lie.
        answers: all requests of the trial.
        arms: who was asked, by condition; where it is known, what was not sent says so.

    Returns:
        ``chats``: each distinct list of messages, a message as ``[role, pieces]``.
        ``decodings``: each distinct set of decoding parameters, without the seed.
        ``prompts``: the name of each condition's system prompt, as the answers have it.
        ``items``: in the order of ``data``, ``[temp][condition]`` to a list as long as the
        samples: ``[chat, decoding, seed, rest]``, where ``rest`` has what ``data`` has not
        (``request_id, usage, latency_s`` or ``error``). Of an answer that comes from a file,
        nobody knows the first three: they are ``None``.
    """
    shown = {(item["task"], item["key"]): item for item in data["items"]}
    chats: dict[str, int] = {}
    decodings: dict[str, int] = {}
    sent: dict[str, list[int | None]] = {}
    for condition, arm in parts.arms.items():
        if arm.answers is not None:
            asked = arm.requests(RequestMeta)
            sent |= {
                meta.named(condition): [None, None, None]
                for meta in asked
                if (meta.type, meta.item_key) in shown
            }
            continue
        for request in arm.requests(Request):
            item = shown.get((request.type, request.item_key))
            if item is None:  # not on the page
                continue
            own = _texts(item, data, request.temp, condition)
            chat = _json([_template(each, own) for each in request.messages])
            decoding = _json(_as_sent(request.decoding, arms.get(condition)))
            sent[request.named(condition)] = [
                chats.setdefault(chat, len(chats)),
                decodings.setdefault(decoding, len(decodings)),
                request.decoding.seed,
            ]
    given: dict[tuple[str, str, str, str], list[tuple[int, list[Any]]]] = defaultdict(list)
    prompts: dict[str, str] = {}
    for answer in answers:
        prompts[answer.condition] = answer.prompt
        if (answer.type, answer.item_key) in shown:
            given[answer.type, answer.item_key, answer.temp, answer.condition].append(
                (answer.sample_index, [*sent[answer.custom_id], _rest(answer)])
            )
    return {
        "chats": [json.loads(chat) for chat in chats],
        "decodings": [json.loads(decoding) for decoding in decodings],
        "prompts": prompts,
        "items": [
            {
                temp: {
                    condition: [
                        request
                        for _, request in sorted(
                            given[item["task"], item["key"], temp, condition],
                            key=lambda numbered: numbered[0],
                        )
                    ]
                    for condition in arms
                }
                for temp, arms in item["arms"].items()
            }
            for item in data["items"]
        ],
    }


def _as_sent(decoding: Decoding, arm: Arm | None) -> dict[str, Any]:
    """Decoding parameters without the seed; those that the arm's model does not take say so."""
    found: dict[str, Any] = decoding.model_dump(mode="json", exclude={"seed"}, exclude_none=True)
    if arm is not None and arm.engine:
        sent = sent_values(arm.engine, arm.model_id, decoding, arm.shape)
        unsent_names = dropped(arm.engine, arm.model_id, decoding, arm.shape).keys()
        for name in unsent_names & found.keys():
            unsent = OWN_TEMPERATURE if name == "temperature" else "not sent"
            found[name] = sent.get(name, unsent)
    return found


def _rest(answer: Answer) -> dict[str, Any]:
    if answer.failed:
        return {"error": {"type": answer.error_type, "message": answer.error_message}}
    usage = answer.usage.model_dump(exclude_none=True)
    rest: dict[str, Any] = {"request_id": answer.request_id, "usage": usage}
    return rest if answer.latency_s is None else {**rest, "latency_s": answer.latency_s}


def _texts(
    item: Mapping[str, Any], data: Mapping[str, Any], temp: str, condition: str
) -> dict[int, str]:
    """The item's own texts that a request may hold, by the numbers that stand for them."""
    context = None if item["context"] is None else data["contexts"][item["context"]]
    found = item["arms"][temp][condition].get("passages", {}).get("found", ())
    texts = {0: context, 1: item["question"]}
    texts |= {2 + index: data["passages"][index][-1] for index, number, _ in found if number}
    return {number: text for number, text in texts.items() if text}


def _template(message: Message, texts: Mapping[int, str]) -> tuple[str, list[str | int]]:
    """A message's role, and its content with numbers in place of the item's own texts."""
    pieces: list[str | int] = [message.content]
    for number, text in texts.items():
        for place, piece in enumerate(pieces):
            if isinstance(piece, str) and text in piece:
                before, _, after = piece.partition(text)
                pieces[place : place + 1] = [before, number, after]
                break
    return message.role, [piece for piece in pieces if piece != ""]


def declarations(
    data: Mapping[str, Any], tasks: Mapping[str, Task], metrics: Mapping[str, Metric]
) -> dict[str, Any]:
    """What the explorer has to know of the tasks and of the metrics of `explorer_data`.

    Returns:
        ``tasks``: the texts of each task by name. ``metrics``: in the order of the scores.
    """
    return {
        "tasks": {
            name: {
                "label": task.label,
                "answers": task.answers_label,
                "noAnswers": task.no_answers,
                "context": task.context_label,
            }
            for name, task in tasks.items()
        },
        "metrics": [
            {
                "name": name,
                "label": metrics[name].label,
                "better": metrics[name].better,
                "binary": metrics[name].binary,
                "unit": metrics[name].unit if metrics[name].kind == "amount" else None,
            }
            for name in data["metrics"]
        ],
    }


def pack(value: Any) -> str:
    """A JSON value compressed (zlib) and in base64, as the page's script unpacks it.

    zlib, unlike gzip, writes no time stamp or operating system: the same value gives the same
    text everywhere.
    """
    return base64.b64encode(zlib.compress(_json(value).encode(), 9)).decode()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
