"""Drawing a sample, and turning the page's exports into labels."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from question_records import METRICS, QUESTIONS, Item
from report_files import UNTRUSTED, run_main, write_trial

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_csv, write_csv, write_json
from workflow_scripts.core.metric import Metric
from workflow_scripts.core.records import Answer, Prediction, custom_id
from workflow_scripts.labels import collect, sample
from workflow_scripts.labels.collect import ExportRow
from workflow_scripts.labels.drawing import draw
from workflow_scripts.labels.keys import KeyRow, read_key, sample_digest
from workflow_scripts.labels.matching import match
from workflow_scripts.labels.records import read_labels, response_digest
from workflow_scripts.labels.settings import LabelledTrial, Labelling, LabelSettings
from workflow_scripts.labels.units import one_sample_each, units_of
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


@given(
    strata=st.lists(st.booleans(), min_size=1, max_size=60),
    share=st.floats(0, 1),
    seed=st.integers(0, 9),
)
def test_a_larger_draw_begins_with_the_smaller_one(
    strata: list[bool], share: float, seed: int
) -> None:
    order = [each.unit for each in draw(strata, len(strata), share, seed)]
    assert sorted(order) == list(range(len(strata)))
    for size in range(len(strata)):
        assert [each.unit for each in draw(strata, size, share, seed)] == order[:size]


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


def settings_of(
    trial: Path, folder: Path, labelling: dict[str, Any], judges: tuple[str, ...] = ()
) -> LabelSettings:
    arms = {row.condition: row.prompt for row in read_csv(trial / "answers.csv", Answer)}
    return LabelSettings(
        experiment="demo",
        trials=[
            LabelledTrial(
                name="local/model/default/careful",
                arms=arms,
                temp="0.0",
                **{
                    name: (trial / f"{name}.{kind}").as_posix()
                    for name, kind in (("answers", "csv"), ("outcomes", "csv"), ("metrics", "json"))
                },
                page=(folder / "labels/page.html").as_posix(),
                key=(folder / "labels/key.csv").as_posix(),
            )
        ],
        item_files=[(trial / f"{task}.jsonl").as_posix() for task in QUESTIONS],
        labelling=Labelling(**{"items": 20, "disagree": [], **labelling}),
        judges=list(judges),
        confidence=0.95,
        output="labels/demo.csv",
    )


def drawn(trial: Path, folder: Path, **labelling: Any) -> tuple[list[KeyRow], str]:
    settings = settings_of(trial, folder, labelling)
    path = folder / "label.json"
    folder.mkdir(exist_ok=True)
    write_json(path, settings.model_dump(mode="json"))
    run_main(sample, ["--settings", str(path)])
    page = (folder / "labels/page.html").read_text(encoding="utf-8")
    return list(read_key(folder / "labels/key.csv")), page


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
    items = {
        f"d|{item}": Item(
            id=str(item), dataset="d", question="Who?", answers=["Ada"], context="Ada.",
            cluster_id="1",
        )
        for item in range(40)
    }  # fmt: skip
    units = one_sample_each(units_of(answers, items, ["control", "treatment"], "0.7"), 0)
    assert len(units) == 40
    chosen = [{each.sample_index for each in unit.responses} for unit in units]
    assert all(len(each) == 1 for each in chosen)
    assert len(set.union(*chosen)) == 3


def test_of_several_treatments_all_are_labelled(tmp_path: Path) -> None:
    folder = tmp_path / "trial"
    folder.mkdir()
    write_trial(folder, n=20, treatments=("brief", "polite"))
    rows, _ = drawn(folder, tmp_path, items=10)
    by_item = Counter((row.type, key_of(row)) for row in rows)
    assert len(by_item) == 10 and set(by_item.values()) == {3}
    arms = {row.prompt for row in read_csv(folder / "answers.csv", Answer)}
    assert {row.arm for row in rows} == arms and len(arms) == 3


def test_the_page_does_not_know_the_arms(trial: Path, tmp_path: Path) -> None:
    rows, page = drawn(trial, tmp_path)
    data = data_of(page)
    assert set(data) == {"name", "sample", "earlier", "responses", "passages"}
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
    one, two = drawn(trial, tmp_path / "a"), drawn(trial, tmp_path / "b")
    assert one == two
    assert drawn(trial, tmp_path, seed=1)[0] != one[0]


def test_items_on_which_verdicts_differ_are_drawn_more_often(trial: Path, tmp_path: Path) -> None:
    rows, _ = drawn(trial, tmp_path, disagree=["em", "f1"])
    apart = {
        (row.type, row.item_key)
        for row in read_outcomes(trial / "outcomes.csv")
        if row.number("em") != row.number("f1")
    }
    for row in rows:
        expected = (row.type, f"{row.dataset}|{row.item_id}") in apart
        assert row.stratum == ("differing" if expected else "other")
    chances = {row.stratum: row.probability for row in rows}
    # Half of the sample is from those that differ.
    n = len(labelled_items(trial))
    assert chances == {"differing": 10 / len(apart), "other": 10 / (n - len(apart))}


def labelled_items(trial: Path) -> set[tuple[str, str]]:
    """The items with a gold answer that both arms answered, by task and key."""
    lines = {
        task: (trial / f"{task}.jsonl").read_text(encoding="utf-8").strip().split("\n")
        for task in QUESTIONS
    }
    gold = {
        (task, f"{item['dataset']}|{item['id']}")
        for task in QUESTIONS
        for item in map(json.loads, lines[task])
        if item["answers"]
    }
    answered = Counter(
        (row.type, row.item_key)
        for row in read_csv(trial / "answers.csv", Answer)
        if not row.failed
    )
    return {each for each in gold if answered[each] == 2}


def test_items_without_a_gold_answer_are_not_drawn(trial: Path, tmp_path: Path) -> None:
    rows, _ = drawn(trial, tmp_path, items=1000)
    assert {(row.type, key_of(row)) for row in rows} == labelled_items(trial)


def test_the_widths_are_printed(
    trial: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        drawn(trial, tmp_path)
    said = caplog.text
    for task in QUESTIONS.values():
        (table,) = re.findall(rf"^{task.label}: half-width of the 95%.*?^$", said, re.S | re.M)
        widths = [
            [float(each) for each in line.split()[1:4]]
            for line in table.splitlines()
            if re.match(r"\s+\d+ ", line)
        ]
        assert len(widths) == 4
        assert table.count("this page") == 1
        assert all(none >= fair >= good for none, fair, good in widths)
        assert widths == sorted(widths, reverse=True)


def test_a_column_that_is_not_there_is_named(trial: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="careful: labelling: disagree: 'mood' is no column"):
        drawn(trial, tmp_path, disagree=["em", "mood"])


def test_without_responses_there_is_nothing_to_label() -> None:
    with pytest.raises(UserError, match="under each of control, treatment at"):
        units_of([], {}, ["control", "treatment"], "0.5")


# A sample that is there


def test_a_sample_is_kept_when_settings_change(
    trial: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = drawn(trial, tmp_path)
    (tmp_path / "labels/page.html").unlink()  # made again from the key file
    with caplog.at_level("INFO"):
        assert drawn(trial, tmp_path, seed=1, items=30) == before
    assert "It is the sample that was drawn before" in caplog.text


def test_a_larger_sample_keeps_the_labels_of_the_smaller_one(
    trial: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disagree = ["em", "f1"]
    small, small_page = drawn(trial, tmp_path, items=6, disagree=disagree)
    write_csv(tmp_path / "small.csv", ExportRow, exported(small))
    with caplog.at_level("INFO"):
        large, page = drawn(trial, tmp_path, items=14, disagree=disagree)
    assert "It begins with the sample that was drawn before" in caplog.text
    assert len(large) > len(small)
    identities = [row.model_dump(exclude={"probability"}) for row in large]
    assert identities[: len(small)] == [row.model_dump(exclude={"probability"}) for row in small]
    assert data_of(page)["earlier"] == [data_of(small_page)["sample"]]
    assert (
        data_of(page)["responses"][: len(data_of(small_page)["responses"])]
        == data_of(small_page)["responses"]
    )

    # Its labels count, with the chances of the sample that was labelled.
    def chances(*exports: Path) -> list[tuple[str, str | None, float | None]]:
        path = collected(tmp_path, *exports)
        labels = [each.label for each in read_labels(path)]
        path.unlink()
        return [(each.item_id, each.response_sha256, each.probability) for each in labels]

    def of(rows: list[KeyRow]) -> list[tuple[str, str, float]]:
        return [(row.item_id, row.response_sha256, row.probability) for row in rows]

    assert sorted(chances(tmp_path / "small.csv")) == sorted(of(small))
    write_csv(tmp_path / "large.csv", ExportRow, exported(large))
    both = chances(tmp_path / "small.csv", tmp_path / "large.csv")
    assert sorted(both) == sorted(of(large))
    assert max(row.probability for row in large) > min(row.probability for row in small)
    assert drawn(trial, tmp_path, items=14, disagree=disagree) == (large, page)


def test_a_changed_response_leaves_page_and_key_alone(
    trial: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows, page = drawn(trial, tmp_path)
    copy = tmp_path / "changed"
    shutil.copytree(trial, copy)
    answers = [
        row.model_copy(update={"response_text": "Something else."})
        if (row.type, row.item_key, row.prompt) == (rows[0].type, key_of(rows[0]), rows[0].arm)
        else row
        for row in read_csv(trial / "answers.csv", Answer)
    ]
    write_csv(copy / "answers.csv", Answer, answers)
    with caplog.at_level("INFO"):
        assert drawn(copy, tmp_path) == (rows, page)
    assert f"NOT drawn again. 1 of the {len(rows)} responses" in caplog.text


def key_of(row: KeyRow) -> str:
    return f"{row.dataset}|{row.item_id}"


def level(name: str) -> Metric:
    return Metric(name=name, label=name, definition="", better="higher", level=name)


@pytest.mark.parametrize(
    ("levels", "judges", "expected"),
    [
        (["strict", "lenient"], [], ["strict", "lenient"]),
        (["strict", "lenient", "ann", "ben"], ["ann", "ben"], ["ann", "lenient"]),
        (["strict", "lenient", "ann"], ["of_support", "ann"], ["ann", "lenient"]),
        (["strict"], [], []),
        (["ann"], ["ann"], []),
        ([], [], []),
    ],
)
def test_which_verdicts_are_compared(
    levels: list[str], judges: list[str], expected: list[str]
) -> None:
    other = Metric(name="other", label="Other", definition="", better="higher")
    assert sample.differing_columns([other, *map(level, levels)], judges) == expected


def test_without_a_judge_exact_match_and_containment_are_compared(
    trial: Path, tmp_path: Path
) -> None:
    by_default, _ = drawn(trial, tmp_path / "a", disagree=None)
    named, _ = drawn(trial, tmp_path / "b", disagree=["em", "contains_gold"])
    assert {"em", "contains_gold"} < set(METRICS)
    assert by_default == named


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


def collected(folder: Path, *exports: Path, output: str = "labels.csv") -> Path:
    arguments = ["--keys", str(folder), "--output", str(folder / output)]
    run_main(collect, [*arguments, "--exports", *map(str, exports)])
    return folder / output


def test_exports_become_labels_of_the_trial_s_responses(trial: Path, tmp_path: Path) -> None:
    rows, _ = drawn(trial, tmp_path, disagree=["em", "f1"])
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
        (exported(rows, sample="0" * 16), r"ann\.csv, line 2: no key file is that of sample '0000"),
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
    write_csv(tmp_path / "labels/key.csv", KeyRow, changed)
    with pytest.raises(SystemExit, match="Name the key file that was made with the page"):
        collected(tmp_path, tmp_path / "ann.csv")


def test_of_a_folder_all_exports_are_taken(
    trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, _ = drawn(trial, tmp_path)
    downloads = tmp_path / "Downloads"
    downloads.mkdir()
    ann = exported(rows)
    write_csv(downloads / "demo.ann.csv", ExportRow, ann)
    write_csv(downloads / "demo.ann (1).csv", ExportRow, ann)  # saved twice
    ben = [row.model_dump() for row in exported(rows, annotator="ben")]
    (downloads / "demo.ben.json").write_text(json.dumps(ben, indent=2), encoding="utf-8")
    write_csv(downloads / "other.cy.csv", ExportRow, exported(rows, sample="0" * 16))
    (downloads / "bank.csv").write_text("date,amount\n", encoding="utf-8")
    (downloads / "photo.json").write_bytes(b"\xff\xd8")
    path = collected(tmp_path, downloads)
    assert len(list(read_labels(path))) == 2 * len(rows)
    said = capsys.readouterr().out
    assert "bank" not in said and "photo" not in said
    assert f"labels on {len(rows)} of {len(rows)} responses, by ann, ben" in said
    assert re.search(r"Left out, because no key file .*:\n +\S+other\.cy\.csv\n", said)


def test_one_annotator_with_two_verdicts_is_refused(trial: Path, tmp_path: Path) -> None:
    rows, _ = drawn(trial, tmp_path)
    write_csv(tmp_path / "old.csv", ExportRow, exported(rows, verdict="correct"))
    write_csv(tmp_path / "new.csv", ExportRow, exported(rows, verdict="unsure"))
    with pytest.raises(SystemExit, match="Remove the older export"):
        collected(tmp_path, tmp_path / "old.csv", tmp_path / "new.csv")


def test_no_label_of_an_earlier_file_is_lost(trial: Path, tmp_path: Path) -> None:
    rows, _ = drawn(trial, tmp_path)
    ann, ben = tmp_path / "ann.csv", tmp_path / "ben.csv"
    write_csv(ann, ExportRow, exported(rows))
    write_csv(ben, ExportRow, exported(rows, annotator="ben"))
    path = collected(tmp_path, ann)
    collected(tmp_path, ann, ben)
    assert len(list(read_labels(path))) == 2 * len(rows)
    with pytest.raises(SystemExit, match=rf"has {len(rows)} labels that are not in these exports"):
        collected(tmp_path, ben)


def test_places_without_exports_or_keys_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no export of a labelling page"):
        collect.export_files(tmp_path, {})
    (tmp_path / "x.csv").write_text("sample,id,verdict\n0,r1,correct\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"x\.csv is of another sample"):
        collect.export_files(tmp_path, {})
    with pytest.raises(UserError, match=r"no key\.csv in this folder"):
        collect.read_keys(tmp_path)


def test_labels_count_in_their_own_trial_alone(trial: Path, tmp_path: Path) -> None:
    rows, _ = drawn(trial, tmp_path)
    write_csv(tmp_path / "ann.csv", ExportRow, exported(rows))
    labels = list(read_labels(collected(tmp_path, tmp_path / "ann.csv")))
    predictions = list(read_csv(trial / "predictions.csv", Prediction))
    arms = {row.condition: row.prompt for row in read_csv(trial / "answers.csv", Answer)}
    own = match(labels, predictions, arms, "local/model/default/careful")
    assert len(own.matched) == len(rows)
    other = match(labels, predictions, arms, "local/model/default/placebo")
    assert (dict(other.matched), other.stale, other.unknown) == ({}, (), ())


def test_a_key_file_without_rows_is_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "key.csv", KeyRow, [])
    with pytest.raises(UserError, match="no rows"):
        read_key(tmp_path / "key.csv")
