"""The gate: its decisions, its files, its exit codes, and its config."""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest
import xmlschema
import yaml
from compared import significance
from conftest import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from report_files import TOKENS, UNTRUSTED, amount_estimate, run_main, write_trial

from workflow_scripts.comparisons.gate import Compared, LookedAt, concerns, judge, overall
from workflow_scripts.comparisons.gate_report import EXIT_CODES, Doubt, GateReport, Judgement
from workflow_scripts.comparisons.sequential import SequentialTest
from workflow_scripts.comparisons.settings import GateSettings
from workflow_scripts.config.load import read_config
from workflow_scripts.config.trial import Trial
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_settings, write_json
from workflow_scripts.core.metric import Metric
from workflow_scripts.export import gate as gate_module
from workflow_scripts.export.gate import gate
from workflow_scripts.export.gate_markdown import gate_markdown
from workflow_scripts.export.gate_text import reason
from workflow_scripts.export.junit import junit
from workflow_scripts.rules import gate_exit, stages
from workflow_scripts.rules.experiment import Experiment, Job
from workflow_scripts.stats.caveats import Caveat
from workflow_scripts.stats.comparison import Comparison, Meta, Subgroup
from workflow_scripts.stats.estimates import Estimate
from workflow_scripts.stats.settings import GateCheck

SCHEMA = xmlschema.XMLSchema(REPOSITORY / "tests/vendor/junit/junit-10.xsd")


def root_of(text: str) -> Element:
    return xmlschema.XMLResource(text).root


LOW = Metric("wrongness", "wrong answers", "Wrong.", "lower", binary=True)
HIGH = Metric("rightness", "right answers", "Right.", "higher", must_hold_in="")
METRICS = {each.name: each for each in (LOW, HIGH, TOKENS)}


def share(difference: float, low: float | None, high: float | None, **changes: Any) -> Estimate:
    facts = {
        "control_mean": 0.5,
        "treatment_mean": 0.5 + difference,
        "difference": difference,
        "ci_low": low,
        "ci_high": high,
        "naive_ci_low": low,
        "naive_ci_high": high,
        "permutation_p": 0.5,
        "wilcoxon_p": None,
        "hodges_lehmann": 0.0,
        "cohens_d": None,
        "cliffs_delta": 0.0,
        "ci_method": "cluster_t",
        "ci_trusted": True,
        "standard_error": 0.01,
        "naive_standard_error": 0.01,
        "degrees_of_freedom": 399.0,
        "design_effect": 1.0,
        "n_differing": 50,
    }
    return Estimate(**{**facts, **changes})


def comparison(n_items: int = 400, warnings: tuple[Caveat, ...] = (), **changes: Any) -> Comparison:
    meta = Meta(
        n_clusters=n_items,
        n_unpaired=3,
        n_unanswerable=0,
        confidence=0.95,
        bootstrap_samples=500,
        permutation_samples=500,
        random_seed=1,
        warnings=list(warnings),
    )
    return Comparison(n_items=n_items, meta=meta, **changes)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """A trial of 80 items in 16 passages, the files of which tests replace."""
    return write_trial(tmp_path_factory.mktemp("gate") / "trial")


def compared(trial: Trial, result: Comparison, **changes: Any) -> Compared:
    facts = {"arm": "careful", "task": "open_book", "temp": "0.0", "metrics": METRICS}
    return Compared(trial=trial, result=result, **{**facts, **changes})


def judged(trial: Trial, result: Comparison, **check: Any) -> Judgement:
    asked = GateCheck.model_validate({"metric": LOW.name, "margin": 0.02, **check})
    assert asked.margin is not None
    return judge(asked, compared(trial, result), asked.margin, 0.8)


@pytest.mark.parametrize(
    ("metric", "difference", "low", "high", "expected"),
    [
        (LOW.name, 0.005, -0.008, 0.018, "passes"),
        (LOW.name, 0.01, -0.01, 0.03, "cannot_tell"),
        (LOW.name, 0.06, 0.03, 0.09, "worse"),
        (LOW.name, -0.06, -0.09, -0.03, "passes"),
        (HIGH.name, 0.06, 0.03, 0.09, "passes"),
        (HIGH.name, -0.06, -0.09, -0.03, "worse"),
        (HIGH.name, -0.005, -0.018, 0.008, "passes"),
        (HIGH.name, -0.01, -0.03, 0.01, "cannot_tell"),
    ],
)
def test_a_share_is_held_against_its_margin(trial, metric, difference, low, high, expected):
    result = comparison(metrics={metric: share(difference, low, high)})
    found = judged(trial, result, metric=metric)
    assert found.decision == expected
    assert (found.change, found.ci_low, found.ci_high) == (difference, low, high)
    assert (found.reason == "reaches_margin") == (expected == "cannot_tell")
    assert (found.items_needed is None) == (expected != "cannot_tell")


