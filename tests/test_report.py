"""The report: what it says, what it shows in a real browser, and what it must never run."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

from workflow_scripts.config.schema import Stats, Unsupported
from workflow_scripts.config.stages import FrontSettings
from workflow_scripts.config.trials import Trial
from workflow_scripts.errors import UserError
from workflow_scripts.files import write_csv, write_json, write_jsonl
from workflow_scripts.records import TASKS, ErrorRow, Item, ItemScores, Prediction, custom_id
from workflow_scripts.report import front, trial, verdict, wording
from workflow_scripts.report.charts import Row, forest
from workflow_scripts.report.explorer import explorer_data, outcome
from workflow_scripts.report.trial import prompt_diff
from workflow_scripts.score.items import Scorer, ScoreSettings, score_items
from workflow_scripts.stats.comparison import Comparison, Estimate, Meta, Subgroup
from workflow_scripts.stats.contrasts import contrasts
from workflow_scripts.stats.equivalence import Equivalence

INJECTIONS = [
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 2</script>",
    "<img src=x onerror='window.hacked = 3'>",
    '"><svg onload="window.hacked = 4">',
    "<!-- <script> window.hacked = 5",
    "{{ 7 * 7 }} {% raw %}",
    "javascript:window.hacked = 6",
    "<iframe srcdoc='<script>parent.hacked = 7</script>'></iframe>",
    "\u2028</style><style>body{display:none}</style>",
]

CITIES = ("Lyon", "Bremen", "Porto", "Gdańsk", "Turin")


def make_items(n: int, task: str, injected: list[str]) -> list[Item]:
    """``n`` items, every fourth unanswerable; the first ones carry the injected texts."""
    items = []
    for number in range(n):
        text = injected[number] if number < len(injected) else ""
        unanswerable = number % 4 == 3
        city = CITIES[number % len(CITIES)]
        items.append(
            Item(
                id=f"{task}-{number}",
                dataset="demo" if number % 2 else "other",
                question=f"Where does person {number} live? {text}",
                answers=[] if unanswerable else [f"{city} {text}".strip()],
                context=f"Passage {number // 5}. {text}" if task == "open_book" else None,
                is_unanswerable=unanswerable,
                cluster_id=f"passage-{number // 5}",
            )
        )
    return items


def write_trial(
    folder: Path,
    *,
    n: int = 80,
    injected: list[str] | None = None,
    treatments: tuple[str, ...] = ("treatment",),
    temps: tuple[str, ...] = ("0.0",),
    model: str = "assay-demo",
    prompt_set: str = "careful",
    seed: int = 1,
) -> Trial:
    """Write all files of a trial whose treatment abstains where the control makes things up."""
    injected = injected or []
    draw = random.Random(seed)
    text = injected[1] if injected else ""
    arms = {"control": {"prompt": "control", "text": f"Answer every question. {text}"}}
    for name in treatments:
        arms[name] = {
            "prompt": "careful" if name == "treatment" else name,
            "text": f"Answer only if you are sure. If you do not know, say so. {name} {text}",
        }
    settings = Trial.model_validate(
        {
            "experiment": "demo",
            "title": f"Demo {text}" if injected else None,
            "note": f"The embedded model is a demonstration. {text}",
            "backend": "llama_cpp",
            "engine": "llama_cpp",
            "model": model,
            "decoding_name": "default",
            "decoding": {
                "max_new_tokens": {"closed_book": 32, "open_book": 32},
                "top_p": None,
                "top_k": None,
                "stop": ["\n", *injected[:1]],
            },
            "prompt_set": prompt_set,
            "arms": arms,
            "temps": list(temps),
            "folder": folder.as_posix(),
        }
    )
    items = {task: make_items(n, task, injected) for task in TASKS}
    predictions, errors = [], []
    for task, condition, temp in product(TASKS, arms, temps):
        for number, item in enumerate(items[task]):
            shared = {
                "custom_id": custom_id(item.dataset, item.id, condition, temp, 0, task),
                "dataset": item.dataset,
                "item_id": item.id,
                "condition": condition,
                "temp": temp,
                "sample_index": 0,
                "type": task,
            }
            if number == n - 1 and condition != "control":
                message = f"no answer within 60 s {text}"
                errors.append(ErrorRow(**shared, error_type="timeout", error_message=message))
                continue
            knows = draw.random() < (0.75 if task == "open_book" else 0.3)
            response = item.answers[0] if knows and item.answers else "Paris"
            if condition != "control" and draw.random() < (0.1 if knows else 0.7):
                response = "I don't know."
            if number < len(injected):
                response += f" {injected[number]}"
            predictions.append(
                Prediction(
                    **shared,
                    request_id=f"r{number}",
                    finish_reason="stop",
                    response_text=response,
                    prompt_tokens=50,
                    completion_tokens=4,
                    total_tokens=54,
                )
            )
    by_key = {item.key: item for of_task in items.values() for item in of_task}
    rules = ScoreSettings(unsupported=Unsupported(), abstention_phrases=[])
    scores = score_items(predictions, Scorer(by_key, rules))
    stats = Stats(bootstrap_samples=500, permutation_samples=500)
    for task in TASKS:
        write_jsonl(folder / f"{task}.jsonl", items[task])
    write_json(folder / "significance.json", contrasts(scores, by_key, stats))
    write_json(folder / "trial.json", settings.model_dump(mode="json"))
    write_csv(folder / "predictions.csv", Prediction, predictions)
    write_csv(folder / "per_item_scores.csv", ItemScores, scores)
    write_csv(folder / "errors.csv", ErrorRow, errors)
    cost = {
        "requests": 2 * n,
        "failed": 0,
        "truncated": 3,
        "prompt_tokens": 100 * n,
        "completion_tokens": 8 * n,
        "total_tokens": 108 * n,
        "latency_s": {"mean": 0.031, "p50": 0.03, "p95": 0.05},
        "total_latency_s": 0.062 * n,
    }
    write_json(
        folder / "local_costs.json",
        {"schema_version": 1, "by_condition": dict.fromkeys(arms, cost)},
    )
    rates = {"input_per_million": 0.15, "output_per_million": 0.6}
    paid = {
        "prompt_tokens": {"engine": 100 * n, "estimate": 0},
        "completion_tokens": {"engine": 7 * n, "estimate": n},
        "cached_tokens": None,
        "estimated_by": "estimated as 4 bytes of text a token",
        "from_batch_jobs": 0,
        "cost_usd": 0.0123,
    }
    write_json(
        folder / "costs.json",
        {
            "schema_version": 1,
            "price": {"rates": rates, "batch_discount": 0.5, "source": text, "date": "2026-10"},
            "note": None,
            "by_condition": dict.fromkeys(arms, paid),
        },
    )
    lengths = {
        "system_tokens": 12,
        "prompt_tokens": {"mean": 50.2, "p50": 50, "p95": 61, "max": 70},
    }
    write_json(
        folder / "audit.json",
        {
            "schema_version": 1,
            "tokenizer": "assay-demo.gguf",
            "n_ctx": 512,
            "exceeds_context": 0,
            "prompts": {task: dict.fromkeys(arms, lengths) for task in TASKS},
        },
    )
    return settings


def trial_arguments(folder: Path, output: str) -> list[str]:
    """The arguments that the rule gives to the trial's command."""
    files = {
        "trial": "trial.json",
        "predictions": "predictions.csv",
        "scores": "per_item_scores.csv",
        "significance": "significance.json",
        "local-costs": "local_costs.json",
        "costs": "costs.json",
        "audit": "audit.json",
        "errors": "errors.csv",
        "output": output,
    }
    items = [str(folder / f"{task}.jsonl") for task in TASKS]
    named = [part for name, file in files.items() for part in (f"--{name}", str(folder / file))]
    return [*named, "--items", *items]


