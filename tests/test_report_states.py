"""Every part of the pages in each of its states: no branch of a template stays unrendered."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from analysing import ADAPTATION
from judging import said
from question_records import QUESTIONS
from report_files import (
    QUICK,
    add_amounts,
    declare_amount,
    make_front,
    make_report,
    run_main,
    write_trial,
)
from template_coverage import TEMPLATES, TemplateCoverage
from test_analyses import Analysis
from test_judgements import always_correct, fair, held, labels_of, panel_of, truths
from wave_design import design

from workflow_scripts.comparisons import experiment
from workflow_scripts.comparisons.annotators import AnnotatorAgreement, AnnotatorPair
from workflow_scripts.comparisons.judgements import Judgements
from workflow_scripts.comparisons.registration import RegistrationStatus, declaration, digest_of
from workflow_scripts.comparisons.retest import Change, Retest, Retested, by_model
from workflow_scripts.comparisons.score_files import read_scores, read_table
from workflow_scripts.comparisons.sequential import decide
from workflow_scripts.comparisons.settings import StatsSettings
from workflow_scripts.comparisons.spent import Spent
from workflow_scripts.config.trial import FrontSettings, ListedAnalysis, Trial
from workflow_scripts.core.files import (
    read_csv,
    read_jsonl,
    write_csv,
    write_json,
    write_jsonl,
    write_record,
)
from workflow_scripts.core.metric import ConfidenceRoles
from workflow_scripts.core.records import Answer, ItemScores, Request
from workflow_scripts.report import front
from workflow_scripts.report import trial as trial_report
from workflow_scripts.report.fields import SHOWN
from workflow_scripts.report.figures.figure import Figure
from workflow_scripts.report.figures.further import FIGURES, ContrastFigure
from workflow_scripts.report.index import index
from workflow_scripts.report.trial import _SHOWN_ERRORS
from workflow_scripts.stats.agreement import Measured
from workflow_scripts.stats.settings import Stats
from workflow_scripts.tasks.question_answering import OPEN_BOOK
from workflow_scripts.tasks.score_tables import read_item_scores, score_columns
from workflow_scripts.tasks.task import Difference
from workflow_scripts.telemetry.summary import Curves, GpuUse, Latency, Level, Telemetry
from workflow_scripts.verify.trial import RETEST_FILE

NOW = datetime(2026, 11, 20, tzinfo=UTC)


_RATES = {"input_per_million": 0.02, "output_per_million": 0}
EMBEDDERS: dict[str, Any] = {
    "embedders": [
        {
            "embedder": "small", "model": "embed-3", "texts": 1200, "tokens": 31000,
            "paid_usd": 0.00062, "lost_usd": 0.0,
            "price": {"rates": _RATES, "source": "prices.example", "date": "2026-12-01"},
        },
        {
            "embedder": "other", "model": "embed-4", "texts": 5, "tokens": 0,
            "paid_usd": 0.5, "lost_usd": 0.25,
            "price": {"rates": _RATES, "source": "the config (pricing)"},
        },
    ],
    "experiment": {"paid_usd": 0.50062, "reserved_usd": 0.0, "lost_usd": 0.25},
}  # fmt: skip
"""Of costs.json: what embedders cost."""

REWRITINGS = [
    {
        "name": "m (b), rewrite, rag", "requests": 20, "answers": 20,
        "prompt_tokens": {"engine": 1100, "estimate": 0},
        "completion_tokens": {"engine": 134, "estimate": 0}, "cost_usd": 0.5,
    }
]  # fmt: skip
"""Of an arm of costs.json: what the rewriting of its questions took."""


def edit(path: Path, change: Callable[[Any], None]) -> None:
    """Change a JSON file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def put(content: Any, *path: Any) -> None:
    """Set the value at a path of keys, the last of ``path`` being the value."""
    *keys, last, value = path
    for key in keys:
        content = content[key]
    content[last] = value


