"""A user's own metric: what it may be, and what is said of each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from question_records import Item, scored

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.records import Prediction, custom_id
from workflow_scripts.metrics.settings import OwnMetric, Unsupported
from workflow_scripts.tasks.settings import ScoreSettings

ITEM = Item(id="1", dataset="d", question="Where?", answers=["Lyon"], cluster_id="1")


def scores(file: Path, response: str = "in Lyon", kind: str = "share"):
    """The row of per_item_scores.csv and that of outcomes.csv for two samples of one item."""
    metric = OwnMetric(file=str(file), better="higher", kind=kind)
    settings = ScoreSettings(
        unsupported=Unsupported(), abstention_phrases=[], own_metrics={"tone": metric}
    )
    predictions = [
        Prediction(
            custom_id=custom_id("d", "1", "control", "0.7", sample, "closed_book"),
            dataset="d",
            item_id="1",
            condition="control",
            temp="0.7",
            sample_index=sample,
            type="closed_book",
            request_id="r",
            finish_reason="stop",
            response_text=text,
        )
        for sample, text in enumerate([response, "Lyon"])
    ]
    return scored(predictions, {ITEM.key: ITEM}, settings)


def written(folder: Path, text: str) -> Path:
    path = folder / "tone.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_it_scores_each_sample_and_is_averaged(tmp_path):
    file = written(
        tmp_path, "def score(item, response):\n    return float(item.answers[0] == response)\n"
    )
    (row,), outcomes = scores(file)
    assert (row.tone, row.tone_std) == (0.5, pytest.approx(0.5**0.5))
    assert [each.tone for each in outcomes] == [0, 1]
    assert row.em == 0.5


def test_an_amount_may_be_any_number_from_0_on(tmp_path):
    file = written(tmp_path, "def score(item, response):\n    return len(response)\n")
    (row,), _ = scores(file, kind="amount")
    assert row.tone == 5.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"tone\.py: metric 'tone' needs a function 'def score\(item, response\)'"),
        ("score = 1\n", r"needs a function"),
        ("import nothing_like_it\n", r"tone\.py, line 1: ModuleNotFoundError: .*nothing_like_it"),
        ("x = 1\ndef score(item\n", r"tone\.py, line 2: SyntaxError"),
        (
            "def score(item, response):\n    text = response\n    return text.size\n",
            r"tone\.py, line 3: metric 'tone', item 'd\|1': AttributeError: .*size",
        ),
        (
            "def half(x):\n    return 1 / x\n\ndef score(item, response):\n    return half(0)\n",
            r"tone\.py, line 2: metric 'tone', item 'd\|1': ZeroDivisionError",
        ),
        (
            "def score(item, response):\n    return 7\n",
            r"tone\.py: metric 'tone', item 'd\|1': score\(\) gave 7, and a share lies between 0",
        ),
        ("def score(item, response):\n    return None\n", r"score\(\) gave None"),
        ("def score(item, response):\n    return 'high'\n", r"score\(\) gave 'high'"),
        ("def score(item, response):\n    return float('nan')\n", r"score\(\) gave nan"),
        ("def score(item, response):\n    return -0.1\n", r"score\(\) gave -0\.1"),
    ],
)
def test_each_mistake_is_one_message(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        scores(written(tmp_path, text))


def test_an_amount_is_no_negative_or_infinite_number(tmp_path):
    for value in ("-1", "float('inf')"):
        file = written(tmp_path, f"def score(item, response):\n    return {value}\n")
        with pytest.raises(UserError, match="an amount is a number of 0 or more"):
            scores(file, kind="amount")
