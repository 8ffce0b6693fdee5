"""The item explorer: its data, and what it shows and does in a real browser."""

from __future__ import annotations

import base64
import csv
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from browser import choose, n_shown, one, opened, texts, unpacked
from hypothesis import given
from hypothesis import strategies as st
from question_records import METRICS, QUESTIONS, Item, ItemScores, SampleOutcome
from report_files import TEMPLATES, UNTRUSTED, make_items, make_report, write_trial
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait
from trial_parts import trial_parts

from workflow_scripts.answers.parts import ParseSettings, TrialParts
from workflow_scripts.answers.predictions import answer, answers
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import (
    read_csv,
    read_jsonl,
    read_settings,
    write_csv,
    write_jsonl,
)
from workflow_scripts.core.records import (
    Answer,
    Decoding,
    Message,
    RawLine,
    Request,
    RequestMeta,
    Usage,
)
from workflow_scripts.report.explorer import explorer_data, pack, request_data
from workflow_scripts.report.outcomes import ItemOutcomes
from workflow_scripts.tasks.items import read_items

MANY = 1000

# What became of an item


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (["correct"], "correct"),
        (["wrongly_abstained", "wrongly_abstained"], "wrongly_abstained"),
        (["correct", "wrong"], "mixed"),
        (["empty", "wrong"], "mixed"),
        (["correct", "failed"], "mixed"),
        (["failed"], "failed"),
    ],
)
def test_an_items_outcome_is_that_of_all_its_samples(samples: list[str], expected: str) -> None:
    item = make_items(1, "open_book", [])[0]
    lines = [
        line_of(item.id, dataset=item.dataset, sample_index=index) for index in range(len(samples))
    ]
    data = data_of(item, lines, samples)
    assert data["items"][0]["arms"]["0.0"]["control"]["outcome"] == expected


def test_the_final_answer_is_shown_beside_a_response_that_reasons() -> None:
    item = make_items(1, "open_book", [])[0]
    texts = ["Lyon", "<think>Paris?</think>Lyon", "<think>Paris"]
    lines = [
        line_of(item.id, dataset=item.dataset, sample_index=index, response_text=text)
        for index, text in enumerate(texts)
    ]
    data = data_of(item, lines, ["wrong"] * len(lines))
    samples = data["items"][0]["arms"]["0.0"]["control"]["samples"]
    assert [sample[1] for sample in samples] == texts
    assert [sample[6:] for sample in samples] == [[], ["Lyon"], [""]]


def test_an_answer_without_an_outcome_is_an_error() -> None:
    item = make_items(1, "open_book", [])[0]
    with pytest.raises(UserError, match=r"outcomes\.csv says nothing about item 'other\|open"):
        data_of(item, [line_of(item.id, dataset=item.dataset)], [])


def data_of(item: Item, lines: list[RawLine], outcomes: Iterable[str]) -> dict[str, Any]:
    """The data of one item that only the control was asked."""
    rows = [
        SampleOutcome(
            custom_id=line.custom_id,
            item_key=line.item_key,
            type=line.type,
            condition="control",
            temp=line.temp,
            sample_index=line.sample_index,
            outcome=outcome,
        )
        for line, outcome in zip(lines, outcomes, strict=False)
    ]
    outcomes = ItemOutcomes(rows, MANY)
    return explorer_data({item.key: item}, rows_of(lines), [], outcomes, QUESTIONS, METRICS)


def rows_of(lines: Iterable[RawLine]) -> list[Answer]:
    """The rows of the control's raw lines."""
    return [answer("control", line) for line in lines]


# What was sent and what came back


def line_of(item_id: str = "7", **fields: Any) -> RawLine:
    shared = {
        "custom_id": "any",
        "dataset": "demo",
        "prompt": "plain",
        "temp": "0.0",
        "sample_index": 0,
    }
    answer = {"finish_reason": "stop", "request_id": "r", "usage": Usage(), "response_text": "Lyon"}
    return RawLine(
        item_id=item_id,
        type="open_book",
        **(shared | answer | fields),
    )


def test_an_answer_to_an_unknown_item_is_an_error() -> None:
    with pytest.raises(UserError, match=r"'demo\|7' \(open_book\)"):
        explorer_data({}, rows_of([line_of()]), [], ItemOutcomes([], MANY), QUESTIONS, METRICS)


def parts_of(folder: Path) -> TrialParts:
    return read_settings(folder / "parts.json", ParseSettings).parts