def run_main(module: ModuleType, arguments: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["report", *arguments])
        module.main()


def make_report(folder: Path) -> Path:
    run_main(trial, trial_arguments(folder, "report.html"))
    return folder / "report.html"


# What the page says: sentences and numbers


def estimate(difference: float, low: float | None, high: float | None, q: float) -> Estimate:
    return Estimate(
        control_mean=0.5,
        treatment_mean=0.5 + difference,
        difference=difference,
        ci_low=low,
        ci_high=high,
        naive_ci_low=low,
        naive_ci_high=high,
        permutation_p=q,
        wilcoxon_p=q,
        hodges_lehmann=difference,
        cohens_d=0.1,
        cliffs_delta=0.1,
        q_value=q,
    )


def comparison(metrics: dict[str, Estimate], tost: dict[str, Equivalence] | None = None) -> Any:
    return Comparison(
        n_items=200 if metrics else 0,
        meta=Meta(
            n_clusters=200,
            n_unpaired=0,
            n_unanswerable=0,
            confidence=0.95,
            bootstrap_samples=2000,
            permutation_samples=5000,
            random_seed=1,
            warnings=[],
        ),
        metrics=metrics,
        tost=tost or {},
    )


CUT = estimate(-0.18, -0.24, -0.12, 0.0004)
LOSS = estimate(-0.03, -0.055, -0.004, 0.021)
NOTHING = estimate(0.005, -0.02, 0.03, 0.7)
CORRECTED_AWAY = estimate(0.04, 0.002, 0.078, 0.09)


