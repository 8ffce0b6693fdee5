"""The figures: their numbers are those of the files, and saving them works in a real browser."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import struct
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
from browser import one, opened
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from question_records import QUESTIONS, ItemScores
from report_files import INJECTIONS, make_report, write_trial
from selenium import webdriver
from selenium.webdriver.common.by import By

from workflow_scripts.comparisons.confidences import ConfidenceContrast
from workflow_scripts.comparisons.records import SelectiveContrast
from workflow_scripts.config.trial import Trial
from workflow_scripts.core.files import read_csv, read_settings
from workflow_scripts.core.metric import TOKEN_PROBABILITY
from workflow_scripts.core.records import Answer, custom_id
from workflow_scripts.costs.records import Costs, LocalCosts
from workflow_scripts.report.contrast import Contrast, contrasts
from workflow_scripts.report.figures import vega
from workflow_scripts.report.figures.collection import trial_figures
from workflow_scripts.report.figures.confidence import confidence_figure, confidence_numbers
from workflow_scripts.report.figures.contrasts import contrasts_figure
from workflow_scripts.report.figures.cost_quality import resource
from workflow_scripts.report.figures.discordant import discordant_figure
from workflow_scripts.report.figures.distributions import Spread, Spreads, distributions_figure
from workflow_scripts.report.figures.dose_response import dose_response_figure
from workflow_scripts.report.figures.figure import Figure
from workflow_scripts.report.figures.forest import Row, forest
from workflow_scripts.report.figures.paired import bins, paired_figure
from workflow_scripts.report.figures.power import curve as power_curve
from workflow_scripts.report.figures.power import power_figure
from workflow_scripts.report.figures.reliability import reliability_figure, unstated
from workflow_scripts.report.figures.risk_coverage import curve as risk_curve
from workflow_scripts.report.figures.risk_coverage import risk_coverage_figure
from workflow_scripts.report.inputs import read_companions, read_results
from workflow_scripts.stats.comparison import Comparison, Estimate, Meta
from workflow_scripts.stats.confidence import Responses
from workflow_scripts.stats.confidence import differences as differences_of
from workflow_scripts.stats.intervals import MeanDifference
from workflow_scripts.stats.paired import McNemar
from workflow_scripts.stats.power import power_of
from workflow_scripts.stats.selective import Answers
from workflow_scripts.stats.settings import Stats
from workflow_scripts.tasks.jobs import QUESTION_INTENT
from workflow_scripts.tasks.question_answering import OPEN_BOOK

DRAWN = {"svg", "g", "path", "line", "text", "rect", "tspan", "defs", "clipPath"}
"""Elements that can do nothing but show."""


def estimate(difference: float, low: float | None, high: float | None) -> Estimate:
    return Estimate(
        control_mean=0.5,
        treatment_mean=0.5 + difference,
        difference=difference,
        ci_low=low,
        ci_high=high,
        naive_ci_low=low,
        naive_ci_high=high,
        permutation_p=0.01,
        wilcoxon_p=0.01,
        hodges_lehmann=difference,
        cohens_d=0.1,
        cliffs_delta=0.1,
        q_value=0.02,
    )


def contrast(**parts: Any) -> Contrast:
    meta = Meta(
        n_clusters=200,
        n_unpaired=0,
        n_unanswerable=0,
        confidence=0.95,
        bootstrap_samples=100,
        permutation_samples=100,
        random_seed=1,
        warnings=[],
    )
    result = Comparison(n_items=200, meta=meta, **parts)
    return Contrast("treatment", "0.0", OPEN_BOOK, OPEN_BOOK.metrics, result)


def elements_of(svg: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter())  # noqa: S314 - our own text


def harmless(svg: str) -> bool:
    return all(
        each.tag.rpartition("}")[2] in DRAWN
        and not any(name.startswith("on") or "href" in name for name in each.attrib)
        for each in elements_of(svg)
    )


def spreads_of(answers: Iterable[Answer]) -> list[Spread]:
    found = Spreads()
    for each in answers:
        found.add(each)
    return found.found(QUESTIONS)


# What is drawn of untrusted text


HOSTILE = [*INJECTIONS, "\x00\x1b[31m\x08", "\ud800", "\u202egnp.exe", "a" * 300, "\n\t", "]]>"]


def test_labels_are_escaped() -> None:
    rows = [Row(text, estimate(-0.1, -0.2, -0.05), "better") for text in HOSTILE]
    drawn = forest(rows, "".join(HOSTILE))
    assert harmless(drawn)
    root = elements_of(drawn)[0]
    assert (root.get("aria-label") or "").startswith(INJECTIONS[0] + INJECTIONS[1])
    assert INJECTIONS[0][:20] in "".join(root.itertext())


def test_names_of_arms_are_escaped_in_every_figure(trial_folder: Path) -> None:
    names = {"control": f"{INJECTIONS[3]}\x00\x1b", "treatment": "'+alert(1)+'</text><script>"}
    files = {
        name: trial_folder / f"{name}.json" for name in ("significance", "local_costs", "costs")
    }
    settings = read_settings(trial_folder / "trial.json", Trial)
    results = read_results(settings, trial_folder / "per_item_scores.csv", **files)
    companions = read_companions(trial_folder)
    scores = list(read_csv(trial_folder / "per_item_scores.csv", ItemScores))
    answers = read_csv(trial_folder / "answers.csv", Answer)
    found = trial_figures(results, companions, names, scores, [], spreads_of(answers))
    drawn = [found.contrasts, found.cost_quality, found.distributions]
    for of in found.by_contrast:
        for each in vars(of).values():
            listed = each if isinstance(each, list) else [each]
            drawn += [figure for figure in listed if isinstance(figure, Figure)]
    drawn.append(
        dose_response_figure(
            contrasts(settings, results.significance, results.metrics), names, "control"
        )
    )
    for figure in drawn:
        assert harmless(figure.svg)
    assert "'+alert(1)+'" in "".join(elements_of(found.cost_quality.svg)[0].itertext())


def test_a_chart_of_nothing_is_nothing() -> None:
    untested = Row("one passage", estimate(0.1, None, None), "untested")
    assert forest([Row("Exact match"), untested], "empty") == ""


@given(st.lists(st.text()))
def test_a_table_survives_its_link(cells: list[str]) -> None:
    figure = Figure("x", "x", columns=["a", *cells], rows=[["a", *cells]])
    assert "#" not in figure.csv_link
    content = unquote(figure.csv_link.split(",", 1)[1], errors="strict")
    assert content == figure.csv
    header, row = csv.reader(io.StringIO(content, newline=""))
    for read in (header, row):
        assert [cell.removeprefix("'") for cell in read] == ["a", *cells]


def test_a_spreadsheet_runs_nothing_and_numbers_stay_numbers() -> None:
    formulas = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0"]
    figure = Figure("x", "x", columns=["a"], rows=[formulas, [-0.5, 3, None, True, 1e-07]])
    _, text, numbers = csv.reader(io.StringIO(figure.csv, newline=""))
    assert text == [f"'{formula}" for formula in formulas]
    assert numbers == ["-0.5", "3", "", "True", "1e-07"]


# What each figure counts


def sure(**changes: Any) -> ConfidenceContrast:
    """Control and treatment with two confidences each."""
    arms = {
        "control": ([0.82, 0.88, math.nan], [1.0, 0.0, 0.0]),
        "treatment": ([0.25, 0.95, 0.1], [0.0, 1.0, 1.0]),
    }
    responses = {
        arm: Responses(np.arange(3), np.array(confidence), np.array(right))
        for arm, (confidence, right) in arms.items()
    }
    found = ConfidenceContrast(
        arms={arm: each.summary(0.95) for arm, each in responses.items()},
        differences=differences_of(responses["control"], responses["treatment"], Stats()),
    )
    return found.model_copy(update=changes)


def test_risk_is_drawn_against_coverage_by_confidence() -> None:
    names = {"control": HOSTILE[0], "treatment": "b"}
    figure = confidence_figure(contrast(), TOKEN_PROBABILITY, sure(), names)
    assert harmless(figure.svg)
    assert [list(row) for row in figure.rows][:3] == [
        ["control", 0.88, pytest.approx(1 / 3), 1.0],
        ["control", 0.82, pytest.approx(2 / 3), 0.5],
        ["control", 0.0, 1.0, pytest.approx(2 / 3)],
    ]
    # Of the control: risks of 1, 1/2 and 2/3; at best 0, 1/2 and 2/3.
    numbers = confidence_numbers(contrast(), TOKEN_PROBABILITY, sure(), names)
    assert numbers.header == ["Measure", names["control"], "b", "Difference", "95% CI"]
    responses, aurc, excess, auroc, brier, error = numbers.rows
    assert responses == ["Responses", "3 (1 without)", "3", "", ""]
    assert aurc[:4] == ["AURC", "0.722", "0.278", "−0.444"]
    assert aurc[4].endswith(", few items")
    assert excess[1] == "0.333"
    assert auroc[1:3] == ["0.500", "0.500"]
    assert brier[1] == "0.403"
    assert error == ["Calibration error", "0.350", error[2], "", ""]
    alone = confidence_numbers(contrast(), TOKEN_PROBABILITY, sure(differences={}), names)
    assert {tuple(row[3:]) for row in alone.rows} == {("", "")}


def test_reliability_is_drawn_of_each_confidence() -> None:
    names = {"control": HOSTILE[0], "treatment": "b"}
    intents = replace(contrast(), task=QUESTION_INTENT)
    stated, likely = QUESTION_INTENT.confidences
    assert (stated.column, likely) == ("stated_confidence", TOKEN_PROBABILITY)
    figure = reliability_figure(intents, stated, sure(), names)
    assert harmless(figure.svg)
    assert figure.title == "Reliability of the stated confidence"
    assert [list(row)[:6] for row in figure.rows] == [
        ["control", 0.8, 0.9, 2, pytest.approx(0.85), 0.5],
        *(["treatment", *rest] for rest in (
            [0.1, 0.2, 1, 0.1, 1.0], [0.2, 0.3, 1, 0.25, 0.0], [0.9, 1.0, 1, 0.95, 1.0]
        )),
    ]  # fmt: skip
    assert "2 responses with a confidence, Brier score 0.403" in figure.how_to_read
    assert unstated(contrast()) == []
    (absent,) = unstated(intents)
    assert absent.absent == "No response states how sure it is."


@given(
    arrays.arrays(
        float,
        st.integers(1, 60),
        elements=st.fractions(-1, 1, max_denominator=8).map(float),
    )
)
def test_bins_hold_every_item_once(differences: np.ndarray[Any, Any]) -> None:
    found = bins(differences)
    assert sum(items for *_, items in found) == len(differences)
    total = sum(mean * items for _, _, mean, items in found)
    assert total / len(differences) == pytest.approx(differences.mean(), abs=1e-8)
    for low, high, mean, items in found:
        inside = (differences >= low) & (differences <= high)
        # The end nearer to 0 belongs to the next step.
        nearer = high if high <= 0 else low
        inside &= (differences != nearer) | (low == high)
        assert items == np.count_nonzero(inside)
        assert low - 1e-9 <= mean <= high + 1e-9
    assert [low for low, *_ in found] == sorted(low for low, *_ in found)


def test_marks_do_not_grow_with_the_items() -> None:
    draw = np.random.default_rng(1)
    names = ("em", "f1", "false_answer_rate")
    changes = {name: draw.uniform(-1, 1, 20_000) for name in names}
    measured = dict.fromkeys(names, estimate(0.1, 0.0, 0.2))
    figure = paired_figure(contrast(metrics=measured), changes, ("a", "b"))
    assert len(elements_of(figure.svg)) < 400
    assert sum(row[4] for row in figure.rows if row[0] == "f1") == 20_000  # type: ignore[misc]


@pytest.mark.parametrize("samples", [1, 3])
def test_the_area_under_the_drawn_curve_is_aurc(samples: int) -> None:
    draw = np.random.default_rng(samples)
    answered = draw.binomial(samples, 0.6, 500) / samples
    wrong = np.array([draw.binomial(round(a * samples), 0.3) for a in answered]) / samples
    answers = Answers(answered - wrong, wrong, np.zeros(500, dtype=bool))
    coverage, risk = np.array(list(risk_curve(answers.points()))).T
    summary = answers.summary([])
    assert np.trapezoid(risk, coverage) == pytest.approx(summary.aurc, abs=2e-3)
    nearest = np.argmin(np.abs(coverage - summary.coverage))
    assert risk[nearest] == pytest.approx(summary.risk)


def test_the_power_curve_goes_through_its_marks() -> None:
    mean = MeanDifference(0.0, 300, 60, 300, 0.03, 59.0, 0.02, 1.5)
    power = power_of(mean, 0.05, 0.8, [0.05, 0.02])
    assert power is not None
    for items, difference in (
        (300, power.smallest_detectable),
        *((needed, float(effect)) for effect, needed in power.items_needed.items()),
    ):
        drawn = power_curve(power, 59.0, items, 2 * items)
        assert drawn[0] == (items, pytest.approx(difference, rel=2e-3))
        assert drawn[-1][0] == pytest.approx(2 * items)
        assert drawn[-1][1] < drawn[0][1]


@pytest.mark.parametrize(
    ("money", "tokens", "latency", "expected"),
    [
        (2.0, 1000, 0.5, ("usd_per_1000_requests", 200.0)),
        (0.0, 1000, 0.5, ("tokens_per_request", 100.0)),
        (None, 1000, 0.5, ("tokens_per_request", 100.0)),
        (None, None, 0.5, ("mean_latency_s", 0.5)),
        (None, None, None, None),
    ],
)
def test_cost_is_money_or_what_stands_for_it(
    money: float | None,
    tokens: int | None,
    latency: float | None,
    expected: tuple[str, float] | None,
) -> None:
    times = None if latency is None else {"mean": latency, "p50": latency, "p95": latency}
    used = {"requests": 10, "total_tokens": tokens, "latency_s": times}
    local_costs = LocalCosts.model_validate(
        {"schema_version": 1, "by_condition": {"control": used}}
    )
    costs = Costs.model_validate({"by_condition": {"control": {"cost_usd": money}}})
    found = resource(["control"], local_costs, costs)
    assert expected == (found and (found.column, found.by_arm["control"]))


@pytest.mark.parametrize(
    ("figure", "sentence"),
    [
        (contrasts_figure(OPEN_BOOK.metrics, [], None), "no contrast"),
        (paired_figure(contrast(), {"correct": np.zeros(0)}, ("a", "b")), "No item was scored"),
        (
            paired_figure(
                contrast(metrics={"correct": estimate(0, 0, 0)}),
                {"correct": np.zeros(9)},
                ("a", "b"),
            ),
            "No item’s score differs",
        ),
        (discordant_figure(contrast(), ("a", "b")), "no discordant pair"),
        (
            discordant_figure(
                contrast(mcnemar={"correct": McNemar(5, 0, 0, 5, 1.0, 1.0, None)}), ("", "")
            ),
            "no discordant pair",
        ),
        (risk_coverage_figure(contrast(), None, {}), "nothing to compare"),
        (
            risk_coverage_figure(
                contrast(),
                SelectiveContrast.model_validate(
                    {
                        "arms": {"control": {"coverage": 1, "risk": 0.2, "meets": {}, "aurc": 0.2}},
                        "differences": {},
                    }
                ),
                {},
            ),
            "Neither arm ever declines",
        ),
        (power_figure(contrast(), {"correct": None}, {}), "Not known"),
        (
            power_figure(
                contrast(
                    metrics={"correct": replace(estimate(0.5, None, None), degrees_of_freedom=1)}
                ),
                {"correct": power_of(MeanDifference(0.5, 2, 2, 1, 0.5, 1, 0.5, 1), 0.05, 0.8, [])},
                {},
            ),
            "2 items like these cannot show any difference",
        ),
        (distributions_figure([], {}, QUESTIONS, "control"), "neither times nor tokens"),
    ],
)
def test_nothing_to_draw_is_a_sentence(figure: Figure, sentence: str) -> None:
    assert figure.svg == ""
    assert sentence in figure.absent


def test_an_arm_that_never_answers_has_a_curve() -> None:
    answers = Answers(np.zeros(4), np.zeros(4), np.zeros(4, dtype=bool))
    assert list(risk_curve(answers.points()))[-1] == (1.0, 1.0)


def test_times_and_tokens_are_quantiles_of_the_answers() -> None:
    answers = [
        Answer(
            custom_id=custom_id("d", str(number), "control", "0.0", 0, "open_book"),
            dataset="d",
            item_id=str(number),
            condition="control",
            temp="0.0",
            sample_index=0,
            type="open_book",
            prompt="p",
            finish_reason="stop",
            completion_tokens=number,
        )
        for number in range(101)
    ]
    (found,) = spreads_of(answers)
    assert (found.quantity, found.task, found.arm, found.n) == (
        "completion_tokens",
        "open_book",
        "control",
        101,
    )
    assert found.quantiles == (5.0, 25.0, 50.0, 75.0, 95.0)
    assert (found.smallest, found.mean, found.largest) == (0.0, 50.0, 100.0)
    figure = distributions_figure([found], {"control": "c"}, QUESTIONS, "control")
    assert "reported no time" in figure.how_to_read


# The figures on the page


def tables(page: webdriver.Chrome) -> dict[str, list[dict[str, str]]]:
    """What each figure offers as CSV."""
    links: dict[str, str] = page.execute_script(
        """
        const links = [...document.querySelectorAll("figure a[download]")];
        return Object.fromEntries(links.map((link) => [link.closest("figure").id, link.href]));
        """
    )
    found = {}
    for name, link in links.items():
        text = unquote(link.removeprefix("data:text/csv;charset=utf-8,"))
        found[name.removeprefix("figure-")] = list(csv.DictReader(io.StringIO(text, newline="")))
    return found


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def compared(folder: Path) -> Iterator[tuple[tuple[str, str, str], dict[str, Any]]]:
    for treatment, by_temp in read(folder, "significance.json")["results"].items():
        for temp, by_task in by_temp.items():
            for task, result in by_task.items():
                yield (treatment, temp, task), result


@pytest.fixture(scope="module")
def series_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trial with a series of treatments, whose order is not that of their names."""
    folder = tmp_path_factory.mktemp("series")
    write_trial(folder, n=40, treatments=("mild", "firm"), temps=("0.0", "0.7"))
    make_report(folder)
    return folder