@pytest.mark.parametrize(
    ("better", "ratio", "low", "high", "expected"),
    [
        ("lower", 1.02, 0.97, 1.08, "passes"),
        ("lower", 1.05, 1.0, 1.11, "cannot_tell"),
        ("lower", 1.3, 1.2, 1.4, "worse"),
        ("higher", 0.98, 0.92, 1.05, "passes"),  # 1 / 1.1 is 0.909
        ("higher", 0.95, 0.9, 1.01, "cannot_tell"),
        ("higher", 0.7, 0.6, 0.8, "worse"),
    ],
)
def test_an_amount_is_held_against_a_ratio(trial, better, ratio, low, high, expected):
    estimate = amount_estimate(
        ratio, low, high, n_differing=100, standard_error=0.04, degrees_of_freedom=99.0
    )
    result = comparison(amounts={TOKENS.name: estimate})
    check = GateCheck(metric=TOKENS.name, margin=1.1)
    metrics = {TOKENS.name: replace(TOKENS, better=better)}
    found = judge(check, compared(trial, result, metrics=metrics), 1.1, 0.8)
    assert found.decision == expected
    assert found.n_items == 100


@pytest.mark.parametrize(
    "changes",
    [
        {"ci_trusted": False},
        {"n_differing": 19},  # enough for both ends, not for one
        {"n_differing": None},  # a file of an earlier version
    ],
)
@pytest.mark.parametrize("ends", [(-0.06, -0.09, -0.03), (0.06, 0.03, 0.09)])
def test_an_interval_that_is_not_trusted_decides_nothing(trial, changes, ends):
    found = judged(trial, comparison(metrics={LOW.name: share(*ends, **changes)}))
    assert (found.decision, found.reason) == ("cannot_tell", "not_trusted")


def test_an_undefined_interval_decides_nothing(trial):
    single = share(0.0, None, None, standard_error=None, degrees_of_freedom=None)
    found = judged(trial, comparison(metrics={LOW.name: single}))
    assert (found.decision, found.reason, found.items_needed) == ("cannot_tell", "undefined", None)


def test_a_comparison_without_items_does_not_pass_in_silence(trial):
    nothing = comparison(n_items=0)
    assert concerns(GateCheck(metric=LOW.name, margin=0.1), compared(trial, nothing))
    found = judged(trial, nothing)
    assert (found.decision, found.n_items) == ("cannot_tell", 0)
    assert reason(found, 0.8) == "No item has a value under both arms."


def test_a_subgroup_has_its_own_items_and_its_own_better_direction(trial):
    turned = replace(LOW, better="neither", subgroup_better=(("hard", "higher"),))
    part = Subgroup(60, 55, {LOW.name: share(0.06, 0.03, 0.09)})
    result = comparison(subgroups={"hard": part})
    check = GateCheck(metric=LOW.name, margin=0.02, subgroup="hard")
    found = judge(check, compared(trial, result, metrics={LOW.name: turned}), 0.02, 0.8)
    assert (found.decision, found.better, found.n_items) == ("passes", "higher", 60)
    assert not concerns(check.model_copy(update={"subgroup": "easy"}), compared(trial, result))


def test_a_run_that_stopped_early_is_judged_by_its_own_interval(trial):
    early = Caveat("stopped_early", "…")
    result = comparison(
        warnings=(early,),
        metrics={each.name: share(0.0, -0.001, 0.001) for each in (LOW, HIGH)},
    )
    test = SequentialTest(
        treatment="treatment",
        temp="0.0",
        task="open_book",
        alpha=0.025,
        n_items=400,
        n_clusters=400,
        n_waiting=0,
        n_planned=800,
        estimate=0.0,
        ci_low=0.03,
        ci_high=0.05,
        p_value=0.01,
        outcome="undecided",
        adjusted_estimate=0.04,
    )
    looked_at = LookedAt(LOW.name, None, test)
    for metric, decision, why in (
        (LOW.name, "worse", None),
        (HIGH.name, "cannot_tell", "stopped_early"),
    ):
        check = GateCheck(metric=metric, margin=0.02)
        found = judge(check, compared(trial, result, looked_at=looked_at), 0.02, 0.8)
        assert (found.decision, found.reason) == (decision, why)
    assert judged(trial, result).reason == "stopped_early"  # without its test