@pytest.mark.parametrize(
    ("false_answers", "exact_match", "standing", "text"),
    [
        (
            CUT,
            LOSS,
            "trade-off",
            "Prompt X cut false answers by 18.0 points (95% CI 12.0 to 24.0; q < 0.001) and cost "
            "3.0 points of exact match (95% CI 0.4 to 5.5; q = 0.021).",
        ),
        (
            CUT,
            NOTHING,
            "better",
            "Prompt X cut false answers by 18.0 points (95% CI 12.0 to 24.0; q < 0.001). "
            "No detectable difference in exact match: between −2.0 and +3.0 points "
            "(95% CI; q = 0.700).",
        ),
        (
            CORRECTED_AWAY,
            LOSS,
            "worse",
            "Prompt X cost 3.0 points of exact match (95% CI 0.4 to 5.5; q = 0.021). False answers "
            "changed by +4.0 points (95% CI +0.2 to +7.8; q = 0.090): not clear once the number of "
            "tests is taken into account.",
        ),
        (
            NOTHING,
            estimate(0.1, None, None, 1.0),
            "unclear",
            "No detectable difference in false answers: between −2.0 and +3.0 points "
            "(95% CI; q = 0.700). Exact match has no interval: all items belong to one passage.",
        ),
    ],
)
def test_the_verdict_says_what_the_interval_says(
    false_answers: Estimate, exact_match: Estimate, standing: str, text: str
) -> None:
    result = comparison({"em": exact_match, "false_answer_rate": false_answers})
    assert verdict.sentence(result, "Prompt X") == text
    assert verdict.standing(result) == standing


def test_the_verdict_names_equivalence_and_abstentions() -> None:
    result = comparison(
        {"em": NOTHING, "abstain_rate": estimate(0.22, 0.2, 0.24, 0.001)},
        {"em": Equivalence(margin=0.05, p_value=0.001, equivalent=True)},
    )
    assert verdict.sentence(result, "Prompt X") == (
        "No detectable difference in exact match: between −2.0 and +3.0 points (95% CI; "
        "q = 0.700); equivalent within ±5.0 points. It abstained on 22.0 points more of the items "
        "(95% CI 20.0 to 24.0; q = 0.001)."
    )


def test_a_cost_on_answerable_items_is_not_hidden_by_the_total() -> None:
    metrics = {"em": estimate(0.25, 0.2, 0.3, 0.001), "false_answer_rate": NOTHING}
    result = comparison(metrics)
    result.subgroups["answerable"] = Subgroup(200, 60, {"em": LOSS})
    assert verdict.sentence(result, "Prompt X").startswith(
        "Prompt X gained 25.0 points of exact match (95% CI 20.0 to 30.0; q = 0.001). "
        "Among the 200 answerable items it cost 3.0 points of exact match "
        "(95% CI 0.4 to 5.5; q = 0.021)."
    )
    assert verdict.standing(result) == "trade-off"


