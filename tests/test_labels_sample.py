"""Drawing a sample, and turning the page's exports into labels."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_files import UNTRUSTED, run_main, write_trial

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_csv, write_csv
from workflow_scripts.core.records import Answer, Prediction, custom_id
from workflow_scripts.labels import collect, sample
from workflow_scripts.labels.collect import ExportRow
from workflow_scripts.labels.drawing import draw
from workflow_scripts.labels.keys import KeyRow, read_key, sample_digest
from workflow_scripts.labels.matching import match
from workflow_scripts.labels.records import read_labels, response_digest
from workflow_scripts.tasks.items import read_items
from workflow_scripts.tasks.registry import TASKS
from workflow_scripts.tasks.score_tables import read_outcomes


@given(
    n_differing=st.integers(0, 60),
    n_others=st.integers(0, 60),
    size=st.integers(1, 100),
    share=st.floats(0, 1),
)
def test_a_draw_has_its_size_and_leaves_no_stratum_out(
    n_differing: int, n_others: int, size: int, share: float
) -> None:
    strata = [True] * n_differing + [False] * n_others
    drawn = draw(strata, size, share, 1)
    numbers = [each.unit for each in drawn]
    assert len(numbers) == len(set(numbers)) == min(size, len(strata))
    for kind, total in ((True, n_differing), (False, n_others)):
        chances = {each.probability for each in drawn if strata[each.unit] is kind}
        count = sum(strata[each.unit] is kind for each in drawn)
        assert chances == ({count / total} if count else set())
        if total and size >= 4:
            assert count >= min(2, total)


def test_the_probabilities_are_the_frequencies() -> None:
    strata = [number % 5 == 0 for number in range(40)]
    times = 600
    counts = np.zeros(40)
    for seed in range(times):
        for each in draw(strata, 12, 0.5, seed):
            counts[each.unit] += 1
    expected = np.where(strata, 6 / 8, 6 / 32)
    assert (abs(counts / times - expected) < 5 * np.sqrt(expected * (1 - expected) / times)).all()


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trial")
    write_trial(folder, injected=UNTRUSTED)
    return folder


def drawn(trial: Path, folder: Path, *more: str, size: int = 20) -> tuple[list[KeyRow], str]:
    arguments = [
        *("--answers", str(trial / "answers.csv"), "--outcomes", str(trial / "outcomes.csv")),
        *("--trial", str(trial / "trial.json")),
        *("--items", *(str(trial / f"{task}.jsonl") for task in TASKS)),
        *("--key", str(folder / "pilot.key.csv"), "--page", str(folder / "pilot.html")),
        *("--size", str(size), *more),
    ]
    run_main(sample, arguments)
    page = (folder / "pilot.html").read_text(encoding="utf-8")
    return list(read_key(folder / "pilot.key.csv")), page


def data_of(page: str) -> dict[str, object]:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    found: dict[str, object] = json.loads(text)
    return found


def test_both_arms_of_each_item_are_drawn(trial: Path, tmp_path: Path) -> None:
    rows, page = drawn(trial, tmp_path)
    assert len(rows) == 40
    answers = {
        (row.type, row.item_key, row.prompt): row for row in read_csv(trial / "answers.csv", Answer)
    }
    arms = {row.prompt for row in answers.values()}
    by_item: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        by_item.setdefault((row.type, f"{row.dataset}|{row.item_id}"), set()).add(row.arm)
        answer = answers[row.type, f"{row.dataset}|{row.item_id}", row.arm]
        assert row.response_sha256 == response_digest(answer.response_text)
    assert len(by_item) == 20
    assert all(found == arms for found in by_item.values())
    responses = {each["id"]: each["response"] for each in data_of(page)["responses"]}
    assert {row.id for row in rows} == set(responses)
    for row in rows:
        assert response_digest(responses[row.id]) == row.response_sha256
    # Equal responses of an item are read once.
    assert len(responses) < len(rows)


def test_without_the_trial_s_settings_arms_are_called_by_their_conditions(
    trial: Path, tmp_path: Path
) -> None:
    """Arms with another model share the request files of a prompt, so these names do not do."""
    answers = list(read_csv(trial / "answers.csv", Answer))
    conditions = ["control", "treatment"]
    units = sample.one_sample_each(sample.units_of(answers, conditions, 0.0), 0)
    strata = [False] * len(units)
    items = read_items(trial / f"{task}.jsonl" for task in TASKS)
    rows, _ = sample.key_and_page(units, strata, items, {}, size=5, share=0.5, seed=0)
    assert sorted(row.arm for row in rows) == ["control"] * 5 + ["treatment"] * 5


def test_of_several_samples_a_random_one_is_labelled_under_both_arms() -> None:
    shared = {"dataset": "d", "temp": "0.7", "type": "open_book", "prompt": "p"}
    answers = [
        Answer(
            custom_id=custom_id("d", str(item), condition, "0.7", index, "open_book"),
            item_id=str(item), condition=condition, sample_index=index, finish_reason="stop",
            **shared,
        )
        for item in range(40) for condition in ("control", "treatment") for index in range(3)
    ]  # fmt: skip
    units = sample.one_sample_each(sample.units_of(answers, ["control", "treatment"], None), 0)
    assert len(units) == 40
    chosen = [{each.sample_index for each in unit.responses} for unit in units]
    assert all(len(each) == 1 for each in chosen)
    assert len(set.union(*chosen)) == 3


def test_the_page_does_not_know_the_arms(trial: Path, tmp_path: Path) -> None:
    rows, page = drawn(trial, tmp_path)
    data = data_of(page)
    assert set(data) == {"name", "sample", "responses"}
    for shown in data["responses"]:
        assert not {"arm", "condition", "prompt"} & set(shown)
    texts = {
        value
        for shown in data["responses"]
        for name, value in shown.items()
        if isinstance(value, str) and name not in ("question", "response", "context")
    }
    assert not {row.arm for row in rows} & texts
    first = [next(row.arm for row in rows if row.id == each["id"]) for each in data["responses"]]
    assert len(set(first[::2])) > 1  # no arm is always shown first


def test_a_seed_gives_the_same_files(trial: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = drawn(trial, tmp_path / "a"), drawn(trial, tmp_path / "b")
    assert one == two
    assert drawn(trial, tmp_path, "--seed", "1")[0] != one[0]


def test_items_on_which_verdicts_differ_are_drawn_more_often(trial: Path, tmp_path: Path) -> None:
    rows, _ = drawn(trial, tmp_path, "--disagree", "em", "f1", size=20)
    apart = {
        (row.type, row.item_key)
        for row in read_outcomes(trial / "outcomes.csv")
        if row.number("em") != row.number("f1")
    }
    for row in rows:
        expected = (row.type, f"{row.dataset}|{row.item_id}") in apart
        assert row.stratum == ("differing" if expected else "other")
    chances = {row.stratum: row.probability for row in rows}
    # 158 items have both answers; half of the sample is from those that differ.
    assert chances == {"differing": 10 / len(apart), "other": 10 / (158 - len(apart))}


def test_the_widths_are_printed(
    trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn(trial, tmp_path)
    said = capsys.readouterr().out
    for task in TASKS.values():
        (table,) = re.findall(rf"^{task.label}: half-width of the 95%.*?^$", said, re.S | re.M)
        widths = [
            [float(each) for each in line.split()[1:]]
            for line in table.splitlines()
            if re.match(r"\s+\d+ ", line)
        ]
        assert len(widths) == 3
        assert all(none >= fair >= good for none, fair, good in widths)
        assert widths == sorted(widths, reverse=True)


def test_one_task_is_chosen_by_its_items(trial: Path, tmp_path: Path) -> None:
    only = str(trial / "open_book.jsonl")
    rows, _ = drawn(trial, tmp_path, "--items", only)
    assert {row.type for row in rows} == {"open_book"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--disagree", "em", "mood"), "--disagree mood: outcomes.csv has no such column"),
        (("--share", "2"), "--share from 0 to 1"),
        (("--conditions", "control", "other"), "no item has an answer under both"),
        (("--temp", "0.5"), "no item has an answer"),
    ],
)
def test_a_wrong_argument_is_named(
    trial: Path, tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SystemExit, match=message):
        drawn(trial, tmp_path, *more)


# From exports to labels


def exported(rows: list[KeyRow], **changes: str) -> list[ExportRow]:
    """A verdict on each id, as the page exports it."""
    verdicts = ("correct", "incorrect", "not_attempted", "unsure")
    return [
        ExportRow(
            **{
                "sample": sample_digest(rows),
                "id": opaque,
                "verdict": verdicts[number % 4],
                "annotator": "ann",
                "labelled_at": "2026-05-01T10:00:00.000Z",
                **changes,
            }
        )
        for number, opaque in enumerate(sorted({row.id for row in rows}))
    ]


def collected(folder: Path, *exports: Path) -> Path:
    arguments = ["--key", str(folder / "pilot.key.csv"), "--output", str(folder / "pilot.csv")]
    run_main(collect, [*arguments, "--exports", *map(str, exports)])
    return folder / "pilot.csv"


def test_exports_become_labels_of_the_trial_s_responses(trial: Path, tmp_path: Path) -> None:
    rows, _ = drawn(trial, tmp_path, "--disagree", "em", "f1")
    export = exported(rows)
    write_csv(tmp_path / "ann.csv", ExportRow, export)
    second = [row.model_dump() for row in exported(rows, annotator="ben", verdict="correct")]
    (tmp_path / "ben.json").write_text(json.dumps(second), encoding="utf-8")
    path = collected(tmp_path, tmp_path / "ann.csv", tmp_path / "ben.json")
    predictions = list(read_csv(trial / "predictions.csv", Prediction))
    arms = {row.condition: row.prompt for row in read_csv(trial / "answers.csv", Answer)}
    found = match(read_labels(path), predictions, arms)
    assert found.stale == found.unknown == ()
    assert len(found.matched) == len(rows)
    texts = {row.custom_id: row.response_text for row in predictions}
    verdicts = {row.id: row.verdict for row in export}
    ids = {(row.type, row.item_id, row.arm): row for row in rows}
    for named, each in found.matched.items():
        ann, ben = each.labels
        key = ids[ann.type, ann.item_id, ann.arm]
        assert (ann.verdict, ben.verdict) == (verdicts[key.id], "correct")
        assert ann.response_sha256 == response_digest(texts[named])
        assert each.probability == key.probability
        assert each.verdict == ("correct" if ann.verdict == "correct" else None)


def test_an_export_that_does_not_fit_is_refused(trial: Path, tmp_path: Path) -> None:
    rows, _ = drawn(trial, tmp_path)
    path = tmp_path / "ann.csv"
    for export, message in (
        (exported(rows, sample="0" * 16), r"ann\.csv, line 2: the verdict is on sample '0000"),
        (exported(rows, id="r9999")[:1], "line 2: the key file has no response 'r9999'"),
        (exported(rows)[:1] * 2, r"line 3: ann has labelled 'r0001' before \(.*line 2\)"),
        ([], "no verdicts"),
    ):
        write_csv(path, ExportRow, export)
        with pytest.raises(SystemExit, match=message):
            collected(tmp_path, path)
    path.write_text(path.read_text(encoding="utf-8") + "x,r0001,right,,\r\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="line 2: verdict"):
        collected(tmp_path, path)
    wrong = tmp_path / "ann.json"
    wrong.write_text("{}", encoding="utf-8")
    with pytest.raises(SystemExit, match="expected a list"):
        collected(tmp_path, wrong)


def test_an_edited_key_file_is_another_sample(trial: Path, tmp_path: Path) -> None:
    rows, _ = drawn(trial, tmp_path)
    write_csv(tmp_path / "ann.csv", ExportRow, exported(rows))
    arms = sorted({row.arm for row in rows})
    changed = [row.model_copy(update={"arm": arms[row.arm == arms[0]]}) for row in rows]
    write_csv(tmp_path / "pilot.key.csv", KeyRow, changed)
    with pytest.raises(SystemExit, match="give the key file that was made with the page"):
        collected(tmp_path, tmp_path / "ann.csv")


def test_a_key_file_without_rows_is_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "pilot.key.csv", KeyRow, [])
    with pytest.raises(UserError, match="no rows"):
        read_key(tmp_path / "pilot.key.csv")