@pytest.mark.parametrize(
    ("decisions", "expected", "code"),
    [
        (["passes", "passes"], "passes", 0),
        (["passes", "cannot_tell"], "cannot_tell", 2),
        (["cannot_tell", "worse", "passes"], "worse", 1),
        ([], "cannot_tell", 2),
    ],
)
def test_the_worst_decision_is_the_gates(decisions, expected, code):
    assert overall(decisions) == expected
    assert EXIT_CODES[expected] == code


# The files


def settings_of(trial: Trial, *checks: dict[str, Any]) -> GateSettings:
    asked = [GateCheck.model_validate(each) for each in checks]
    return GateSettings(title="Is it safe?", trials=[trial], checks=asked, power=0.8)


def of_estimate(difference: float, low: float, high: float) -> dict[str, Any]:
    """A significance.json written by hand, with what the gate reads."""
    named = {"control_mean": 0.5, "treatment_mean": 0.5 + difference, "difference": difference}
    rest: dict[str, Any] = dict.fromkeys(("naive_ci_low", "naive_ci_high", "wilcoxon_p"))
    rest |= {"hodges_lehmann": 0.0, "cohens_d": None, "cliffs_delta": 0.0, "permutation_p": 0.5}
    interval = {"ci_low": low, "ci_high": high, "ci_method": "cluster_t", "ci_trusted": True}
    spread = {"standard_error": 0.01, "degrees_of_freedom": 399.0, "n_differing": 50}
    meta = {"n_clusters": 400, "n_unpaired": 0, "n_unanswerable": 0, "confidence": 0.95}
    meta |= {"bootstrap_samples": 500, "permutation_samples": 500, "random_seed": 1}
    result = {
        "n_items": 400,
        "meta": {**meta, "warnings": []},
        "metrics": {"em": {**named, **rest, **interval, **spread}},
    }
    return significance({"treatment": {"0.0": {"open_book": result}}})


@pytest.mark.parametrize(
    ("ends", "code", "decision"),
    [
        ((0.01, -0.01, 0.03), 0, "passes"),
        ((-0.1, -0.14, -0.06), 1, "worse"),
        ((-0.02, -0.06, 0.02), 2, "cannot_tell"),
    ],
)
def test_the_command_writes_its_files_whatever_it_decides(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, ends, code, decision
) -> None:
    folder = tmp_path / "trial"
    folder.mkdir()
    for name in ("metrics.json", "per_item_scores.csv", "usage.json"):
        (folder / name).write_bytes((Path(trial.folder) / name).read_bytes())
    write_json(folder / "significance.json", of_estimate(*ends))
    moved = trial.model_copy(update={"folder": folder.as_posix()})
    settings = settings_of(moved, {"metric": "em", "margin": 0.05})
    write_json(tmp_path / "settings.json", settings.model_dump(mode="json"))
    files = {name: tmp_path / f"gate.{name}" for name in ("json", "xml", "md")}
    monkeypatch.chdir(tmp_path)
    arguments = ["--settings", tmp_path / "settings.json", "--output", files["json"]]
    arguments += ["--junit", files["xml"], "--markdown", files["md"]]
    run_main(gate_module, [str(each) for each in arguments])
    report = read_settings(files["json"], GateReport)
    assert (report.decision, report.exit_code) == (decision, code)
    SCHEMA.validate(files["xml"])
    case = root_of(files["xml"].read_text(encoding="utf-8")).find("testsuite/testcase")
    tags = {"passes": "system-out", "worse": "failure", "cannot_tell": "error"}
    assert [each.tag for each in case] == [tags[decision]]
    assert files["md"].read_text(encoding="utf-8").startswith("**Gate: ")
    with pytest.raises(gate_exit.GateEnded) as ended:
        gate_exit.end(files["json"], "gate.md")
    assert ended.value.code == code
    assert f"exit code {code}" in capsys.readouterr().out


