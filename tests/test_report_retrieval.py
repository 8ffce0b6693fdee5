"""Retrieval on a trial's page: what was found, given and cited, and where answers are lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import retrieved
from browser import one, opened, texts
from report_files import UNTRUSTED, make_report, trial_arguments, write_trial
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait
from test_report_accessibility import violations

from workflow_scripts.answers.parts import ParseSettings
from workflow_scripts.config.trial import Trial
from workflow_scripts.core.files import read_csv, read_jsonl, read_settings
from workflow_scripts.core.records import Answer, Request
from workflow_scripts.report.explorer import explorer_data, request_data
from workflow_scripts.report.figures.curves import curve_figure
from workflow_scripts.report.outcomes import ItemOutcomes
from workflow_scripts.report.passages import ArmPassages
from workflow_scripts.report.splits import splits
from workflow_scripts.retrieval.retrieved import RetrievedOnDisk, retrieved_file
from workflow_scripts.tasks.items import read_items
from workflow_scripts.tasks.rag import RAG
from workflow_scripts.tasks.score_tables import read_item_scores, read_outcomes

TASKS = {"rag": RAG}
CONDITIONS = ("control", "treatment", "closed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("retrieval") / "trial"
    write_trial(made, n=30, tasks=("rag",), treatments=CONDITIONS[1:], injected=UNTRUSTED)
    return made


@pytest.fixture(scope="module")
def data(folder: Path) -> dict[str, Any]:
    arms = read_settings(folder / "trial.json", Trial).arms
    files = map(retrieved_file, retrieved.arguments(folder)[1:])
    return explorer_data(
        read_items([folder / "rag.jsonl"]),
        read_csv(folder / "answers.csv", Answer),
        read_item_scores(folder / "per_item_scores.csv"),
        ItemOutcomes(read_outcomes(folder / "outcomes.csv"), 1000),
        TASKS,
        ["recall_at_3"],
        ArmPassages(RetrievedOnDisk(files), arms),
    )


def arms_of(data: dict[str, Any], number: int) -> dict[str, Any]:
    item = next(each for each in data["items"] if each["key"] == f"demo|rag-{number}")
    arms: dict[str, Any] = item["arms"]["0.0"]
    return arms


def test_an_arm_has_its_passages_with_their_numbers_in_the_prompt(data: dict[str, Any]) -> None:
    arms = arms_of(data, 22)
    found = arms["control"]["passages"]["found"]
    paths = [data["passages"][index][0] for index, _, _ in found]
    assert paths == ["people/23 b.md", "people/22 a.md", "people/24 b.md"]
    assert [(number, gold) for _, number, gold in found] == [(1, False), (2, True), (3, False)]
    last = arms["treatment"]["passages"]["found"]
    assert [number for _, number, _ in last] == [3, 2, 1, None]
    assert "passages" not in arms["closed"]
    assert "query" not in arms["control"]["passages"]
    assert arms["treatment"]["passages"]["query"] == ["home of person 22 ", None]
    question, reason = arms_of(data, 21)["treatment"]["passages"]["query"]
    assert question.startswith("Where does person 21 live?")
    assert reason == "the reply is empty"
    assert arms["control"]["passages"]["missing"] == []
    assert arms_of(data, 25)["control"]["passages"]["missing"] == ["people/25 a.md:L1-L3"]


def test_a_response_has_the_numbers_that_it_cites(data: dict[str, Any]) -> None:
    (sample,) = arms_of(data, 22)["control"]["samples"]
    assert sample[8] == [3]


def test_requests_are_kept_without_the_texts_of_passages(
    folder: Path, data: dict[str, Any]
) -> None:
    parts = read_settings(folder / "parts.json", ParseSettings).parts
    packed = request_data(data, parts, read_csv(folder / "answers.csv", Answer))
    assert "Person 22 lives" not in json.dumps(packed)

    def text(item: dict[str, Any], piece: str | int) -> str:
        if isinstance(piece, str):
            return piece
        found: str = data["passages"][piece - 2][3] if piece > 1 else item["question"]
        return found

    sent = {}
    for item, by_temp in zip(data["items"], packed["items"], strict=True):
        for condition, ((chat, *_),) in by_temp["0.0"].items():
            messages = packed["chats"][chat]
            sent[item["key"], condition] = [
                "".join(text(item, each) for each in pieces) for _, pieces in messages
            ]
    prompts = {"control": "control", "careful": "treatment", "closed": "closed"}
    for path in (folder / "inputs").glob("rag.*.jsonl"):
        for request in read_jsonl(path, Request):
            asked = [each.content for each in request.messages]
            assert sent[request.item_key, prompts[request.prompt]] == asked


def test_outcomes_are_counted_by_where_the_gold_passage_was(folder: Path) -> None:
    rows = list(read_outcomes(folder / "outcomes.csv"))
    (table,) = splits(rows, TASKS.values(), CONDITIONS)
    by_arm = {arm.condition: arm for arm in table.arms}
    kinds = {arm: {part.kind: part.n for part in of.parts} for arm, of in by_arm.items()}
    assert kinds["control"] == {
        "in the prompt": 14, "found, but left out": 4, "not found": 5, "none known": 7
    }  # fmt: skip
    assert set(kinds["closed"]) == {"no passages", "none known"}
    answered = [row for row in rows if row.outcome != "failed"]
    assert sum(sum(of.values()) for of in kinds.values()) == len(answered)
    assert by_arm["closed"].totals == [0, 0]
    control = [row for row in answered if row.condition == "control"]
    assert by_arm["control"].totals == [
        sum(row.number(column) or 0 for row in control) for column in ("n_found", "n_left_out")
    ]
    part = by_arm["control"].parts[0]
    in_prompt = [row.outcome for row in control if row.column("gold_passage") == part.kind]
    assert part.right == sum(each in ("correct", "rightly_abstained") for each in in_prompt)
    assert part.wrong == in_prompt.count("wrong")


def test_the_curve_is_over_items_with_gold_passages(folder: Path) -> None:
    rows = list(read_outcomes(folder / "outcomes.csv"))
    names = {"control": "three", "treatment": "ten", "closed": "closed"}
    figure = curve_figure(RAG, RAG.curves[0], rows, names)
    drawn = {(arm, k): share for arm, k, share in figure.rows}
    assert {arm for arm, _ in drawn} == {"three", "ten"}
    assert (drawn["ten", 1], drawn["ten", 10]) == (0, 1)
    assert drawn["three", 10] == pytest.approx(18 / 23)
    assert "Not measured: closed" in figure.how_to_read
    assert "three: 0.0% at 1" in figure.svg
    absent = curve_figure(RAG, RAG.curves[0], [], names)
    assert absent.absent == "Nothing was measured."


def test_the_page_shows_passages_side_by_side(folder: Path, browser: webdriver.Chrome) -> None:
    page = opened(browser, make_report(folder), "#item=rag%3Ademo%7Crag-22")
    lists = page.find_elements(By.CSS_SELECTOR, "#item .found")
    assert [len(each.find_elements(By.TAG_NAME, "li")) for each in lists] == [3, 4]
    assert texts(lists[0], "summary") == ["Passages: 3 given"]
    assert texts(lists[1], "summary") == ["Passages: 3 given, 1 left out"]
    assert texts(lists[0], ".gold p") == ["[2] people/22 a.md, lines 1–2 gold"]
    assert texts(lists[0], "li:last-child p") == ["[3] people/24 b.md, lines 1–3 cited"]
    assert texts(lists[0], ":scope > p") == []
    assert texts(lists[1], ":scope > p") == ["Searched for: home of person 22"]
    counts = texts(page, "#rewritten tbody td")
    assert counts == ["30", "25", "5 the reply is empty: 5"]
    one(page, "#item .request summary").click()
    WebDriverWait(page, 5).until(lambda page: page.find_elements(By.CSS_SELECTOR, "pre.message"))
    asked = page.find_elements(By.CSS_SELECTOR, "pre.message")[-1].get_attribute("textContent")
    assert "[2] people/22 a.md, lines 1–2\nPerson 22 lives in Lyon." in (asked or "")
    assert not violations(page, "#item", "#split-rag", "#rewritten")
    for item in list(read_items([folder / "rag.jsonl"]).values())[: len(UNTRUSTED)]:
        link = "location.hash = new URLSearchParams({item: arguments[0]})"
        page.execute_script(link, f"rag:{item.key}")
        assert len(page.find_elements(By.CSS_SELECTOR, ".found")) == 2
    assert page.execute_script("return window.hacked") is None
    assert not page.get_log("browser")
    assert "--retrieved" in trial_arguments(folder, "report.html")