def edit_arms(path: Path, **fields: object) -> None:
    """Change all arms of costs.json or audit.json."""

    def change(content: Any) -> None:
        for arm in content.get("by_condition", content.get("arms")).values():
            arm.update(fields)

    edit(path, change)


def changed(**fields: object) -> Callable[[Any], None]:
    return lambda content: content.update(fields)


def nothing_open_book(significance: Any) -> None:
    """As the file is where no open-book item has an answer under both arms."""
    comparison = significance["results"]["treatment"]["0.0"]["open_book"]
    comparison.update(n_items=0, metrics={}, subgroups={}, mcnemar={}, tost={})


def write_judgements(folder: Path, found: Judgements, treatment: str = "treatment") -> None:
    held = [each.model_copy(update={"treatment": treatment}) for each in found.held]
    found = found.model_copy(update={"held": held})
    write_json(folder / "judgements.json", found.model_dump(mode="json"))


def plain(root: Path) -> Trial:
    """No judge, but a few labels."""
    trial = write_trial(root / "plain")
    known = truths(20)
    found = held(known, labels_of(known, 5), {}, level="labels")
    agreed = Measured(0.9, 0.7, 1.0, 10, 5)
    people = AnnotatorAgreement(["", "ann"], agreed, [AnnotatorPair("", "ann", agreed, None)])
    write_judgements(root / "plain", found.model_copy(update={"people": people}))
    edit(root / "plain" / "differences.json", changed(treatments={}))
    enforce_schemas(root / "plain")
    change = Change(custom_id="d|1", condition="control", first="a", again="b", how="")
    ended = change.model_copy(update={"how": "stop, then length"})
    write_retest(root / "plain", [change, ended], failed=2)
    make_report(root / "plain")
    return trial


def enforce_schemas(folder: Path) -> None:
    """Have the treatment's first answers held to their schemas: one to the whole, two to parts."""
    rows = list(read_csv(folder / "answers.csv", Answer))
    of_arm = [row for row in rows if (row.condition, row.type) == ("treatment", "closed_book")]
    held = dict(
        zip((row.custom_id for row in of_arm), ("exactly", "loosened", "loosened"), strict=False)
    )
    write_csv(
        folder / "answers.csv",
        Answer,
        [row.model_copy(update={"schema_enforced": held.get(row.custom_id)}) for row in rows],
    )


def write_retest(folder: Path, changes: list[Change], failed: int = 0) -> None:
    """What came of requests that were sent again, all of one part."""
    spent = Spent(requests=9, prompt_tokens=90, completion_tokens=9, cost_usd=0.01)
    part = Retested(
        condition="control", backend="llama_cpp", model="assay-demo", decoding="default",
        file="a.jsonl", temp="0.0", compared=9, changed=len(changes), failed=failed, spent=spent,
    )  # fmt: skip
    found = Retest(
        confidence=0.95, parts=[part], models=by_model([part], 0.95), changes=changes,
        changes_left_out=failed,
    )  # fmt: skip
    write_json(folder / RETEST_FILE, found.model_dump(mode="json"))


def telemetry(gpus: list[GpuUse]) -> dict[str, Any]:
    """What was measured while an arm was answered, as local_costs.json has it."""
    level = Level(mean=50, peak=90)
    curve = [1.0, 2.0]
    found = Telemetry(
        attempts=1, answers=2, prompt_tokens=20, completion_tokens=4, measured_s=2,
        cpu_percent=level, machine_cpu_percent=level, resident_mb=level, machine_memory_mb=level,
        read_mb=None, written_mb=None, gpus=gpus, energy_wh=None, tokens_per_s=2,
        tokens_per_joule=None, notes=["no GPU was found"],
        first_token_s=Latency.of([0.2, 0.3]) if gpus else None,
        curves=Curves(
            at_s=curve, tokens_per_s=curve, cpu_percent=curve, machine_cpu_percent=curve,
            resident_mb=curve,
        ),
    )  # fmt: skip
    return found.model_dump(mode="json")