@pytest.mark.parametrize("folder", ["trial_folder", "series_folder"])
def test_the_numbers_are_those_of_the_files(
    browser: webdriver.Chrome, folder: str, request: pytest.FixtureRequest
) -> None:
    made: Path = request.getfixturevalue(folder)
    given = tables(opened(browser, made / "report.html"))
    effects = {
        (row["metric"], row["treatment"], row["temp"], row["task"]): row
        for row in given["contrasts"]
    }
    with (made / "per_item_scores.csv").open(encoding="utf-8", newline="") as stream:
        scores = list(csv.DictReader(stream))
    by_item: dict[tuple[str, ...], dict[str, dict[str, str]]] = defaultdict(dict)
    for row in scores:
        by_item[row["condition"], row["temp"], row["type"]][row["item_key"]] = row
    curves, powers = (read(made, f"{name}.json")["results"] for name in ("selective_risk", "power"))
    n_contrasts = 0
    for (treatment, temp, task), result in compared(made):
        anchor = f"contrast-{treatment}-{temp}-{task}"
        for metric, numbers in result["metrics"].items():
            row = effects.pop((metric, treatment, temp, task))
            for name in ("difference", "ci_low", "ci_high", "q_value", "control_mean"):
                assert float(row[name]) == numbers[name]
            assert int(row["n_items"]) == result["n_items"]
        for row in given.get(f"subgroups-{anchor}", []):
            part = result["subgroups"][row["subgroup"]]
            assert int(row["n_items"]) == part["n_items"]
            assert float(row["difference"]) == part["metrics"][row["metric"]]["difference"]
        assert (f"subgroups-{anchor}" in given) == bool(result["subgroups"])
        for row in given[f"discordant-{anchor}"]:
            assert int(row["only_control"]) == result["mcnemar"][row["metric"]]["only_control"]
            assert int(row["only_treatment"]) == result["mcnemar"][row["metric"]]["only_treatment"]
            n_contrasts += 1
        before, after = by_item["control", temp, task], by_item[treatment, temp, task]
        counts: dict[tuple[str, int], int] = defaultdict(int)
        for row in given[f"paired-{anchor}"]:
            mean = float(row["mean_difference"])
            counts[row["metric"], (mean > 0) - (mean < 0)] += int(row["items"])
        for (metric, sign), items in counts.items():
            changes = [float(after[k][metric]) - float(before[k][metric]) for k in after]
            expected = sum((x > 0) - (x < 0) == sign for x in changes)
            assert items == expected
        drawn = [
            {"arm": arm, **{name: str(value) for name, value in point.items()}}
            for arm, of in curves[treatment][temp][task]["arms"].items()
            for point in of["points"]
        ]
        assert given[f"risk-coverage-{anchor}"] == drawn
        for row in given[f"power-{anchor}"]:
            power = powers[treatment][temp][task][row["metric"]]
            if row["here"] == "True":
                assert float(row["detectable_difference"]) == power["smallest_detectable"]
            else:
                assert int(row["items"]) == power["items_needed"][row["detectable_difference"]]
    assert effects == {}
    assert n_contrasts

    times = {(row["quantity"], row["task"], row["arm"]): row for row in given["distributions"]}
    raw = [
        (arm, json.loads(line))
        for arm, of_arm in read(made, "parts.json")["parts"]["arms"].items()
        for name in of_arm["names"]
        for line in (made / "raw" / name).read_text(encoding="utf-8").split("\n")
        if line
    ]
    seconds = [
        each["latency_s"]
        for arm, each in raw
        if (arm, each["type"]) == ("control", "open_book") and "error" not in each
    ]
    row = times["latency_s", "open_book", "control"]
    assert int(row["requests"]) == len(seconds)
    assert float(row["p50"]) == pytest.approx(np.median(seconds))
    local, paid = read(made, "local_costs.json"), read(made, "costs.json")
    for row in given["cost-quality"]:
        arm = row["arm"]
        cost, requests = (
            paid["by_condition"][arm]["cost_usd"],
            local["by_condition"][arm]["requests"],
        )
        assert float(row["usd_per_1000_requests"]) == pytest.approx(1000 * cost / requests)
        values = [float(each["correct"]) for each in scores if each["condition"] == arm]
        assert float(row["correct"]) == pytest.approx(np.mean(values))