def test_real_comparisons_are_judged(trial: Trial) -> None:
    """The treatment abstains: wrong answers fall, and so do right ones."""
    content = json.loads((Path(trial.folder) / "significance.json").read_text(encoding="utf-8"))
    report = gate(settings_of(trial, {"metric": "false_answer_rate", "margin": 0.02}))
    assert {each.task for each in report.checks} == {"open_book", "closed_book"}
    for each in report.checks:
        estimate = content["results"]["treatment"]["0.0"][each.task]["metrics"]["false_answer_rate"]
        assert (each.change, each.ci_high) == (estimate["difference"], estimate["ci_high"])
        assert (each.n_items, each.arm) == (79, "careful")
        assert each.n_unpaired == 1
        assert each.decision == ("passes" if estimate["n_differing"] >= 20 else "cannot_tell")


@pytest.mark.parametrize("metric", ["completion_tokens", "latency_s"])
def test_tokens_and_seconds_are_held_by_the_intervals_of_usage_json(
    trial: Trial, metric: str
) -> None:
    content = json.loads((Path(trial.folder) / "usage.json").read_text(encoding="utf-8"))
    report = gate(settings_of(trial, {"metric": metric, "margin": 1.1, "task": "open_book"}))
    (found,) = report.checks
    ratio = content["results"]["treatment"]["0.0"]["open_book"]["ratios"][metric]
    assert (found.change, found.ci_low, found.ci_high) == (
        ratio["ratio"], ratio["ci_low"], ratio["ci_high"],
    )  # fmt: skip
    assert (found.kind, found.better, found.n_items) == ("amount", "lower", ratio["n_items"])


@pytest.mark.parametrize(
    ("labelled", "kappa", "missing"),
    [
        (False, None, "these responses have no labels. Label some"),
        (True, 0.41, "κ of the judge and people is 0.41, and judge_bar asks for 0.8"),
        (True, None, "κ of the judge and people is not defined"),
    ],
)
def test_what_a_judge_under_the_bar_says_decides_nothing(
    trial: Trial, labelled: bool, kappa: float | None, missing: str
) -> None:
    """Neither that it passes nor that it is worse."""
    told = Doubt(level="the judge", labelled=labelled, kappa=kappa, bar=0.8)
    for ends in ((0.0, -0.01, 0.01), (0.1, 0.05, 0.15)):
        result = comparison(metrics={LOW.name: share(*ends), HIGH.name: share(*ends)})
        check = GateCheck(metric=LOW.name, margin=0.02)
        place = compared(trial, result, doubted={LOW.name: told})
        found = judge(check, place, 0.02, 0.8)
        assert (found.decision, found.reason) == ("cannot_tell", "judge_bar")
        assert found.change == ends[0]
        assert missing in reason(found, 0.8)
        believed = judge(GateCheck(metric=HIGH.name, margin=0.02), place, 0.02, 0.8)
        assert believed.reason != "judge_bar"


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (
            {"metric": "em", "margin": 0.1, "subgroup": "topic=law"},
            "subgroup 'topic=law'.*'dataset=",
        ),
        (
            {"metric": "unsupported_rate", "margin": 0.1, "task": "closed_book"},
            "nothing was checked",
        ),
        ({"metric": "em"}, "no margin"),
    ],
)
def test_a_check_of_nothing_is_an_error(trial: Trial, check, message) -> None:
    with pytest.raises(UserError, match=message):
        gate(settings_of(trial, check))


def report_of(text: str, n: int = 3) -> GateReport:
    """A report in which all names are the text."""
    names = ("backend", "model", "decoding", "prompt_set", "arm", "task", "temp", "label", "metric")
    rest = {"kind": "share", "better": "lower", "margin": 0.02, "confidence": 0.95, "n_unpaired": 2}
    decisions = ["passes", "worse", "cannot_tell"][:n]
    checks = [
        Judgement(
            **dict.fromkeys(names, text),
            **rest,
            subgroup=f"kind={text}",
            decision=decision,
            reason="reaches_margin" if decision == "cannot_tell" else None,
            assumes="no_change",
            items_needed=5,
            change=0.01,
            ci_low=0.0,
            ci_high=0.02,
            n_items=9,
        )
        for decision in decisions
    ]
    return GateReport(
        experiment=text, title=text, decision="worse", exit_code=1, power=0.8, checks=checks
    )


