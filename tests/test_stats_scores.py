"""Scores and items as columns: the same numbers and the same errors as record by record."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from question_records import Item, ItemScores

from workflow_scripts.comparisons.score_files import read_scores, read_table, scores_of, table_of
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_csv, write_csv, write_jsonl
from workflow_scripts.stats import scores as module
from workflow_scripts.stats.pairs import pair
from workflow_scripts.stats.scores import Group


def item(number, dataset="one", cluster=None, unanswerable=False):
    return Item(
        id=str(number),
        dataset=dataset,
        question="?",
        answers=[] if unanswerable else ["x"],
        is_unanswerable=unanswerable,
        cluster_id=cluster or str(number),
    )


def row(key, condition="control", em=0.5, task="open_book", temp="0.0", unsupported=0.25):
    numbers = {"em": em, "f1": em, "abstain_rate": 0.125, "false_answer_rate": 0.375}
    if unsupported is not None:
        numbers["unsupported_rate"] = unsupported
    return ItemScores(
        item_key=key,
        type=task,
        condition=condition,
        temp=temp,
        **numbers,
        **{f"{metric}_std": 0.1 for metric in numbers},
    )


def test_items_are_sorted_and_their_clusters_told_apart_by_data_set():
    table = table_of(
        [item(2, "two", "p"), item(1, "one", "p"), item(3, "one", "p", unanswerable=True)]
    )
    assert table.keys == ["one|1", "one|3", "two|2"]
    assert table.dataset_names == ["one", "two"]
    assert table.datasets.tolist() == [0, 0, 1]
    assert table.clusters.tolist() == [0, 0, 1]
    assert table.unanswerable.tolist() == [False, True, False]


@given(st.permutations(range(12)))
def test_the_order_of_items_does_not_matter(order):
    items = [item(k, "ab"[k % 2], f"p{k // 5}") for k in range(12)]
    one, other = table_of(items), table_of([items[k] for k in order])
    assert one.keys == other.keys
    for name in ("datasets", "clusters", "unanswerable"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()


def test_one_key_for_two_items_is_an_error():
    table_of([item(1), item(1)])
    with pytest.raises(UserError, match=r"'one\|1' stands in the item files twice"):
        table_of([item(1), item(1, cluster="other")])


def equal(one, other):
    assert list(one) == list(other)
    for group, arm in one.items():
        for name in ("items", "scores", "deviations"):
            np.testing.assert_array_equal(getattr(arm, name), getattr(other[group], name))


@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_a_file_reads_as_its_records_do(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(module, "_CHUNK", chunk)
    # A data set that starts like a formula is guarded in the file, and read without the guard.
    table = table_of([item(k, "=one") for k in range(5)])
    unsupported = {"closed_book": None, "open_book": 0.2}
    rows = [
        row(f"=one|{k}", condition, em=k / 4, task=task, unsupported=unsupported[task])
        for k in (3, 0, 4, 1)
        for condition in ("treatment", "control")
        for task in ("closed_book", "open_book")
    ]
    path = tmp_path / "per_item_scores.csv"
    write_csv(path, ItemScores, rows)
    assert path.read_text(encoding="utf-8").count("'=one") == len(rows)
    found = read_scores([path], table)
    equal(found, scores_of(read_csv(path, ItemScores), table))
    arm = found[Group("open_book", "control", "0.0")]
    assert arm.items.tolist() == [0, 1, 3, 4]
    assert arm.scores[:, 0].tolist() == [0, 0.25, 0.75, 1]
    assert np.isnan(found[Group("closed_book", "control", "0.0")].scores[:, 4]).all()


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("em", "nan", r"line 3: em: "),
        ("em", "1.5", r"line 3: em: .*less than or equal to 1"),
        ("em", "", r"line 3: em: "),
        ("f1_std", "inf", r"line 3: f1_std: "),
        ("f1_std", "-0.1", r"line 3: f1_std: "),
        ("abstain_rate", "often", r"line 3: abstain_rate: "),
        ("type", "plan", r"line 3: type: "),
        ("item_key", "one|7", r"item 'one\|7' has scores but is not in the item files"),
        ("item_key", "one|0", r"item 'one\|0' has two rows of scores for open_book, control"),
        ("unsupported_rate", "", r"unsupported_rate is empty on some rows of one task only"),
    ],
)
def test_a_bad_cell_stops_with_its_place(tmp_path, column, cell, message):
    path = tmp_path / "per_item_scores.csv"
    write_csv(path, ItemScores, [row(f"one|{k}") for k in range(4)])
    lines = path.read_text(encoding="utf-8").splitlines()
    cells = lines[2].split(",")
    cells[list(ItemScores.model_fields).index(column)] = cell
    lines[2] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_scores([path], table_of(map(item, range(4))))


def test_a_damaged_file_stops(tmp_path):
    path = tmp_path / "per_item_scores.csv"
    write_csv(path, ItemScores, [row(f"one|{k}") for k in range(4)])
    text = path.read_text(encoding="utf-8")
    table = table_of(map(item, range(4)))
    path.write_text(text.replace("one|2,", "one|2,,", 1), encoding="utf-8")
    with pytest.raises(UserError, match="line 4: 15 cells for 14 columns"):
        read_scores([path], table)
    path.write_text(text.rstrip(), encoding="utf-8")
    with pytest.raises(UserError, match="line 5: the file is cut off"):
        read_scores([path], table)
    with pytest.raises(UserError, match=r"none\.csv: no such file"):
        read_scores([tmp_path / "none.csv"], table)
    path.write_text(text.replace("item_key", "key", 1), encoding="utf-8")
    with pytest.raises(UserError, match="line 1: the columns are"):
        read_scores([path], table)


def test_item_files_are_read_without_their_texts(tmp_path):
    write_jsonl(tmp_path / "items.jsonl", map(item, range(3)))
    assert read_table([tmp_path / "items.jsonl"]).keys == ["one|0", "one|1", "one|2"]


def test_pairs_are_the_items_of_both_arms():
    table = table_of(item(k, cluster=f"p{k // 2}", unanswerable=k == 3) for k in range(6))
    rows = [row(f"one|{k}", "control", em=0.0) for k in (0, 1, 2, 3)]
    rows += [row(f"one|{k}", "treatment", em=1.0) for k in (1, 3, 5)]
    arms = scores_of(rows, table)
    pairs, unpaired = pair(
        arms[Group("open_book", "control", "0.0")],
        arms[Group("open_book", "treatment", "0.0")],
        table,
        samples_per_item=4,
    )
    assert unpaired == ["one|0", "one|2", "one|5"]
    assert pairs.items.tolist() == [1, 3]
    assert pairs.clusters.tolist() == [0, 1]
    assert pairs.unanswerable.tolist() == [False, True]
    assert pairs.differences[:, 0].tolist() == [1, 1]
    assert pairs.sample_variance[:, 0] == pytest.approx([0.02, 0.02])
    part = pairs.subset(np.array([False, True]))
    assert (part.items.tolist(), part.clusters.tolist(), part.samples_per_item) == ([3], [0], 4)
