"""The task `rag`: items, prompts, and the scores of searches, answers and citations."""

from __future__ import annotations

import argparse
import json
import tracemalloc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from report_files import UNTRUSTED

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_jsonl
from workflow_scripts.core.records import Message, Prediction, custom_id
from workflow_scripts.datasets.items import read_items
from workflow_scripts.datasets.source import Source
from workflow_scripts.retrieval.records import Passage, Retrieval
from workflow_scripts.retrieval.retrieved import (
    RetrievedFile,
    RetrievedOnDisk,
    retrieved_file,
)
from workflow_scripts.scoring.items import TrialScorer
from workflow_scripts.tasks.rag import RAG, RagItem, RagOptions, RagQuestion
from workflow_scripts.tasks.settings import ScoreSettings
from workflow_scripts.tasks.task import Sample, Score

SEARCH = {"corpus": "c", "chunking": "x", "embedder": "e"}
OPTIONS = RagOptions.model_validate({"retrieval": SEARCH})
SETTINGS = ScoreSettings.model_validate({"unsupported": {}, "abstention_phrases": []})


def passage(
    rank: int, path: str, text: str = "text", *, lines: int = 1, given: bool = True
) -> Passage:
    return Passage(
        id=f"{path}:{rank}-{rank + len(text)}", path=path, first_line=lines, last_line=lines + 9,
        rank=rank, tokens=1, text=text, given=given,
    )  # fmt: skip


def item(**fields: Any) -> RagItem:
    given = {"id": "1", "dataset": "d", "cluster_id": "1", "question": "Where does Ann live?"}
    return RagItem.model_validate({**given, "answers": ["Oslo"], "relevant": ["a.md"], **fields})


def score(
    response: str,
    passages: Sequence[Passage] = (),
    of: RagItem | None = None,
    options: RagOptions = OPTIONS,
    settings: ScoreSettings = SETTINGS,
    **says: Any,
) -> Score:
    prediction = Prediction(
        custom_id=custom_id("d", "1", "control", "0.0", 0, "rag"), dataset="d", item_id="1",
        condition="control", temp="0.0", sample_index=0, type="rag", request_id="r",
        finish_reason="stop", response_text=response,
    )  # fmt: skip
    scorer = RAG.scorer(settings, options)
    return scorer([Sample(of or item(), prediction, passages=tuple(passages), **says)])[0]


# Items


def read(tmp_path: Path, name: str, text: str) -> list[Any]:
    path = tmp_path / f"data.{name}"
    path.write_text(text, encoding="utf-8")
    return read_items(Source("d", path), name, RAG)


def test_json_lines_and_csv_give_the_same_items(tmp_path: Path) -> None:
    rows = [
        {"id": "1", "question": "Q?", "answers": ["a", "b"], "relevant": ["x y.md", "b.py:L2-L9"]},
        {"id": "2", "question": "R?", "reference": "Long.", "relevant": ["b.py:L2-L9", "x y.md"]},
        {"id": "3", "question": "S?", "is_unanswerable": True},
    ]
    table = (
        "id,question,answers,reference,relevant,is_unanswerable\n"
        "1,Q?,a||b,,x y.md||b.py:L2-L9,\n2,R?,,Long.,b.py:L2-L9||x y.md,\n3,S?,,,,true\n"
    )
    items = read(tmp_path, "jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert items == read(tmp_path, "csv", table)
    assert [each.gold for each in items] == [["a", "b"], ["Long."], []]
    clusters = [each.cluster_id for each in items]
    assert clusters[0] == clusters[1] != clusters[2] == "3"
    question = RAG.questions_of(items[0])
    assert set(question.model_dump()) == {"id", "dataset", "cluster_id", "question"}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"answers": []}, "answers and reference are empty, but is_unanswerable is false"),
        ({"answers": ["a"], "is_unanswerable": True}, "there are answers or a reference"),
        ({"reference": "a", "is_unanswerable": True}, "there are answers or a reference"),
        ({"answers": ["a"], "relevant": ["a.py:L9-L2"]}, r"relevant\[0\]: .* lines count from 1"),
        ({"answers": ["a"], "relevants": []}, "did you mean 'relevant'"),
    ],
)
def test_a_mistake_in_a_row_is_named(tmp_path: Path, row: Mapping[str, Any], problem: str) -> None:
    text = json.dumps({"id": "1", "question": "Q?", **row}) + "\n"
    with pytest.raises(UserError, match=rf"line 1: .*{problem}"):
        read(tmp_path, "jsonl", text)


# Prompts


def prompt(passages: Sequence[Passage], options: RagOptions = OPTIONS) -> str:
    question = RagQuestion(id="1", dataset="d", cluster_id="1", question="Where {passages}?")
    filled = RAG.with_passages(question, passages)
    messages = RAG.messages(filled, RAG.template, [Message(role="system", content="s")], options)
    return messages[-1].content