@pytest.mark.parametrize("text", [*UNTRUSTED, "\ud800 \ufffe"])
def test_names_are_text_in_xml(text: str) -> None:
    written = junit(report_of(text)).encode("utf-8").decode("utf-8")
    SCHEMA.validate(written)
    root = root_of(written)
    assert {each.tag for each in root.iter()} == {
        *("testsuites", "testsuite", "testcase", "system-out", "failure", "error")
    }
    counted = [root.get(name) for name in ("tests", "failures", "errors")]
    assert counted == ["3", "1", "1"]


@pytest.mark.parametrize("text", UNTRUSTED)
def test_names_are_text_in_markdown(text: str) -> None:
    page = (
        MarkdownIt("commonmark")
        .enable(["table", "strikethrough"])
        .render(gate_markdown(report_of(text)))
    )
    assert set(re.findall(r"<(\w+)", page)) <= {
        *("p", "strong", "table", "thead", "tbody", "tr", "th", "td", "ul", "li")
    }
    assert page.count("<tr>") == 1 + 3


@given(st.text(max_size=40))
def test_any_name_makes_valid_junit(text: str) -> None:
    SCHEMA.validate(junit(report_of(text)))


def test_a_reviewer_reads_what_got_worse_first() -> None:
    text = gate_markdown(report_of("x"))
    rows = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")]
    assert rows == ["| Decision", "| worse", "| cannot tell", "| passes"]
    assert "About 5 items, kind “x” would tell in 80% of runs" in text
    assert "95% confidence interval" in text
    assert r"\< +2.0" in text


# The exit code of the command


def ending(*, code: Any = None, error: Exception | None = None) -> Any:
    def run() -> None:
        if error is not None:
            raise error
        sys.exit(code)

    return run