def many_arms(root: Path) -> Trial:
    """Two treatments at two temperatures, on a backend that is named after no engine; a panel."""
    folder = root / "many"
    trial = write_trial(folder, treatments=("brief", "kind"), temps=("0.0", "0.7"), seed=2)
    alone = AnnotatorAgreement(["ann", "ben"], None, [])
    found = panel_of(fair, always_correct).model_copy(update={"people": alone})
    write_judgements(folder, found, "brief")
    edit(folder / "trial.json", changed(backend="local", title=None))
    write_retest(folder, [])
    other = {"model": "n", "price": None, "note": "no price is known", "cost_usd": None}
    edit(folder / "costs.json", lambda it: it["by_condition"]["kind"].update(other))
    edit(folder / "audit.json", lambda it: it["arms"]["kind"].update(tokenizer="other.gguf"))
    for treatment, n in (("brief", 1), ("kind", 2)):
        path = ("results", treatment, "0.0", "open_book", "zeros", "completion_tokens", n)
        edit(folder / "usage.json", lambda it, path=path: put(it, *path))
    edit(folder / "trial.json", lambda it: it["decoding"].update(stop=[]))
    for arm, gpus in (("brief", []), ("kind", [GpuUse(name="A GPU")])):
        path = ("by_condition", arm, "telemetry", telemetry(gpus))
        edit(folder / "local_costs.json", lambda it, path=path: put(it, *path))
    make_report(folder)
    return trial


def little_data(root: Path) -> Trial:
    """One item, and none in one task; nothing is known of costs and lengths."""
    folder = root / "little"
    trial = write_trial(folder, n=2, seed=3)
    edit(folder / "significance.json", nothing_open_book)
    edit_arms(folder / "costs.json", price=None, note="no price is known", cost_usd=None)
    unknown = {"embedder": "own", "model": "m", "note": "no price is known for m"}
    edit(folder / "costs.json", changed(embedders=[unknown]))
    edit_arms(folder / "audit.json", n_ctx=None, exceeds_context=None)
    edit(folder / "verification.json", changed(unchecked=["the journal is not here"]))
    edit(
        folder / "local_costs.json",
        lambda it: it["by_condition"]["control"].update(
            requests_at_once=4.5, thought_tokens=900, cut_while_thinking=2
        ),
    )
    edit(folder / "provenance.json", changed(commit=None))
    make_report(folder)
    return trial


def declared(root: Path) -> Trial:
    """A declared primary question, margins, a model that costs nothing, a judge below its bar."""
    folder = root / "declared"
    block = {
        "registration": {"primary": "false_answer_rate", "direction": "decrease", "margin": 0.1},
        "tost_margins": {"em": 0.9, "f1": 0.01},
    }
    content = declaration(Stats.model_validate({**QUICK, **block}))
    assert content is not None
    status = RegistrationStatus(
        digest=digest_of(content), declared_at=NOW, first_answer_at=NOW, evidence="a.jsonl",
        before_first_answer=False,
    )  # fmt: skip
    trial = write_trial(folder, stats=block, declared=status, seed=4)
    known = truths(20)
    twice = [said(each.row, "grader", "correct", again="correct") for each in known]
    write_judgements(folder, held(known, twice, bar=0.6))
    rates = {"input_per_million": 0, "output_per_million": 0}
    price = {"rates": rates, "batch_discount": 0.5, "source": "ours", "date": None}
    edit_arms(folder / "costs.json", price=price, rewritings=REWRITINGS)
    edit(folder / "costs.json", changed(**EMBEDDERS))
    make_report(folder)
    return trial