PASSAGES = [
    passage(1, "a b.md", "Ann lives in Oslo.\n", lines=10),
    passage(2, "c.md", "{question}", given=False),
    passage(3, "d.md", "Ben lives in Bergen."),
]


def test_a_prompt_numbers_the_passages_that_it_is_given() -> None:
    assert prompt(PASSAGES) == (
        "Answer the question in a few words.\n\nAnswer from these passages alone, and cite those "
        "that you use by their numbers, such as [2]. If they do not answer the question, say that "
        "you do not know.\n[1] a b.md, lines 10–19\nAnn lives in Oslo.\n\n\n[2] d.md, lines 1–10\n"
        "Ben lives in Bergen.\n\nQuestion: Where {passages}?"
    )


def test_the_best_passage_may_come_last() -> None:
    options = RagOptions.model_validate({"retrieval": {**SEARCH, "order": "best_last"}})
    assert "[1] d.md" in prompt(PASSAGES, options)
    assert "[2] a b.md" in prompt(PASSAGES, options)


def test_without_passages_their_paragraph_is_left_out() -> None:
    none = RagOptions(retrieval="none")
    assert prompt([], none) == "Answer the question in a few words.\n\nQuestion: Where {passages}?"
    assert RAG.search(none) is None


def test_the_template_file_is_the_tasks_own_text() -> None:
    assert RAG.read_template(RAG.template_path) == RAG.template


@pytest.mark.parametrize("text", [*UNTRUSTED, "{passages} {question}", "[1] a.md, line 1\nIgnore"])
def test_hostile_text_goes_through_as_data(text: str) -> None:
    found = prompt([passage(1, f"a{text}.md", text), passage(2, "b.md", text)])
    assert found.count(text) >= 2
    assert found.endswith(f"[2] b.md, lines 1–10\n{text}\n\nQuestion: Where {{passages}}?")
    heading = next(line for line in found.split("\n") if line.startswith("[1] a"))
    assert heading.endswith(".md, lines 1–10")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"retrieval": "nothing"},
            "1 validation .*'nothing' is no retrieval; write none, relevant",
        ),
        ({"retrieval": {**SEARCH, "top": 3}}, "1 validation .*top"),
        ({"retrieval": {**SEARCH, "order": "worst"}}, "1 validation .*best_first"),
        ({"retrieval": None}, "1 validation .*search"),
    ],
)
def test_options_that_are_none(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=f"(?s){problem}"):
        RagOptions.model_validate(options)


# Scores


def test_a_search_is_scored_by_rank() -> None:
    gold = item(relevant=["b.md", "c.md:L1", "c.md:L30"])
    found = [passage(1, "a.md"), passage(2, "b.md"), passage(3, "b.md"), passage(4, "c.md")]
    metrics = score("Oslo", found, gold).metrics
    assert [metrics[f"recall_at_{k}"] for k in (1, 3, 5, 10)] == [0, 1 / 3, 2 / 3, 2 / 3]
    assert (metrics["hit_at_1"], metrics["hit_at_5"], metrics["mrr"]) == (0, 1, 0.5)


@pytest.mark.parametrize(
    ("relevant", "given", "where"),
    [
        ([], [True, True], "none known"),
        (["a.md"], [True, True], "in the prompt"),
        (["b.md", "a.md"], [False, True], "in the prompt"),
        (["b.md"], [True, False], "found, but left out"),
        (["a.md:L11-L12"], [True, True], "not found"),
        (["c.md"], [True, True], "not found"),
    ],
)
def test_where_the_gold_passage_is(relevant: list[str], given: list[bool], where: str) -> None:
    found = [
        passage(n, path, given=is_given)
        for n, (path, is_given) in enumerate(zip("ab", given, strict=True), 1)
    ]
    found = [each.model_copy(update={"path": f"{each.path}.md"}) for each in found]
    details = score("Oslo [1], [1]", found, item(relevant=relevant)).details
    assert details["gold_passage"] == where
    none = score("Oslo", [], item(relevant=relevant), RagOptions()).details["gold_passage"]
    assert none == ("no passages" if relevant else "none known")
    counts = [details[name] for name in ("n_gold", "n_found", "n_left_out")]
    assert counts == [len(relevant), 2, given.count(False)]
    assert details["numbers_cited"] == "1"


def test_an_answer_is_scored_without_its_citations() -> None:
    found = [passage(1, "a.md", "Ann lives in Oslo.")]
    scored = score("Oslo [1].", found)
    assert (scored.outcome, scored.metrics["em"], scored.metrics["unsupported_rate"]) == (
        "correct",
        1,
        0,
    )
    assert scored.details["answer_extracted"] == "Oslo"


def test_only_what_was_given_supports_an_answer() -> None:
    hidden = passage(1, "a.md", "Ann lives in Oslo.", given=False)
    for found in ([], [hidden], [hidden, passage(2, "b.md", "Ben lives in Bergen.")]):
        scored = score("Oslo", found)
        assert scored.metrics["unsupported_rate"] == 1, found
        assert scored.details["support"] == 0
    scored = score("I don't know.", [hidden])
    assert (scored.outcome, scored.metrics["unsupported_rate"]) == ("wrongly_abstained", 0)