@pytest.fixture(scope="module")
def trial_data(trial_folder: Path) -> dict[str, Any]:
    return explorer_data(
        read_items([trial_folder / f"{task}.jsonl" for task in QUESTIONS]),
        read_csv(trial_folder / "answers.csv", Answer),
        read_csv(trial_folder / "per_item_scores.csv", ItemScores),
        ItemOutcomes(read_csv(trial_folder / "outcomes.csv", SampleOutcome), MANY),
        QUESTIONS,
        METRICS,
    )


def test_every_request_and_raw_line_can_be_told_from_the_data(
    trial_folder: Path, trial_data: dict[str, Any]
) -> None:
    parts = parts_of(trial_folder)
    packed = request_data(trial_data, parts, read_csv(trial_folder / "answers.csv", Answer))
    places = {(item["task"], item["key"]): i for i, item in enumerate(trial_data["items"])}
    told = 0
    for condition, arm in parts.arms.items():
        for asked, raw in zip(arm.input_files(), arm.raw_files(), strict=True):
            requests = read_jsonl(Path(asked), Request)
            lines = read_jsonl(Path(raw), RawLine)
            for request, line in zip(requests, lines, strict=True):
                place = places[request.type, request.item_key]
                ((chat, decoding, seed, rest),) = packed["items"][place][request.temp][condition]
                item = trial_data["items"][place]
                assert [
                    {"role": role, "content": filled_in(pieces, item, trial_data["contexts"])}
                    for role, pieces in packed["chats"][chat]
                ] == [message.model_dump() for message in request.messages]
                sent = Decoding.model_validate({**packed["decodings"][decoding], "seed": seed})
                assert sent == request.decoding
                assert packed["prompts"][condition] == line.prompt
                sample = item["arms"][line.temp][condition]["samples"][0]
                if line.error is None:
                    rest = {"response_text": sample[1], "finish_reason": sample[2], **rest}
                assert rest == line.model_dump(
                    exclude=set(RequestMeta.model_fields), exclude_none=True
                )
                told += 1
    assert told == 2 * 2 * 80
    n_prompts_and_tasks = 4
    assert len(packed["chats"]) == n_prompts_and_tasks


def filled_in(pieces: list[Any], item: dict[str, Any], contexts: list[str]) -> str:
    own = [None if item["context"] is None else contexts[item["context"]], item["question"]]
    return "".join(piece if isinstance(piece, str) else own[piece] or "" for piece in pieces)


@given(system=st.text(), context=st.text(), question=st.text(min_size=1))
def test_any_prompt_can_be_put_together_again(
    tmp_path_factory: pytest.TempPathFactory, system: str, context: str, question: str
) -> None:
    item = make_items(1, "open_book", [])[0].model_copy(
        update={"context": context, "question": question}
    )
    folder = tmp_path_factory.mktemp("parts")
    line = line_of(item.id, dataset=item.dataset)
    chat = QUESTIONS["open_book"].messages(
        item, TEMPLATES["open_book"], [Message(role="system", content=system)]
    )
    request = Request(
        **line.model_dump(include=set(RequestMeta.model_fields)),
        messages=chat,
        decoding=Decoding(temperature=0, max_new_tokens=8, seed=0),
    )
    write_jsonl(folder / "inputs" / "a.jsonl", [request])
    write_jsonl(folder / "raw" / "a.jsonl", [line])
    parts = trial_parts(folder / "inputs", folder / "raw", {"control": ["a.jsonl"]})
    data = data_of(item, [line], ["correct"])
    packed = request_data(data, parts, rows_of([line]))
    (messages_sent,) = packed["chats"]
    assert [
        filled_in(pieces, data["items"][0], data["contexts"]) for _, pieces in messages_sent
    ] == [message.content for message in chat]


def test_samples_are_in_order_and_so_are_their_requests(tmp_path: Path) -> None:
    item = make_items(1, "open_book", [])[0]
    shared = {"item_id": item.id, "dataset": item.dataset}
    lines = [
        line_of(
            **shared,
            custom_id=f"sample {index}",
            sample_index=index,
            request_id=f"r{index}",
            response_text=f"answer {index}",
            usage=Usage(prompt_tokens=index),
            latency_s=index / 8,
        )
        for index in (2, 0, 1)
    ]
    requests = [
        Request(
            **line.model_dump(include=set(RequestMeta.model_fields)),
            messages=QUESTIONS["open_book"].messages(
                item, TEMPLATES["open_book"], [Message(role="system", content="")]
            ),
            decoding=Decoding(temperature=1, max_new_tokens=8, seed=100 + line.sample_index),
        )
        for line in reversed(lines)
    ]
    write_jsonl(tmp_path / "inputs" / "a.jsonl", requests)
    write_jsonl(tmp_path / "raw" / "a.jsonl", lines)
    parts = trial_parts(tmp_path / "inputs", tmp_path / "raw", {"control": ["a.jsonl"]})
    data = data_of(item, lines, ["correct"] * len(lines))
    assert data["items"][0]["arms"]["0.0"]["control"]["samples"] == [
        [index, f"answer {index}", "stop", index, None, index / 8] for index in range(3)
    ]
    packed = request_data(data, parts, rows_of(lines))["items"][0]["0.0"]["control"]
    assert [(seed, rest["request_id"]) for _, _, seed, rest in packed] == [
        (100 + index, f"r{index}") for index in range(3)
    ]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
)


