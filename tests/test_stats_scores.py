"""Scores and items as columns: the same numbers and the same errors as record by record."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from question_records import Item, ItemScores

from workflow_scripts.comparisons import score_files
from workflow_scripts.comparisons.score_files import read_scores, read_table, scores_of, table_of
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_csv, write_csv, write_jsonl
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
    assert {name: of_all.tolist() for name, of_all in table.subgroups.items()} == {
        "answerable": [True, False, True],
        "unanswerable": [False, True, False],
    }


@given(st.permutations(range(12)))
def test_the_order_of_items_does_not_matter(order):
    items = [item(k, "ab"[k % 2], f"p{k // 5}", unanswerable=k % 3 == 0) for k in range(12)]
    one, other = table_of(items), table_of([items[k] for k in order])
    assert one.keys == other.keys
    for name in ("datasets", "clusters"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()
    assert one.subgroups.keys() == other.subgroups.keys()
    for name, of_all in one.subgroups.items():
        assert of_all.tolist() == other.subgroups[name].tolist()


def test_one_key_for_two_items_is_an_error():
    table_of([item(1), item(1)])
    with pytest.raises(UserError, match=r"'one\|1' stands in the item files twice"):
        table_of([item(1), item(1, cluster="other")])


def equal(one, other):
    assert list(one) == list(other)
    for group, arm in one.items():
        for name in ("items", "scores", "deviations"):
            np.testing.assert_array_equal(getattr(arm, name), getattr(other[group], name))


@pytest.fixture
def no_slow_reader(monkeypatch):
    """Only doubtful files are read record by record."""

    def refuse(*_):
        raise AssertionError("the file was read record by record")

    monkeypatch.setattr(score_files, "_records", refuse)


@pytest.mark.usefixtures("no_slow_reader")
@pytest.mark.parametrize("block", [256, 700, 2**22])
def test_a_file_reads_as_its_records_do(tmp_path, monkeypatch, block):
    monkeypatch.setattr(score_files, "_BLOCK", block)
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
        ("em", "", r"em is empty on some rows of one task only"),
        ("f1_std", "inf", r"line 3: f1_std: "),
        ("f1_std", "-0.1", r"line 3: f1_std: "),
        ("abstain_rate", "often", r"line 3: abstain_rate: "),
        ("type", "haiku", r"line 3: type: unknown task 'haiku'; there are open_book, "),
        ("type", "Open book", r"line 3: type: "),
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
    with pytest.raises(UserError, match="line 4: 19 cells for 18 columns"):
        read_scores([path], table)
    path.write_text(text.rstrip(), encoding="utf-8")
    with pytest.raises(UserError, match="line 5: the file is cut off"):
        read_scores([path], table)
    with pytest.raises(UserError, match=r"none\.csv: no such file"):
        read_scores([tmp_path / "none.csv"], table)
    path.write_text(text.replace("item_key", "key", 1), encoding="utf-8")
    with pytest.raises(UserError, match="line 1: the columns are"):
        read_scores([path], table)


def test_a_blank_line_is_no_row(tmp_path):
    path = tmp_path / "per_item_scores.csv"
    write_csv(path, ItemScores, [row(f"one|{k}") for k in range(4)])
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("one|2", "\none|2", 1), encoding="utf-8")
    with pytest.raises(UserError, match="line 4: 0 cells for 18 columns"):
        read_scores([path], table_of(map(item, range(4))))


def test_what_arrow_does_not_read_is_read_record_by_record(tmp_path):
    """A quoted line break is one; no cell of ours has any, but a cell may."""
    path = tmp_path / "per_item_scores.csv"
    write_csv(path, ItemScores, [row(f"one|{k}", "a\nb") for k in range(4)])
    found = read_scores([path], table_of(map(item, range(4))))
    assert list(found) == [Group("open_book", "a\nb", "0.0")]
    assert found[Group("open_book", "a\nb", "0.0")].items.tolist() == [0, 1, 2, 3]


@pytest.mark.usefixtures("no_slow_reader")
def test_temperatures_stay_the_texts_that_they_are(tmp_path):
    path = tmp_path / "per_item_scores.csv"
    write_csv(path, ItemScores, [row("one|0", temp=temp) for temp in ("0.70", "0.7", "1")])
    assert [group.temp for group in read_scores([path], table_of([item(0)]))] == [
        "0.7",
        "0.70",
        "1",
    ]


@pytest.mark.usefixtures("no_slow_reader")
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_numbers_are_read_to_the_last_bit(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("scores") / "per_item_scores.csv"
    write_csv(path, ItemScores, [row(f"one|{k}", em=value) for k, value in enumerate(values)])
    items = [item(k) for k in range(len(values))]
    arm = read_scores([path], table_of(items))[Group("open_book", "control", "0.0")]
    found = {
        table_of(items).keys[row]: em for row, em in zip(arm.items, arm.scores[:, 0], strict=True)
    }
    assert found == {f"one|{k}": value for k, value in enumerate(values)}


def test_no_rows_are_no_scores(tmp_path):
    path = tmp_path / "per_item_scores.csv"
    write_csv(path, ItemScores, [])
    assert read_scores([path], table_of([item(0)])) == {}


def test_item_files_are_read_without_their_texts(tmp_path):
    write_jsonl(tmp_path / "open_book.jsonl", map(item, range(3)))
    assert read_table([tmp_path / "open_book.jsonl"]).keys == ["one|0", "one|1", "one|2"]


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
    assert pairs.subgroups["unanswerable"].tolist() == [False, True]
    assert pairs.differences[:, 0].tolist() == [1, 1]
    assert pairs.sample_variance[:, 0] == pytest.approx([0.02, 0.02])
    part = pairs.subset(np.array([False, True]))
    assert (part.items.tolist(), part.clusters.tolist(), part.samples_per_item) == ([3], [0], 4)
