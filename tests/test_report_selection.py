"""A page of a trial with more responses than a page holds."""

from __future__ import annotations

import base64
import json
import re
import zlib
from pathlib import Path
from typing import Any

import pytest
from question_records import QUESTIONS, SampleOutcome
from report_files import make_report, write_trial

from workflow_scripts.core.files import read_csv
from workflow_scripts.core.records import Outcome
from workflow_scripts.report import outcomes, trial
from workflow_scripts.report.outcomes import MOST_BYTES, ItemOutcomes, Selection
from workflow_scripts.tasks.task import Difference

N = 20


def row(task: str, key: str, condition: str, outcome: Outcome, sample: int = 0) -> SampleOutcome:
    return SampleOutcome(
        custom_id="x", item_key=key, type=task, condition=condition, temp="0.0",
        sample_index=sample, outcome=outcome,
    )  # fmt: skip


def test_differing_items_come_first_and_each_task_in_turn() -> None:
    after: dict[tuple[str, str], Outcome] = {
        ("open_book", "d|3"): "wrong",
        ("closed_book", "d|2"): "wrong",
    }
    rows = [
        row(task, key, condition, after.get((task, key), "correct") if changes else "correct")
        for condition, changes in (("control", False), ("treatment", True))
        for task in QUESTIONS
        for key in ("d|0", "d|1", "d|2", "d|3")
    ]
    found = ItemOutcomes(rows, 9)  # four items of two responses, and no half one
    shown = {(task, f"d|{n}") for task in QUESTIONS for n in range(4)}
    shown = {each for each in shown if found.on_page(*each)}
    assert shown == {
        ("open_book", "d|3"), ("closed_book", "d|2"), ("open_book", "d|0"), ("closed_book", "d|0")
    }  # fmt: skip
    assert found.selection == Selection(4, 8, 8, 16, 2, 2)
    assert found.transitions("open_book", "0.0", "control", "treatment") == {
        ("correct", "correct"): 3, ("correct", "wrong"): 1
    }  # fmt: skip
    assert ItemOutcomes(rows, 16).selection is None
    assert ItemOutcomes(rows, 16, MOST_BYTES).selection is None
    assert ItemOutcomes(rows, 16, MOST_BYTES * 16 // 9).selection == found.selection  # long texts


def test_an_item_that_one_arm_lacks_differs_and_counts_as_failed() -> None:
    rows = [row("open_book", key, "control", "correct") for key in ("d|0", "d|1")]
    rows.append(row("open_book", "d|0", "treatment", "correct"))
    found = ItemOutcomes(rows, 1)
    assert [found.on_page("open_book", key) for key in ("d|0", "d|1")] == [False, True]
    counts = found.transitions("open_book", "0.0", "control", "treatment")
    assert counts == {("correct", "correct"): 1, ("correct", "failed"): 1}
    assert found.of("open_book", "d|1", "0.0", "treatment") is None


def unpacked(page: str, name: str) -> Any:
    block = re.search(f'id="{name}">([^<]*)<', page)
    assert block is not None
    return json.loads(zlib.decompress(base64.b64decode(block[1])))


def test_numbers_and_figures_cover_the_items_that_the_page_does_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = QUESTIONS["open_book"]

    def compared(_: Any, item: Any, response: str, *__: Any, **___: Any) -> list[Difference]:
        mark = "right" if len(response) % 2 else "wrong"
        return [Difference("/a", item.id, response, mark)]

    monkeypatch.setattr(type(task), "compared", compared)
    monkeypatch.setattr(type(task), "compared_by", "in this test")
    write_trial(tmp_path / "trial", n=N)
    whole = make_report(tmp_path / "trial").read_text(encoding="utf-8")
    monkeypatch.setattr(trial, "MOST_RESPONSES", 20)
    bounded = make_report(tmp_path / "trial").read_text(encoding="utf-8")

    rows = list(read_csv(tmp_path / "trial" / "outcomes.csv", SampleOutcome))
    expected = ItemOutcomes(rows, 20)
    all_items, items = (unpacked(page, "items-data")["items"] for page in (whole, bounded))
    assert len(all_items) == 2 * N
    kept = [each for each in all_items if expected.on_page(each["task"], each["key"])]
    assert [(each["task"], each["key"]) for each in items] == [
        (each["task"], each["key"]) for each in kept
    ]
    assert [each["arms"] for each in items] == [each["arms"] for each in kept]
    assert len(unpacked(bounded, "requests-data")["items"]) == len(items) == 10
    note = f"This page holds 10 of {2 * N} items, with 20 of {4 * N} responses"
    assert note in bounded and "This page holds" not in whole
    assert ">/a<" in whole

    def rest(page: str) -> str:
        page = re.sub(r'<script type="text/plain".*?</script>', "", page)
        page = re.sub(r'<p class="note">This page holds.*?</p>\n', "", page)
        return page.replace("<p>Items with both", "<p>Every item with both")

    assert rest(bounded) == rest(whole)

    monkeypatch.setattr(trial, "MOST_RESPONSES", 4 * N)
    monkeypatch.setattr(outcomes, "MOST_BYTES", 1_000)
    short = make_report(tmp_path / "trial").read_text(encoding="utf-8")
    assert len(unpacked(short, "items-data")["items"]) < 2 * N
    assert rest(short) == rest(whole)