def in_waves(root: Path) -> Trial:
    """Asked in waves: settled by alpha spending at once, and never settled by betting."""
    trial: Trial | None = None
    for stopping, n_items, seed in (("alpha_spending", 200, 7), ("betting", 8, 8)):
        folder = root / stopping
        question = {"primary": "false_answer_rate", "task": "open_book", "waves": 2}
        question["stopping"] = stopping
        trial = write_trial(
            folder, n=n_items, stats={"registration": question}, seed=seed, tasks=("open_book",)
        )
        table = read_table([folder / f"{task}.jsonl" for task in QUESTIONS])
        scores = read_scores([folder / "per_item_scores.csv"], table)
        settings = StatsSettings(
            stats=Stats.model_validate({"registration": question}),
            tasks={"demo": "open_book", "other": "open_book"},
        )
        decision = decide([scores], table, design(settings), 2 * n_items, 4 * n_items)
        assert decision.settled is (stopping == "alpha_spending")
        edit(folder / "significance.json", changed(sequential=decision.model_dump(mode="json")))
        make_report(folder)
    assert trial is not None
    return trial


def with_amounts(root: Path) -> Trial:
    """A metric that is compared by ratios, one of them with a doubtful interval."""
    folder = root / "amounts"
    trial = write_trial(folder, seed=9)
    add_amounts(folder)
    make_report(folder)
    return trial


def without_correctness(trial: Trial) -> Trial:
    """The same trial on another backend, for which a leading metric was not measured."""
    folder = Path(trial.folder).with_name("unmeasured")
    shutil.copytree(trial.folder, folder)
    path = folder / "per_item_scores.csv"
    unmeasured = {"correct": None, "correct_std": None}
    rows = [row.model_copy(update=unmeasured) for row in read_item_scores(path)]
    write_csv(path, ItemScores.with_metrics(score_columns(path)), rows)
    return trial.model_copy(update={"backend": "there", "folder": folder.as_posix()})


def much_of_everything(root: Path) -> Trial:
    """More errors, files and items than the page has, several libraries and files of a step."""
    folder = root / "much"
    trial = write_trial(folder, n=12, seed=5)
    rows = list(read_csv(folder / "answers.csv", Answer))
    row = next(row for row in rows if row.failed)
    path = folder / "inputs" / f"{row.type}.{row.prompt}.t{row.temp}.p000.jsonl"
    asked = list(read_jsonl(path, Request))
    request = next(each for each in asked if each.item_key == row.item_key)
    for number in range(1, _SHOWN_ERRORS + 1):
        more = request.model_copy(update={"sample_index": number})
        named = more.named(row.condition)
        asked.append(more.model_copy(update={"custom_id": more.named(row.prompt)}))
        rows.append(row.model_copy(update={"sample_index": number, "custom_id": named}))
    write_jsonl(path, asked)
    write_csv(folder / "answers.csv", Answer, rows)
    edit(folder / "provenance.json", lambda it: it.update(files=it["files"] * 201))
    edit(folder / "provenance.json", changed(packages={"numpy": "2", "scipy": "1"}))
    edit(
        folder / "provenance.json",
        lambda it: it["steps"][0].update(rule="infer", files=list("abcdefg")),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial_report, "MOST_RESPONSES", 10)
        make_report(folder)
    return trial


def without_comparisons(root: Path) -> Trial:
    """No comparison; the trial has a title, no failed request and no tokenizer."""
    folder = root / "empty"
    trial = write_trial(folder, n=3, seed=6)
    edit(folder / "trial.json", changed(title="A title"))
    edit(folder / "significance.json", changed(results={}))
    edit(folder / "audit.json", changed(prompts={}))
    edit_arms(folder / "audit.json", tokenizer=None)
    answers = read_csv(folder / "answers.csv", Answer)
    answered = [row.model_copy(update={"finish_reason": "stop"}) for row in answers]
    write_csv(folder / "answers.csv", Answer, answered)
    make_report(folder)
    return trial