@given(json_values)
def test_packing_loses_nothing(value: Any) -> None:
    packed = pack(value)
    assert json.loads(zlib.decompress(base64.b64decode(packed, validate=True))) == value


def test_a_lone_surrogate_cannot_reach_the_page(tmp_path: Path) -> None:
    path = tmp_path / "raw.jsonl"
    write_jsonl(path, [line_of(response_text="LYON")])
    path.write_text(path.read_text(encoding="utf-8").replace("LYON", "\\ud83d"), encoding="utf-8")
    with pytest.raises(UserError, match="line 1"):
        list(read_jsonl(path, RawLine))


# In the browser


def test_filters_and_search(page: webdriver.Chrome, trial_folder: Path) -> None:
    assert n_shown(page) == 160
    choose(page, "task", "closed_book")
    choose(page, "subgroup", "unanswerable")
    assert n_shown(page) == 20
    choose(page, "after", "rightly_abstained")
    unanswerable = {
        item.key
        for item in read_items([trial_folder / "closed_book.jsonl"]).values()
        if item.is_unanswerable
    }
    with (trial_folder / "per_item_scores.csv").open(encoding="utf-8", newline="") as stream:
        abstained = [
            row["item_key"]
            for row in csv.DictReader(stream)
            if (row["condition"], row["type"]) == ("treatment", "closed_book")
            and float(row["abstain_rate"]) == 1
            and row["item_key"] in unanswerable
        ]
    assert 0 < n_shown(page) == len(abstained)
    one(page, "#reset").click()
    one(page, "#filters [name=search]").send_keys("PERSON 42")
    assert n_shown(page) == 2
    one(page, "#filters [name=search]").send_keys(" nowhere to be found")
    assert n_shown(page) == 0
    assert "No item matches" in one(page, "#list").text
    one(page, "#reset").click()
    choose(page, "either", "failed")
    assert n_shown(page) == 2
    assert texts(page, "#list .question") == ["Where does person 79 live?"] * 2


def test_counts_in_tables_open_their_items(page: webdriver.Chrome, trial_folder: Path) -> None:
    buttons = page.find_elements(By.CSS_SELECTOR, "[data-show]")
    for button in buttons:
        expected = int(button.text)
        page.execute_script("arguments[0].click()", button)
        assert n_shown(page) == expected
    shown = {json.loads(each.get_attribute("data-show") or "")["task"] for each in buttons}
    assert shown == set(QUESTIONS)
    assert page.execute_script("return document.activeElement.id") == "detail"


def test_sorting_puts_losses_first(page: webdriver.Chrome) -> None:
    choose(page, "sort", "em")
    assert one(page, "#list li:first-child .badges").text == "✓ correct → – wrongly abstained"
    choose(page, "sort", "latency")
    assert one(page, "#list li:first-child .question").text == "Where does person 79 live?"


def test_a_link_opens_its_item(browser: webdriver.Chrome, trial_folder: Path) -> None:
    page = opened(
        browser, trial_folder / "report.html", "#item=closed_book%3Ademo%7Cclosed_book-41"
    )
    assert one(page, "#detail h3").text == "Where does person 41 live?"
    page = opened(browser, trial_folder / "report.html", "#item=open_book%3Ademo%7Cnone")
    assert "no item open_book:demo|none" in one(page, "#shown").text


def test_the_address_keeps_item_and_filters(page: webdriver.Chrome) -> None:
    choose(page, "task", "closed_book")
    choose(page, "sort", "f1")
    one(page, "#filters [name=search]").send_keys("person")
    one(page, "#list li:nth-child(30) button").click()
    question = one(page, "#detail h3").text
    in_address(page, item=f"closed_book:{one(page, '#detail .id').text}", search="person")
    page.refresh()
    unpacked(page)
    assert one(page, "#detail h3").text == question
    assert n_shown(page) == 80
    assert one(page, "#position").text == "30 of 80"
    assert Select(one(page, "#filters [name=sort]")).first_selected_option.text.startswith("F1")
    link = one(page, "#detail .id").get_dom_attribute("href") or ""
    assert set(parse_qs(link.removeprefix("#"))) == {"item"}