def test_the_verdict_of_nothing() -> None:
    assert "Nothing to compare" in verdict.sentence(comparison({}), "Prompt X")


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_no_claim_without_an_interval_beside_zero(
    difference: float, below: float, above: float, q: float
) -> None:
    found = estimate(difference, difference - below, difference + above, q)
    text = verdict.sentence(comparison({"em": found}), "Prompt X")
    claims = "gained" in text or "cost" in text
    one_side = difference - below > 0 or difference + above < 0
    assert claims == (one_side and q < 0.05)
    assert ("No detectable difference" in text) == (not one_side)


def test_abstaining_is_judged_by_answerability() -> None:
    more = estimate(0.2, 0.1, 0.3, 0.001)
    assert verdict.effect("abstain_rate", more, 0.95) == "differs"
    assert verdict.effect("abstain_rate", more, 0.95, "unanswerable") == "better"
    assert verdict.effect("abstain_rate", more, 0.95, "answerable") == "worse"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (wording.points(-0.0004), "0.0"),
        (wording.points(-0.0004, signed=True), "0.0"),
        (wording.points(-0.123, signed=True), "−12.3"),
        (wording.points(0.1, signed=True), "+10.0"),
        (wording.points(None), "–"),
        (wording.count(12345), "12,345"),
        (wording.p_value(0.0009), "< 0.001"),
        (wording.p_value(0.0214), "0.021"),
    ],
)
def test_numbers(shown: str, expected: str) -> None:
    assert shown == expected


@given(st.text(), st.text())
def test_a_prompt_diff_holds_both_prompts(control: str, treatment: str) -> None:
    pieces = prompt_diff(control, treatment)
    assert "".join(text for kind, text in pieces if kind != "added") == control
    assert "".join(text for kind, text in pieces if kind != "removed") == treatment


def test_a_chart_escapes_its_labels() -> None:
    drawn = forest([Row(text, CUT, "better") for text in INJECTIONS], INJECTIONS[3])
    root = ElementTree.fromstring(drawn)  # noqa: S314 - our own text
    assert root.get("aria-label") == INJECTIONS[3]
    assert {each.tag.rpartition("}")[2] for each in root.iter()} == {
        "svg",
        "g",
        "path",
        "line",
        "text",
    }
    assert INJECTIONS[0][:20] in "".join(root.itertext())


def test_a_chart_of_nothing_is_nothing() -> None:
    assert forest([Row("Exact match"), Row("one passage", NOTHING, "untested")], "empty") == ""


# The data of the explorer


@pytest.mark.parametrize(
    ("em", "abstain", "responses", "expected"),
    [
        (1.0, 0.0, ["Lyon"], "correct"),
        (0.0, 0.0, ["Paris"], "wrong"),
        (0.0, 1.0, ["I don't know."], "abstained"),
        (0.0, 0.0, ["I can't help with that."], "refused"),
        (0.5, 0.0, ["Lyon", "Paris"], "mixed"),
        (0.0, 0.5, ["Paris", "I don't know."], "mixed"),
        (0.0, 0.0, ["Paris", ""], "mixed"),
        (0.0, 0.0, [" \n"], "empty"),
        (0.0, 0.0, ["...", "The."], "empty"),
        (0.0, 0.0, [None], "failed"),
        (1.0, 0.0, ["Lyon", None], "mixed"),
    ],
)
def test_outcomes(em: float, abstain: float, responses: list[str | None], expected: str) -> None:
    item = make_items(1, "open_book", [])[0]
    samples = [
        [0, text, "stop", 1, 1] if text is not None else [0, "no answer"] for text in responses
    ]
    assert outcome(item, scores_of(em, abstain), samples) == expected
    assert outcome(item, None, [[0, "timeout"]]) == "failed"


@pytest.mark.parametrize(
    ("text", "finish_reason", "expected"),
    [
        ("The.", "stop", "empty"),  # EM is 1 by the official evaluation, but it is not correct
        ("", "length", "truncated"),
        ("", "refused:content_filter", "refused"),
    ],
)
def test_an_unanswerable_item_is_never_correct(
    text: str, finish_reason: str, expected: str
) -> None:
    item = make_items(1, "open_book", [])[0].model_copy(
        update={"is_unanswerable": True, "answers": []}
    )
    assert outcome(item, scores_of(1.0, 0.0), [[0, text, finish_reason, 1, 1]]) == expected