def many_judges(judgements: Any) -> None:
    """Judges of pairs, of one price and of none; a file of verdicts."""
    (judge,) = judgements["judges"]
    share = {"value": 0.5, "ci_low": 0.4, "ci_high": 0.6, "n_items": 40, "n_clusters": 40}
    spent = {"requests": 3, "prompt_tokens": 30, "completion_tokens": 6, "cost_usd": None}
    judgements["judges"] = [
        {**judge, "again": None, **further}
        for further in (
            {"spent": None},
            {"spent": spent},
            {"spent": {**spent, "cost_usd": 0.01},
             "swapped": {"inconsistent": share, "first_preferred": share}},
            {"swapped": {"inconsistent": share, "first_preferred": None}},
        )
    ]  # fmt: skip


def searched(root: Path) -> Trial:
    """Passages were searched for, and some of them left out of the prompt."""
    trial = write_trial(root / "searched", n=8, tasks=("rag",), seed=9)
    make_report(root / "searched")
    return trial


def from_files(root: Path) -> Trial:
    """Answers made elsewhere, under both arms."""
    folder = root / "files"
    trial = write_trial(folder, seed=11)
    file = {"path": "data/answers.jsonl", "format": "jsonl"}
    edit(
        folder / "trial.json",
        lambda it: [arm.update(answers=file) for arm in it["arms"].values()],
    )
    edit_arms(folder / "costs.json", price=None, note="the answers come from a file", cost_usd=None)
    edit(folder / "audit.json", changed(prompts={}))
    known = truths(20)
    write_judgements(folder, held(known, [said(each.row, "grader", "correct") for each in known]))
    edit(folder / "judgements.json", many_judges)
    make_report(folder)
    return trial


STATES = (
    in_waves,
    with_amounts,
    without_comparisons,
    plain,
    many_arms,
    little_data,
    declared,
    much_of_everything,
    from_files,
    searched,
)


ANALYSIS = ListedAnalysis(name="december", question="How did <b>revenue</b> develop?", data="a.csv")


def analysed(root: Path) -> None:
    """Pages of analyses: a plan repaired in part, one with too many charts, one with too few."""
    Analysis(root / "repaired").run(adapt_plan=ADAPTATION)

    wide = root / "wide.csv"
    names = ["", "label", *(f"c{n}" for n in range(200))]
    rows = [",".join([f"{n}", f"row {n}", *["1"] * 200]) for n in range(50)]
    wide.write_text("\n".join([",".join(names), *rows]), encoding="utf-8")
    changes = [
        {"action": "add", "step_id": name, "tool": "bar", "params": {"x": name}}
        for name in names[2:13]
    ]
    params = {"by": "label", "value": "c0"}
    changes.append({"action": "add", "step_id": "all", "tool": "aggregate", "params": params})
    analysis = Analysis(root / "wide", wide)
    analysis.run(adapt_plan={"changes": changes, "rationale": ""})
    edit(root / "wide/settings.json", changed(title="A title", note=None))
    edit(root / "wide/intent.json", changed(schema_enforced=None))
    analysis.report()

    narrow = root / "narrow.csv"
    narrow.write_text("v,w\n" + "a,\n,\n" * 5, encoding="utf-8")
    analysis = Analysis(root / "narrow", narrow)
    analysis.run(adapt_plan="Let me think.")
    edit(root / "narrow/intent.json", changed(schema_enforced="loosened"))
    analysis.report()


def elsewhere(trial: Trial, backend: str, model: str, prompt_set: str) -> Trial:
    """A trial as if another backend had answered it."""
    arms = {
        condition: arm.model_copy(update={"raw_folder": f"{backend}/raw"})
        for condition, arm in trial.arms.items()
    }
    named = {"backend": backend, "model": model, "prompt_set": prompt_set, "arms": arms}
    return trial.model_copy(update=named)


