"""Scores of samples and items, and the command from files to file."""

import sys

import pytest
from question_records import (
    METRICS,
    QUESTIONS,
    Item,
    ItemScores,
    SampleOutcome,
    item_scores,
    scored,
)

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_csv, write_csv, write_json, write_jsonl
from workflow_scripts.core.records import (
    Answer,
    ErrorRow,
    Prediction,
    TrialRow,
    custom_id,
)
from workflow_scripts.metrics.settings import Unsupported
from workflow_scripts.scoring.items import main
from workflow_scripts.tasks.items import ItemsOnDisk, read_items
from workflow_scripts.tasks.settings import ScoreSettings

SETTINGS = ScoreSettings(
    unsupported=Unsupported(strategy="baseline"), abstention_phrases=["That is beyond me"]
)
ITEMS = {
    item.key: item
    for item in (
        Item(
            id="lives",
            dataset="d",
            question="Where does she live?",
            answers=["Lyon", "the city of Lyon"],
            context="She lives in Lyon. He lives in Bremen.",
            cluster_id="p1",
        ),
        Item(
            id="speaks",
            dataset="d",
            question="What does she speak?",
            answers=[],
            context="She lives in Lyon. He lives in Bremen.",
            is_unanswerable=True,
            cluster_id="p1",
        ),
        Item(
            id="film", dataset="d", question="Which film?", answers=["Unknown"], cluster_id="film"
        ),
    )
}


def prediction(item_id, text, task="open_book", condition="control", temp="0.0", sample=0):
    return Prediction(
        custom_id=custom_id("d", item_id, condition, temp, sample, task),
        dataset="d",
        item_id=item_id,
        condition=condition,
        temp=temp,
        sample_index=sample,
        type=task,
        request_id="r",
        finish_reason="stop",
        response_text=text,
    )


def scores_of(answer, settings=SETTINGS):
    _, (row,) = scored([answer], ITEMS, settings)
    return tuple(row.number(metric) for metric in METRICS)


@pytest.mark.parametrize(
    ("item_id", "text", "em", "f1", "abstained", "false_answer", "unsupported", "correct"),
    [
        ("lives", "Lyon.", 1, 1, 0, 0, 0, 1),
        ("lives", "Bremen", 0, 0, 0, 1, 0, 0),
        ("lives", "Lyon, France", 0, 2 / 3, 0, 0, 1, 1),
        ("lives", "I don’t know.", 0, 0, 1, 0, 0, 0),
        ("lives", "That is beyond me.", 0, 0, 1, 0, 0, 0),
        ("lives", "", 0, 0, 0, 0, 0, 0),
        ("lives", "The...", 0, 0, 0, 0, 0, 0),
        ("speaks", "French", 0, 0, 0, 1, 1, 0),
        ("speaks", "Lyon", 0, 0, 0, 1, 0, 0),
        ("speaks", "The passage doesn't say.", 1, 1, 1, 0, 0, 1),
        ("speaks", "", 1, 1, 0, 0, 0, 0),
        ("lives", "I can't help with that.", 0, 0, 0, 0, 0, 0),
        ("speaks", "I can't help with that.", 0, 0, 0, 0, 0, 0),
    ],
)
def test_scores_of_one_sample(item_id, text, em, f1, abstained, false_answer, unsupported, correct):
    assert scores_of(prediction(item_id, text)) == pytest.approx(
        (em, f1, abstained, false_answer, unsupported, correct, correct), abs=1e-12
    )


@pytest.mark.parametrize(("level", "correct"), [("exact", 0), ("contains", 1), (None, 1)])
def test_the_level_decides_correct_and_false_answers(level, correct):
    chosen = {"d": level} if level else {}
    settings = SETTINGS.model_copy(update={"correctness": chosen})
    _, (row,) = scored([prediction("lives", "She lives in Lyon.")], ITEMS, settings)
    assert (row.em, row.contains_gold) == (0, 1)
    assert (row.correct, row.false_answer_rate) == (correct, 1 - correct)
    assert row.outcome == ("correct" if correct else "wrong")