def scores_of(em: float, abstain: float) -> ItemScores:
    zero = {f"{name}_std": 0.0 for name in ("em", "f1", "abstain_rate", "false_answer_rate")}
    return ItemScores(
        item_key="demo|1",
        type="open_book",
        condition="control",
        temp="0.0",
        em=em,
        f1=em,
        abstain_rate=abstain,
        false_answer_rate=0.0,
        **zero,
    )


def test_an_answer_to_an_unknown_item_is_an_error() -> None:
    stray = Prediction(
        custom_id="demo|7|control|0.0|0|open_book",
        dataset="demo",
        item_id="7",
        condition="control",
        temp="0.0",
        sample_index=0,
        type="open_book",
        request_id="r",
        finish_reason="stop",
        response_text="Lyon",
    )
    with pytest.raises(UserError, match=r"'demo\|7' \(open_book\)"):
        explorer_data({}, [stray], [], [])


# The pages in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    """Headless Chromium; a missing one fails the tests, since nothing else checks the pages."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.fail(
            "these tests need Chromium and chromedriver on the PATH "
            "(Debian: apt-get install chromium chromium-driver)"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless=new",
        "--no-sandbox",  # containers run as root, where Chromium's sandbox does not start
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1280,1000",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield chrome
    chrome.quit()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trial with its report; every text in it that others wrote tries to break out."""
    made = tmp_path_factory.mktemp("results") / "trial #1 (50%)"
    write_trial(made, injected=INJECTIONS)
    make_report(made)
    return made


@pytest.fixture
def page(browser: webdriver.Chrome, folder: Path) -> webdriver.Chrome:
    """The trial's report, freshly opened."""
    return opened(browser, folder / "report.html")


def opened(browser: webdriver.Chrome, path: Path, fragment: str = "") -> webdriver.Chrome:
    browser.get("about:blank")
    browser.get_log("browser")  # type: ignore[no-untyped-call] # forget what other pages logged
    browser.get(path.as_uri() + fragment)
    return browser


def one(page: webdriver.Chrome | WebElement, selector: str) -> WebElement:
    return page.find_element(By.CSS_SELECTOR, selector)


def texts(page: webdriver.Chrome | WebElement, selector: str) -> list[str]:
    return [each.text for each in page.find_elements(By.CSS_SELECTOR, selector)]


def choose(page: webdriver.Chrome, name: str, value: str) -> None:
    Select(one(page, f"#filters [name={name}]")).select_by_value(value)


def n_shown(page: webdriver.Chrome) -> int:
    return int(one(page, "#shown").text.split()[0].replace(",", ""))


def significance_of(folder: Path) -> dict[str, Any]:
    results = json.loads((folder / "significance.json").read_text(encoding="utf-8"))["results"]
    found: dict[str, Any] = results["treatment"]["0.0"]
    return found


def in_points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")


def test_the_page_is_whole_and_silent(page: webdriver.Chrome) -> None:
    assert page.get_log("browser") == []  # type: ignore[no-untyped-call]
    assert page.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert texts(page, "main h2") == ["Verdict", "Effects", "Items", "How it was done"]
    assert len(page.find_elements(By.CSS_SELECTOR, ".chart svg")) == 4
    assert "The embedded model is a demonstration." in one(page, "#verdict .note").text
    assert "2 requests got no answer (treatment: 2)" in one(page, ".warnings").text
    assert "no answer within 60 s" in one(page, "#how").text


def test_the_numbers_are_those_of_significance_json(page: webdriver.Chrome, folder: Path) -> None:
    for task, result in significance_of(folder).items():
        card = one(page, f"[id='contrast-treatment-0.0-{task}']")
        for name, numbers in result["metrics"].items():
            row = one(card, f"tr[data-metric={name}]")
            assert one(row, ".difference").text == in_points(numbers["difference"])
            low, high = in_points(numbers["ci_low"]), in_points(numbers["ci_high"])
            assert one(row, ".interval").text == f"{low} to {high}"
            chart = one(card, ".chart").get_attribute("textContent") or ""
            assert f"{in_points(numbers['difference'])}  [{low}, {high}]" in chart
        verdict_text = one(page, f".verdict:has([href='#contrast-treatment-0.0-{task}'])").text
        cut = result["metrics"]["false_answer_rate"]
        assert f"cut false answers by {-100 * cut['difference']:.1f} points" in verdict_text
        assert f"CI {-100 * cut['ci_high']:.1f} to {-100 * cut['ci_low']:.1f}" in verdict_text