def test_every_figure_is_an_image_that_can_do_nothing(trial_folder: Path) -> None:
    text = (trial_folder / "report.html").read_text(encoding="utf-8")
    drawn = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawn) == 19  # with the outcomes of four arms and the rule graph
    assert all(harmless(svg) for svg in drawn)
    assert all(elements_of(svg)[0].get("aria-label") for svg in drawn)


def test_a_series_of_treatments_stands_in_the_configs_order(
    browser: webdriver.Chrome, series_folder: Path, trial_folder: Path
) -> None:
    page = opened(browser, series_folder / "report.html")
    assert page.get_log("browser") == []  # type: ignore[no-untyped-call]
    rows = tables(page)["dose-response"]
    assert list(dict.fromkeys(row["treatment"] for row in rows)) == ["mild", "firm"]
    found = dict(compared(series_folder))
    for row in rows:
        numbers = found[row["treatment"], row["temp"], row["task"]]["metrics"][row["metric"]]
        assert float(row["difference"]) == numbers["difference"]
        assert float(row["ci_high"]) == numbers["ci_high"]
    names = one(page, "#figure-dose-response svg").get_attribute("textContent") or ""
    assert 0 < names.index("“control”") < names.index("“mild”") < names.index("“firm”")
    assert not opened(browser, trial_folder / "report.html").find_elements(
        By.ID, "figure-dose-response"
    )