def test_a_gold_answer_is_an_answer_even_if_it_reads_like_an_abstention():
    assert scores_of(prediction("film", "Unknown", task="closed_book")) == (1, 1, 0, 0, None, 1, 1)


def test_each_data_set_is_scored_by_its_own_official_evaluation():
    settings = SETTINGS.model_copy(update={"evaluations": {"d": "triviaqa"}})
    answer = prediction("film", "Un-known", task="closed_book")
    # SQuAD 2.0 deletes the hyphen, TriviaQA makes it a blank.
    assert scores_of(answer)[0] == 1
    assert scores_of(answer, settings)[0] == 0


def test_f1_counts_in_closed_book_too():
    assert scores_of(prediction("film", "Unknown film", task="closed_book"))[:2] == (
        0,
        pytest.approx(2 / 3, abs=1e-12),
    )


def test_items_are_averaged_over_samples_with_the_sample_deviation():
    texts = ["Lyon", "Lyon, France", "I don't know"]
    rows = [prediction("lives", text, sample=index) for index, text in enumerate(texts)]
    (scores,) = item_scores(rows, ITEMS, SETTINGS)
    assert (scores.item_key, scores.type, scores.condition, scores.temp) == (
        "d|lives",
        "open_book",
        "control",
        "0.0",
    )
    assert scores.em == pytest.approx(1 / 3, abs=1e-12)
    assert scores.em_std == pytest.approx((1 / 3) ** 0.5, abs=1e-12)
    assert scores.f1 == pytest.approx(5 / 9, abs=1e-12)
    assert scores.f1_std == pytest.approx((7 / 27) ** 0.5, abs=1e-12)
    assert scores.abstain_rate == pytest.approx(1 / 3, abs=1e-12)
    assert scores.unsupported_rate == pytest.approx(1 / 3, abs=1e-12)


def test_one_sample_has_deviation_zero_and_closed_book_no_support():
    (scores,) = item_scores([prediction("film", "Rome", "closed_book")], ITEMS, SETTINGS)
    assert (scores.em_std, scores.false_answer_rate, scores.false_answer_rate_std) == (0, 1, 0)
    assert scores.unsupported_rate is None
    assert scores.unsupported_rate_std is None


def test_conditions_temps_and_tasks_stay_apart_and_row_order_does_not_show():
    rows = [
        prediction("lives", text, task, condition, temp, sample)
        for sample, text in enumerate(["Lyon", "Bremen"])
        for task in ("open_book", "closed_book")
        for condition in ("control", "treatment")
        for temp in ("0.0", "0.7")
    ]
    scores = item_scores(rows, ITEMS, SETTINGS)
    assert len(scores) == 8
    assert {score.em for score in scores} == {0.5}
    assert item_scores(rows[::-1], ITEMS, SETTINGS) == scores


def test_a_prediction_without_its_item_is_an_error_that_names_both():
    with pytest.raises(UserError, match=r"'d\|lost\|control\|0\.0\|0\|open_book'.*'d\|lost'"):
        scores_of(prediction("lost", "x"))


def test_an_open_book_item_without_a_context_is_an_error():
    with pytest.raises(UserError, match=r"'d\|film' is asked open book but has no context"):
        scores_of(prediction("film", "Rome"))


def test_one_key_for_two_different_items_is_an_error(tmp_path):
    item = ITEMS["d|film"]
    one, other = tmp_path / "closed_book.jsonl", tmp_path / "open_book.jsonl"
    write_jsonl(one, [item])
    write_jsonl(other, [item.model_copy(update={"question": "Which song?"})])
    for read in (read_items, ItemsOnDisk):
        assert dict(read([one, one])) == {"d|film": item}
        with pytest.raises(UserError, match=r"open_book\.jsonl: item 'd\|film' stands in"):
            read([one, other])


def test_items_on_disk_are_those_in_memory(tmp_path):
    paths = [tmp_path / f"{task}.jsonl" for task in QUESTIONS]
    items = [
        item.model_copy(update={"id": f"{item.id}é{n}"})
        for n in range(3)
        for item in ITEMS.values()
    ]
    for n, path in enumerate(paths):
        write_jsonl(path, items[n::2])
    assert list(ItemsOnDisk(paths).items()) == list(read_items(paths).items())