def test_filters_and_search(page: webdriver.Chrome, folder: Path) -> None:
    assert n_shown(page) == 160
    choose(page, "task", "closed_book")
    choose(page, "answerable", "no")
    assert n_shown(page) == 20
    choose(page, "after", "abstained")
    with (folder / "per_item_scores.csv").open(encoding="utf-8", newline="") as stream:
        abstained = [
            row["item_key"]
            for row in csv.DictReader(stream)
            if (row["condition"], row["type"]) == ("treatment", "closed_book")
            and float(row["abstain_rate"]) == 1
            and int(row["item_key"].rsplit("-", 1)[1]) % 4 == 3
        ]
    assert 0 < n_shown(page) == len(abstained)
    one(page, "#reset").click()
    one(page, "#filters [name=search]").send_keys("PERSON 42")
    assert n_shown(page) == 2
    one(page, "#filters [name=search]").send_keys(" nowhere to be found")
    assert n_shown(page) == 0
    assert "No item matches" in one(page, "#list").text


def test_counts_in_tables_open_their_items(page: webdriver.Chrome, folder: Path) -> None:
    buttons = page.find_elements(By.CSS_SELECTOR, "[data-show]")
    for button in buttons:
        expected = int(button.text)
        page.execute_script("arguments[0].click()", button)
        assert n_shown(page) == expected
    shown = {json.loads(each.get_attribute("data-show") or "")["task"] for each in buttons}
    assert shown == set(TASKS)


def test_sorting_puts_losses_first(page: webdriver.Chrome) -> None:
    choose(page, "sort", "em")
    assert one(page, "#list li:first-child .badges").text == "✓ correct → – abstained"


def test_a_link_opens_its_item(browser: webdriver.Chrome, folder: Path) -> None:
    page = opened(browser, folder / "report.html", "#item=closed_book%3Ademo%7Cclosed_book-41")
    assert one(page, "#detail h3").text == "Where does person 41 live?"
    page = opened(browser, folder / "report.html", "#item=open_book%3Ademo%7Cnone")
    assert "no item open_book:demo|none" in one(page, "#shown").text


def test_keys_go_through_the_items_and_the_link_follows(page: webdriver.Chrome) -> None:
    body = one(page, "body")

    def position() -> str:
        return one(page, ".detail-bar .small").text

    choose(page, "task", "open_book")
    page.execute_script("document.activeElement.blur()")
    assert position() == "1 of 80"
    body.send_keys("j")
    body.send_keys(Keys.ARROW_RIGHT)
    assert position() == "3 of 80"
    body.send_keys("k")
    body.send_keys(Keys.ARROW_LEFT)
    assert position() == "1 of 80"
    for _ in range(55):
        body.send_keys("j")
    assert position() == "56 of 80"
    assert one(page, "#page").text == "2 / 2"
    assert one(page, "#list [aria-current] .question").text == one(page, "#detail h3").text
    question = one(page, "#detail h3").text
    page.refresh()
    assert one(page, "#detail h3").text == question
    body = one(page, "body")
    body.send_keys("/")
    page.switch_to.active_element.send_keys("jk")
    assert one(page, "#filters [name=search]").get_attribute("value") == "jk"


def test_untrusted_text_stays_text(page: webdriver.Chrome) -> None:
    for text in INJECTIONS:
        heading = one(page, "#detail h3").get_property("textContent")
        assert str(heading).endswith(f"live? {text}")
        for response in page.find_elements(By.CSS_SELECTOR, "#detail .response"):
            assert str(response.get_property("textContent")).endswith(text)
        assert page.execute_script("return window.hacked") is None
        one(page, "body").send_keys("j")
    breakouts = "main script, img, iframe, [onload], [onerror], [href^=javascript]"
    assert page.find_elements(By.CSS_SELECTOR, breakouts) == []
    assert len(page.find_elements(By.CSS_SELECTOR, "script, style")) == 4
    assert one(page, "h1").text == f"Demo {INJECTIONS[1]}"
    assert INJECTIONS[1] in one(page, ".prompts pre").text
    assert one(page, "body").is_displayed()