def in_address(page: webdriver.Chrome, **expected: str) -> None:
    """Wait until the address has these; it is written a moment later."""

    def there(page: webdriver.Chrome) -> bool:
        found = parse_qs(page.current_url.partition("#")[2])
        return expected == {name: found.get(name, [""])[0] for name in expected}

    WebDriverWait(page, 5).until(there)


def test_a_link_whose_filters_hide_its_item_shows_the_item(
    browser: webdriver.Chrome, trial_folder: Path
) -> None:
    link = "#item=closed_book%3Ademo%7Cclosed_book-41&task=open_book&sort=no-such-order"
    page = opened(browser, trial_folder / "report.html", link)
    assert one(page, "#detail h3").text == "Where does person 41 live?"
    assert n_shown(page) == 160


def test_keys_go_through_the_items_and_the_link_follows(page: webdriver.Chrome) -> None:
    def position() -> str:
        return one(page, "#position").text

    choose(page, "task", "open_book")
    assert position() == "1 of 80"
    one(page, "body").send_keys("j")
    assert position() == "1 of 80", "keys are the explorer's only while the focus is in it"
    detail = one(page, "#detail")
    detail.send_keys("j")
    detail.send_keys(Keys.ARROW_RIGHT)
    assert position() == "3 of 80"
    detail.send_keys("k")
    detail.send_keys(Keys.ARROW_LEFT)
    assert position() == "1 of 80"
    detail.send_keys("j" * 55)
    assert position() == "56 of 80"
    assert one(page, "#page").text == "Page 2 / 2"
    assert one(page, "#list [aria-current] .question").text == one(page, "#detail h3").text
    question = one(page, "#detail h3").text
    in_address(page, item=f"open_book:{one(page, '#detail .id').text}")
    page.refresh()
    unpacked(page)
    assert one(page, "#detail h3").text == question
    one(page, "#detail").send_keys("/")
    page.switch_to.active_element.send_keys("jk")
    assert one(page, "#filters [name=search]").get_attribute("value") == "jk"


def test_the_focus_stays_where_the_reader_is(page: webdriver.Chrome) -> None:
    row = one(page, "#list li:nth-child(2) button")
    row.click()
    assert page.switch_to.active_element == row
    row.send_keys(Keys.ARROW_DOWN)
    third = one(page, "#list li:nth-child(3) button")
    assert page.switch_to.active_element == third
    third.send_keys(Keys.ENTER)
    assert one(page, "#position").text == "3 of 160"
    assert page.switch_to.active_element == third
    following = one(page, "#next")
    following.click()
    assert page.switch_to.active_element == following
    assert one(page, "#position").text == "4 of 160"


def test_several_arms_and_temperatures(browser: webdriver.Chrome, tmp_path: Path) -> None:
    write_trial(tmp_path, n=9, treatments=("careful", "polite"), temps=("0.0", "0.7"))
    page = opened(browser, make_report(tmp_path), "#item=open_book%3Aother%7Copen_book-2&temp=0.7")
    assert len(texts(page, "article.verdict")) == 8
    assert "only 8 items" in one(page, ".warnings").text
    assert Select(one(page, "#filters [name=temp]")).first_selected_option.text == "0.7"
    choose(page, "treatment", "polite")
    assert "“polite”" in texts(page, "#detail .arm h4")[1]


def test_the_raw_line_is_the_files_own(page: webdriver.Chrome, trial_folder: Path) -> None:
    parts = parts_of(trial_folder)
    lines = {
        (condition, line.custom_id.replace(f"|{line.prompt}|", "|")): line
        for condition, line in parts.raw_lines()
    }
    for number in (1, *range(len(UNTRUSTED), len(UNTRUSTED) + 2), 80):
        choose(page, "task", "open_book")
        move_to(page, number)
        for condition, arm in zip(
            ("control", "treatment"), page.find_elements(By.CSS_SELECTOR, ".arm"), strict=True
        ):
            one(arm, ".request summary").click()
            WebDriverWait(page, 5).until(lambda _, arm=arm: texts(arm, ".request pre.raw"))
            *sent, decoding, raw = [
                str(each.get_property("textContent"))
                for each in arm.find_elements(By.CSS_SELECTOR, ".request pre")
            ]
            line = RawLine.model_validate_json(raw)
            assert line == lines[condition, line.custom_id.replace(f"|{line.prompt}|", "|")]
            assert raw.isprintable() or "\n" in raw
            assert Decoding.model_validate_json(decoding).seed == 7
            assert sent[1].startswith("Answer from the passage.\n\nPassage: Passage ")