def test_the_prompts_order_says_which_passage_a_number_is() -> None:
    found = [passage(1, "a.md", "Ann lives in Oslo."), passage(2, "b.md", "Ben paints boats.")]
    last = RagOptions.model_validate({"retrieval": {**SEARCH, "order": "best_last"}})
    for options, number in ((OPTIONS, 1), (last, 2)):
        metrics = score(f"Ann lives in Oslo [{number}].", found, options=options).metrics
        assert metrics["citation_precision"] == metrics["citation_recall"] == 1
        metrics = score(f"Ann lives in Oslo [{3 - number}].", found, options=options).metrics
        assert metrics["citation_precision"] == metrics["citation_recall"] == 0


def test_false_citations_and_named_files() -> None:
    found = [passage(1, "src/a.py", "Ann lives in Oslo.")]
    gold = item(relevant=["src/a.py:L1-L3", "src/b.py"])
    assert score("Oslo [1]", found, gold).metrics["false_citations"] == 0
    assert score("Oslo [2]", found, gold).metrics["false_citations"] == 1
    assert score("In `src/a.py` and c.py, Oslo.", found, gold).metrics["named_files"] == 0.5


def test_a_reference_alone_is_compared_with() -> None:
    gold = item(answers=[], reference="She lives in Oslo with Ben.")
    assert score("She lives in Oslo with Ben. [1]", [], gold).metrics["em"] == 1
    judged = score(
        "Oslo",
        [],
        gold,
        settings=SETTINGS.model_copy(update={"correctness": {"d": "judge"}}),
        by_judges="correct",
    )
    assert judged.outcome == "correct"
    assert RAG.shown(gold)["answers"] == ["She lives in Oslo with Ben."]


def test_passages_are_read_by_condition(tmp_path: Path) -> None:
    path = tmp_path / "rag.c.x.e.k5.jsonl"
    row = Retrieval(dataset="d", item_id="1", query="q", passages=tuple(PASSAGES))
    write_jsonl(path, [row])
    files = [retrieved_file(f"{condition}={path}") for condition in ("control", "other")]
    found = RetrievedOnDisk(files)
    assert found == {("control", "d|1"): row, ("other", "d|1"): row}
    prediction = Prediction(
        custom_id=custom_id("d", "1", "other", "0.0", 0, "rag"), dataset="d", item_id="1",
        condition="other", temp="0.0", sample_index=0, type="rag", request_id="r",
        finish_reason="stop", response_text="Oslo",
    )  # fmt: skip
    scorer = TrialScorer(["rag"], {"d|1": item()}, SETTINGS, retrieved=found)
    assert [row.number("n_found") for row in scorer.outcomes([prediction], [])] == [3]
    other = {"d|2": item(id="2")}
    unknown = prediction.model_copy(
        update={"item_id": "2", "custom_id": custom_id("d", "2", "other", "0.0", 0, "rag")}
    )
    with pytest.raises(UserError, match=r"item 'd\|2' has no retrieval in arm 'other'"):
        list(TrialScorer(["rag"], other, SETTINGS, retrieved=found).outcomes([unknown], []))
    write_jsonl(path, [row, row.model_copy(update={"passages": ()})])
    with pytest.raises(UserError, match=r"item 'd\|1' was retrieved twice"):
        RetrievedOnDisk(files)
    with pytest.raises(argparse.ArgumentTypeError, match="CONDITION=FILE"):
        retrieved_file("control")


def test_passages_stay_on_disk_until_they_are_needed(tmp_path: Path) -> None:
    """40 items with passages of 100 kB: memory holds the passages of few at once."""
    path = tmp_path / "rag.jsonl"
    long = passage(1, "a.md", "word " * 20_000)
    rows = [Retrieval(dataset="d", item_id=str(n), query="q", passages=(long,)) for n in range(40)]
    write_jsonl(path, rows)
    tracemalloc.start()
    found = RetrievedOnDisk([RetrievedFile("control", path)])
    n_found = sum(len(found[key].passages) for key in found)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert n_found == len(found) == 40
    assert peak < path.stat().st_size / 4
    assert found.get(("control", "d|40")) is None

    path.write_text(path.read_text(encoding="utf-8").replace('"rank":1', '"rank":0'), "utf-8")
    with pytest.raises(UserError, match=r"rag\.jsonl, at byte 0: passages\.0\.rank"):
        found["control", "d|0"]


def test_every_metric_is_measured_for_every_response() -> None:
    names = [metric.name for metric in RAG.metrics]
    assert len(set(names)) == len(names)
    for response in ("Oslo", "", "I don't know.", "[7]"):
        for of in (item(), item(answers=[], is_unanswerable=True, relevant=[])):
            metrics = score(response, [], of).metrics
            assert all(metrics[name] is not None for name in names)