@pytest.mark.parametrize(
    ("run", "code"),
    [
        (ending(code=0), 0),
        (ending(code=1), 3),  # a job failed
        (ending(code=2), 3),  # an option that there is not
        (ending(code="error: config/config.yaml, line 3: …"), 3),
        (ending(error=ValueError("a defect")), 3),
        (ending(error=gate_exit.GateEnded(0)), 0),
        (ending(error=gate_exit.GateEnded(1)), 1),
        (ending(error=gate_exit.GateEnded(2)), 2),
    ],
)
def test_whatever_ends_a_run_before_its_decision_is_broken(run, code, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        gate_exit.with_own_codes(run)
    assert (ended.value.code or 0) == code
    assert ("broken (exit code 3)" in capsys.readouterr().err) == (code == 3)


def test_the_message_of_a_broken_run_is_shown(capsys) -> None:
    with pytest.raises(SystemExit):
        gate_exit.with_own_codes(ending(code="error: line 3"))
    assert "error: line 3\n" in capsys.readouterr().err


def test_a_name_that_the_terminal_cannot_show_costs_no_decision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where the output of a job in a pipe is in an old code page."""
    write_json(tmp_path / "gate.json", report_of("日本 −").model_dump(mode="json"))
    shown = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", shown)
    with pytest.raises(gate_exit.GateEnded) as ended:
        gate_exit.end(tmp_path / "gate.json", "gate.md")
    assert ended.value.code == 1


def test_an_earlier_decision_is_forgotten(tmp_path: Path) -> None:
    old = tmp_path / "gate.json"
    old.write_text("{}", encoding="utf-8")
    gate_exit.forget([str(old), str(tmp_path / "gate.xml")])
    assert not old.exists()


# The config

CONFIG = """\
experiment: mine
backend: local
local_engine: llama_cpp
local_model: resources/models/assay-demo.gguf
datasets:
  demo: {format: jsonl, path: resources/demo/open_book.jsonl, task: open_book}
prompt_sets:
  abstention: {control: control, treatment: treatment}
  placebo: {control: control, treatment: polite}
default_prompt_set: abstention
stats: {tost_margins: {f1: 0.07}}
gate:
  - """


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ("{metric: bleu, margin: 0.1}", r"line 13: gate\.0\.metric: no metric 'bleu'; there are"),
        ("{metric: em, margin: 0}", r"line 13: gate\.0\.margin: .*greater than 0"),
        ("{metric: em, margin: 2}", r"line 13: gate\.0\.margin: 'em' is a share: .* 0 and 1"),
        ("{metric: em, margin: -0.1}", r"line 13: gate\.0\.margin: .*greater than 0"),
        ("{metric: em}", r"line 13: gate\.0: margin is missing"),
        ("{metric: latency_s, margin: 0.1}", r"line 13: gate\.0\.margin: 'latency_s' is an amount"),
        (
            "{metric: latency_s, margin: 1.1, subgroup: answerable}",
            r"line 13: gate\.0\.subgroup: 'latency_s' is compared over all items only",
        ),
        ("{metric: abstain_rate, margin: 0.1}", r"'abstain_rate' has no better direction, so"),
        (
            "{metric: em, margin: 0.1, task: closed_book}",
            r"gate\.0\.task: task 'closed_book' is not",
        ),
        ("{metric: em, margin: 0.1, temp: 0.5}", r"gate\.0\.temp: temp '0\.5' is not in use"),
        (
            "{metric: em, margin: 0.1, prompt_set: placebo}",
            r"gate\.0\.prompt_set: prompt set 'placebo' is not in use; there are \['abstention'\]",
        ),
        (
            "{metric: em, margin: 0.1, subgroup: unanswered}",
            r"gate\.0\.subgroup: no subgroup 'unanswered'; did you mean 'unanswerable'",
        ),
        ("{metric: em, margn: 0.1}", r"gate\.0\.margn: unknown key; did you mean 'margin'"),
        ("{metric: em, margin: yes}", r"gate\.0\.margin: true and false are no values"),
        (
            "{metric: em, margin: 0.1}\n  - {metric: em, margin: 0.1}",
            r"gate: entry 2 stands in the list twice",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: str, message: str
) -> None:
    monkeypatch.chdir(REPOSITORY)
    path = tmp_path / "mine.yaml"
    path.write_text(CONFIG + check + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_config(path)


def test_an_amount_takes_a_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    (tmp_path / "words.py").write_text("def score(item, response): return 1.0\n", encoding="utf-8")
    own = f"metrics: {{words: {{file: {(tmp_path / 'words.py').as_posix()}, better: lower, "
    own += "kind: amount}}\n"
    path = tmp_path / "mine.yaml"
    for margin, fits in (("1.1", True), ("0.1", False), ("1.0", False)):
        text = own + CONFIG + f"{{metric: words, margin: {margin}}}\n"
        path.write_text(text, encoding="utf-8")
        if fits:
            assert read_config(path).gate[0].margin == 1.1
            continue
        with pytest.raises(UserError, match=r"'words' is an amount: its margin is a ratio above 1"):
            read_config(path)


def test_a_margin_of_equivalence_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    path = tmp_path / "mine.yaml"
    path.write_text(f"{CONFIG}{{metric: f1}}\n  - {{metric: em, margin: 0.2}}\n", encoding="utf-8")
    settings = stages.gate(Job(Experiment(read_config(path)), {}))
    assert [each.margin for each in settings.checks] == [0.07, 0.2]


# The documentation

PAGE = (REPOSITORY / "docs/gate.md").read_text(encoding="utf-8")


def test_the_workflow_of_the_page_keeps_the_journal_and_runs_the_gate() -> None:
    (block,) = re.findall(r"```yaml\n(name: gate\n.*?)```", PAGE, re.DOTALL)
    workflow = yaml.safe_load(block)
    assert set(workflow) == {"name", True, "permissions", "concurrency", "jobs"}  # YAML's `on`
    (job,) = workflow["jobs"].values()
    steps = {each["uses"].split("@")[0]: each for each in job["steps"] if "uses" in each}
    restored, saved = steps["actions/cache/restore"]["with"], steps["actions/cache/save"]["with"]
    assert restored["path"] == saved["path"]
    assert "results/journal" in restored["path"].split()
    assert restored["key"] == saved["key"]
    assert restored["key"].startswith(restored["restore-keys"].strip())
    commands = [each["run"] for each in job["steps"] if "run" in each]
    assert any(re.search(r"snakemake .* gate\b", each) for each in commands)


def test_the_config_of_the_page_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    (block,) = re.findall(r"```yaml\n(gate:\n.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "mine.yaml"
    demo = (REPOSITORY / "config/config.yaml").read_text(encoding="utf-8")
    path.write_text(f"{demo}\n{block}", encoding="utf-8")
    assert len(read_config(path).gate) == len(yaml.safe_load(block)["gate"])