def test_a_page_tells_what_embeddings_cost(tmp_path: Path) -> None:
    write_trial(tmp_path, n=4)
    edit(tmp_path / "costs.json", changed(**EMBEDDERS))
    make_report(tmp_path)
    page = re.sub(r"<[^>]*>|\s+", " ", (tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "had paid 0.5006 US$ for answers and embeddings" in re.sub(r" +", " ", page)
    assert "Embedder small (embed-3): 0.0006 US$ for 1,200 chunks and questions with 31,000" in page
    assert "0.02 US$ per million tokens; source: prices.example, 2026-12-01)" in page
    assert "up to 0.2500 US$ more may have been charged for replies that were lost (0.02" in page
    assert "; embeddings: US$ 0.5006" in page


def test_a_page_tells_what_rewriting_cost_and_counts_it_once(tmp_path: Path) -> None:
    write_trial(tmp_path, n=4)
    edit_arms(tmp_path / "costs.json", rewritings=REWRITINGS, cost_usd=0.75)
    make_report(tmp_path)
    page = re.sub(r"<[^>]*>|\s+", " ", (tmp_path / "report.html").read_text(encoding="utf-8"))
    page = re.sub(r" +", " ", page)
    assert "Rewriting questions, m (b), rewrite, rag: 20 requests, 1,234 tokens, 0.5000" in page
    n_arms = len(json.loads((tmp_path / "costs.json").read_text("utf-8"))["by_condition"])
    assert f"US$ {n_arms * 0.25 + 0.5:.2f}" in page


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> TemplateCoverage:
    coverage = TemplateCoverage()
    root = tmp_path_factory.mktemp("states")
    with coverage, pytest.MonkeyPatch.context() as patch:
        declare_amount(patch)
        # As a task has them whose answers have fields and state how sure they are.
        roles = ConfidenceRoles(stated="f1_extracted", correct="em")
        patch.setattr(type(OPEN_BOOK), "confidence", roles)
        found = [Difference(f"/{n}", "a", "b", "wrong") for n in range(SHOWN)]
        patch.setattr(type(OPEN_BOOK), "compared", lambda *_, **__: found)
        patch.setattr(type(OPEN_BOOK), "compared_by", "this test")
        own = ContrastFigure("own", lambda contrast, arms: Figure("own", "Own", absent="Nothing."))
        patch.setitem(FIGURES._places, "own", "declared in this test")
        patch.setitem(FIGURES._found, "own", own)
        trials = [state(root) for state in STATES]
        # Backends compared: with enough items, with too few, under two names of the model, and of
        # several treatments; then only some of the pairs.
        pairs = [
            elsewhere(trial, backend, model, str(number))
            for number, trial in enumerate(trials)
            for backend, model in (("here", "m"), ("there", "n"))
        ]
        fronts = {"one": trials[3:4], "all": pairs, "little": pairs[10:12]}
        fronts["partly"] = [trials[1], without_correctness(trials[1])]
        for name, of_page in fronts.items():
            settings = FrontSettings(
                title=name, note="A note.", trials=of_page,
                analyses=[ANALYSIS] if name == "one" else [],
            )  # fmt: skip
            make_front(root / "pages" / name / "report.html", settings)
        patch.setattr(experiment, "MAX_PAIRS", 1)
        patch.setattr(experiment, "MAX_SUBGROUPS", 1)
        make_front(
            root / "pages/few/report.html", FrontSettings(title=None, note=None, trials=pairs)
        )
        for name, note in (("alone", "A note."), ("silent", None)):
            settings = FrontSettings(title=None, note=note, trials=[], analyses=[ANALYSIS])
            page = root / "pages" / name / "report.html"
            write_record(page.with_name("front.json"), settings)
            given = ["--settings", str(page.with_name("front.json")), "--comparisons"]
            written = ["--output", str(page), "--json", str(page.with_suffix(".json"))]
            run_main(front, [*given, *written])
        index(root / "pages")
        analysed(root)
    return coverage


@pytest.mark.slow
def test_every_branch_of_every_template_was_rendered(rendered: TemplateCoverage) -> None:
    assert "\n".join(rendered.missing()) == ""
    names = {path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*.j2")}
    assert rendered.rendered() == names