def run(monkeypatch, folder, predictions, phrases=(), errors=(), asked=None):
    asked = [*predictions, *errors] if asked is None else asked
    named = [row.model_dump(include=set(TrialRow.model_fields)) for row in asked]
    rows = [Answer(**each, prompt=each["condition"]) for each in named]
    write_csv(folder / "answers.csv", Answer, rows)
    for task in QUESTIONS:
        write_jsonl(folder / f"{task}.jsonl", ITEMS.values())
    write_csv(folder / "predictions.csv", Prediction, predictions)
    write_csv(folder / "errors.csv", ErrorRow, errors)
    settings = {"unsupported": {"strategy": "overlap"}, "abstention_phrases": list(phrases)}
    write_json(folder / "settings.json", settings)
    arguments = {
        "--predictions": folder / "predictions.csv",
        "--errors": folder / "errors.csv",
        "--answers": folder / "answers.csv",
        "--settings": folder / "settings.json",
        "--output": folder / "per_item_scores.csv",
        "--outcomes": folder / "outcomes.csv",
        "--metrics": folder / "metrics.json",
    }
    words = [str(word) for pair in arguments.items() for word in pair]
    words += ["--items", *(str(folder / f"{task}.jsonl") for task in QUESTIONS)]
    monkeypatch.setattr(sys, "argv", ["items", *words])
    main()
    return (
        list(read_csv(folder / "per_item_scores.csv", ItemScores)),
        list(read_csv(folder / "outcomes.csv", SampleOutcome)),
    )


def failed(item_id, condition="control"):
    row = prediction(item_id, "", condition=condition)
    return ErrorRow(
        **row.model_dump(include=set(ErrorRow.model_fields) & set(Prediction.model_fields)),
        error_type="timeout",
        error_message="no answer within 60 s",
    )


def test_the_command_scores_files(tmp_path, monkeypatch):
    rows, outcomes = run(
        monkeypatch,
        tmp_path,
        [prediction("lives", "Lyon,\nBremen or “Köln”"), prediction("film", "=1", "closed_book")],
        errors=[failed("speaks")],
    )
    assert [(row.item_key, row.em, row.unsupported_rate) for row in rows] == [
        ("d|film", 0, None),
        ("d|lives", 0, 0),
    ]
    assert [(row.item_key, row.outcome, row.answer_extracted, row.support) for row in outcomes] == [
        ("d|lives", "correct", "Lyon", 2 / 3),
        ("d|film", "wrong", "=1", None),
        ("d|speaks", "failed", "", None),
    ]
    assert len({row.custom_id for row in outcomes}) == 3


def test_the_columns_of_per_item_scores_are_fixed(tmp_path, monkeypatch):
    run(monkeypatch, tmp_path, [prediction("lives", "Lyon")])
    header = (tmp_path / "per_item_scores.csv").read_text(encoding="utf-8").splitlines()[0]
    metrics = ("em", "f1", "abstain_rate", "false_answer_rate", "unsupported_rate")
    metrics += ("correct", "contains_gold")
    columns = [name for metric in metrics for name in (metric, f"{metric}_std")]
    assert header.split(",") == ["item_key", "type", "condition", "temp", *columns]


def test_the_command_refuses_an_incomplete_table(tmp_path, monkeypatch):
    rows = [prediction("lives", "Lyon"), prediction("speaks", "French", condition="treatment")]
    with pytest.raises(
        SystemExit,
        match=r"1 requests have neither a prediction nor an error: d\|speaks\|treatment\|0\.0\|0",
    ):
        run(monkeypatch, tmp_path, rows[:1], asked=rows)
    assert not (tmp_path / "per_item_scores.csv").exists()


def test_the_command_refuses_a_phrase_it_could_not_recognise(tmp_path, monkeypatch):
    with pytest.raises(
        SystemExit, match=r"settings\.json: abstention_phrases: .*'\?!' has no word"
    ):
        run(monkeypatch, tmp_path, [], phrases=["?!"])