def saved(page: webdriver.Chrome, folder: Path, figure: str, what: str) -> Path:
    """Click on a figure's button (or its link) and wait for the file."""
    folder.mkdir(parents=True, exist_ok=True)
    page.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)}
    )
    button = one(page, f"[id='figure-{figure}'] .save [aria-label$=' as {what}']")
    page.execute_script("arguments[0].click()", button)
    for _ in range(200):
        found = [path for path in folder.iterdir() if path.suffix == f".{what.lower()}"]
        if found and found[0].stat().st_size:
            return found[0]
        time.sleep(0.05)
    pytest.fail(f"no {what} in {sorted(folder.iterdir())}")


def pixels(png: bytes) -> tuple[int, int, set[bytes]]:
    """Width and height of an 8-bit RGBA image, and the colours that its rows begin with."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    position, data = 8, b""
    while position < len(png):
        (length,) = struct.unpack(">I", png[position : position + 4])
        if png[position + 4 : position + 8] == b"IDAT":
            data += png[position + 8 : position + 8 + length]
        position += 12 + length
    row = len(zlib.decompress(data)) // height
    assert (row - 1) % width == 0
    first = zlib.decompress(data)[1 : 1 + (row - 1) // width]
    return width, height, {first}


def test_a_figure_is_saved_as_csv_svg_and_png(page: webdriver.Chrome, tmp_path: Path) -> None:
    name = "cost-quality"
    csv_file = saved(page, tmp_path / "csv", name, "CSV")
    assert csv_file.name == "cost-quality.csv"
    with csv_file.open(encoding="utf-8", newline="") as stream:
        assert list(csv.DictReader(stream)) == tables(page)[name]

    svg_file = saved(page, tmp_path / "svg", name, "SVG")
    svg = svg_file.read_text(encoding="utf-8")
    assert harmless(svg)
    assert "var(" not in svg
    root = elements_of(svg)[0]
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert (float(root.attrib["width"]), float(root.attrib["height"])) == (width, height)
    card = page.execute_script(
        "return getComputedStyle(document.documentElement).getPropertyValue('--card').trim()"
    )
    assert elements_of(svg)[1].get("fill") == card

    png = saved(page, tmp_path / "png", name, "PNG").read_bytes()
    found_width, found_height, corner = pixels(png)
    assert (found_width, found_height) == (round(2 * width), round(2 * height))
    channels = bytes.fromhex(card.removeprefix("#"))
    assert all(each[:3] == channels for each in corner)
    assert page.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_a_drawing_does_not_depend_on_those_before_it() -> None:
    numbers = {"values": [{"x": 0, "y": 1}, {"x": 1, "y": 3}]}
    line = {
        "data": numbers,
        "mark": {"type": "line", "clip": True},
        "encoding": {"x": vega.number("x"), "y": vega.number("y")},
    }
    first, other = vega.draw(line, "a"), vega.draw({**line, "width": 50}, "a")
    assert "clip-path" in first
    assert vega.draw(line, "a") == first
    names = [set(re.findall(r'clipPath id="([^"]+)"', svg)) for svg in (first, other)]
    assert names[0]
    assert names[0].isdisjoint(names[1])