def test_the_page_may_not_reach_the_network(page: webdriver.Chrome) -> None:
    blocked = page.execute_async_script(
        """
        const done = arguments[0];
        addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective));
        fetch("https://example.com").catch(() => {});
        """
    )
    assert blocked == "connect-src"
    inline = "const s = document.createElement('script'); s.textContent = 'window.hacked = 9';"
    page.execute_script(f"{inline} document.body.append(s);")
    assert page.execute_script("return window.hacked") is None


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out(page: webdriver.Chrome, width: int) -> None:
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        page.refresh()
        root = "document.documentElement"
        sizes = page.execute_script(f"return [{root}.scrollWidth, {root}.clientWidth]")
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert sizes[0] == sizes[1] <= width


def test_the_same_inputs_give_the_same_bytes(folder: Path) -> None:
    """In another process, where sets and dicts hash differently."""
    command = [sys.executable, "-m", trial.__name__, *trial_arguments(folder, "again.html")]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    assert (folder / "again.html").read_bytes() == (folder / "report.html").read_bytes()


def test_several_arms_and_temperatures(browser: webdriver.Chrome, tmp_path: Path) -> None:
    write_trial(tmp_path, n=9, treatments=("careful", "polite"), temps=("0.0", "0.7"))
    page = opened(browser, make_report(tmp_path), "#item=open_book%3Aother%7Copen_book-2&temp=0.7")
    assert len(texts(page, "article.verdict")) == 8
    assert "only 8 items" in one(page, ".warnings").text
    assert Select(one(page, "#filters [name=temp]")).first_selected_option.text == "0.7"
    choose(page, "treatment", "polite")
    assert "“polite”" in texts(page, "#detail .arm h4")[1]


def test_the_front_page_compares_the_trials(
    browser: webdriver.Chrome, folder: Path, tmp_path: Path
) -> None:
    first = Trial.model_validate_json((folder / "trial.json").read_text(encoding="utf-8"))
    second = write_trial(tmp_path / "b", n=9, model="other-model", seed=2)
    settings = FrontSettings(title="Two models", note="A demonstration.", trials=[first, second])
    write_json(tmp_path / "front.json", settings.model_dump(mode="json"))
    output = folder.parent / "report.html"
    run_main(front, ["--settings", str(tmp_path / "front.json"), "--output", str(output)])

    page = opened(browser, output)
    assert page.get_log("browser") == []  # type: ignore[no-untyped-call]
    assert one(page, "h1").text == "Two models"
    assert one(page, ".note").text == "A demonstration."
    links = page.find_elements(By.CSS_SELECTOR, "#verdict h3 a")
    assert [link.text for link in links] == ["assay-demo", "other-model"]
    for link, made in zip(links, (folder, tmp_path / "b"), strict=True):
        address = urlsplit(str(link.get_property("href")))
        assert Path(url2pathname(address.path)) == made / "report.html"
        assert not (link.get_dom_attribute("href") or "").startswith(("/", "file:"))
    cells = texts(page, "tbody td[data-metric=false_answer_rate]")
    for cell, (made, task) in zip(
        cells, product((folder, tmp_path / "b"), ("closed_book", "open_book")), strict=True
    ):
        numbers = significance_of(made)[task]["metrics"]["false_answer_rate"]
        assert cell.startswith(in_points(numbers["difference"]))

    sort = page.find_elements(By.CSS_SELECTOR, ".sortable thead button")[5]
    sort.click()
    ascending = texts(page, "tbody td[data-metric=false_answer_rate]")
    sort.click()
    assert texts(page, "tbody td[data-metric=false_answer_rate]") == ascending[::-1]
    assert sorted(ascending) == sorted(cells)
    page.execute_script("arguments[0].click()", links[0])
    assert one(page, "h1").text == f"Demo {INJECTIONS[1]}"