def move_to(page: webdriver.Chrome, number: int) -> None:
    page.execute_script(
        """
        const wanted = arguments[0] - 1;
        for (const name of ["page-back", "page-on"]) {
          const button = document.getElementById(name);
          if (wanted < 50 === (name === "page-back") && !button.disabled) button.click();
        }
        document.getElementById("list").children[wanted % 50].firstElementChild.click();
        """,
        number,
    )


# What is marked


@contextmanager
def before_the_page(browser: webdriver.Chrome, script: str) -> Iterator[None]:
    """Run a script in pages before their own ones."""
    added = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def test_differences_gold_answers_and_quotes_are_marked(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    write_trial(tmp_path, n=9)
    items = list(read_jsonl(tmp_path / "open_book.jsonl", Item))
    first = items[0].model_copy(
        update={
            "answers": ["Lyon", "C++ (old)"],
            "context": "Lyonnais live near LYON. Lyon knows C++\n(old). Old Porto is far; İ Lyon.",
        }
    )
    write_jsonl(tmp_path / "open_book.jsonl", [first, *items[1:]])
    responses = {
        "control": "She lives in Porto, I think.",
        "careful": 'She lives in Lyon, as "Old Porto is far" says.',
    }
    for prompt, response in responses.items():
        path = tmp_path / "raw" / f"open_book.{prompt}.t0.0.p000.jsonl"
        lines = list(read_jsonl(path, RawLine))
        lines[0] = lines[0].model_copy(update={"response_text": response})
        write_jsonl(path, lines)
    write_csv(tmp_path / "answers.csv", Answer, answers(parts_of(tmp_path)))
    page = opened(browser, make_report(tmp_path))
    assert texts(page, "#detail .text mark.gold") == ["LYON", "Lyon", "C++\n(old)", "Lyon"]
    assert texts(page, "#detail .text mark.by-treatment") == ["Old Porto is far"]
    control, treatment = page.find_elements(By.CSS_SELECTOR, "#detail .response")
    assert [control.text, treatment.text] == list(responses.values())
    assert texts(control, "del") == ["Porto", "I think"]
    assert "Lyon" in texts(treatment, "ins")
    assert not texts(control, "ins") + texts(treatment, "del")
    one(page, "#marks").click()
    assert not texts(page, "#detail .response del, #detail .response ins")
    assert page.switch_to.active_element == one(page, "#marks")


# Before, while and instead of unpacking


HELD_BACK = """
    window.held = [];
    window.requestIdleCallback = (callback) => held.push(callback);
"""


def test_a_count_that_is_clicked_before_the_items_are_unpacked_opens_them(
    browser: webdriver.Chrome, trial_folder: Path
) -> None:
    with before_the_page(browser, HELD_BACK):
        browser.get("about:blank")
        browser.get((trial_folder / "report.html").as_uri())
        assert one(browser, "#shown").text == "Unpacking the items…"
        button = browser.find_elements(By.CSS_SELECTOR, "[data-show]")[-1]
        browser.execute_script("arguments[0].click()", button)
        browser.execute_script("held.forEach((callback) => callback())")
        unpacked(browser)
        assert n_shown(browser) == int(button.text)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("delete window.DecompressionStream", "this browser cannot unpack them"),
        ("window.atob = () => 'x'; delete Uint8Array.fromBase64", "damaged or was cut off"),
    ],
)
def test_items_that_cannot_be_unpacked_are_told(
    browser: webdriver.Chrome, trial_folder: Path, script: str, message: str
) -> None:
    with before_the_page(browser, script):
        browser.get("about:blank")
        browser.get((trial_folder / "report.html").as_uri())
        WebDriverWait(browser, 5).until(lambda page: message in one(page, "#shown").text)


def test_other_browsers_decode_too(browser: webdriver.Chrome, trial_folder: Path) -> None:
    older = """
        delete Uint8Array.fromBase64; delete window.requestIdleCallback; delete Intl.Segmenter;
    """
    with before_the_page(browser, older):
        page = opened(browser, trial_folder / "report.html")
        assert n_shown(page) == 160
        assert texts(page, "#detail .response del")


def test_a_copied_link_leads_to_the_item(page: webdriver.Chrome, trial_folder: Path) -> None:
    page.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]},
    )
    move_to(page, 42)
    one(page, "#copy-link").click()
    WebDriverWait(page, 5).until(lambda page: one(page, "#copied").text == "Copied.")
    copied = page.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    expected = (trial_folder / "report.html").as_uri() + "#item=open_book%3Ademo%7Copen_book-41"
    assert copied == expected
