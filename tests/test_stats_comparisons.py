"""comparisons.json: treatments, trials, temperatures and parts of the items against each other."""

import itertools
import json
import math
import sys
from datetime import UTC, datetime

import numpy as np
import pytest
import statsmodels.api as sm
from question_records import METRICS, Item, ItemScores
from report_files import made_arm
from scipy import stats

from workflow_scripts.comparisons import experiment
from workflow_scripts.comparisons.experiment import arm_pairs, chosen_pairs, compare_all, main
from workflow_scripts.comparisons.pairings import Comparisons
from workflow_scripts.comparisons.registration import RegistrationStatus
from workflow_scripts.comparisons.score_files import scores_of, table_of
from workflow_scripts.comparisons.settings import ComparisonsSettings
from workflow_scripts.config.trial import Trial
from workflow_scripts.core import records
from workflow_scripts.core.files import read_settings, write_csv, write_json, write_jsonl
from workflow_scripts.core.metric import Metric
from workflow_scripts.stats.settings import Registration, Stats
from workflow_scripts.tasks.question_answering import OpenBook, QuestionAnswering
from workflow_scripts.tasks.registry import TASKS
from workflow_scripts.tasks.score_tables import write_metrics

SETTINGS = Stats(permutation_samples=2000, tost_margins={"em": 0.2})
COMPARED = {"em", "correct", "abstain_rate", "false_answer_rate"}
"""The shares of overviews, and the one with a margin."""


def made_trial(prompt_set, conditions, *, backend="here", temps=("0.0", "0.7"), folder=None):
    place = f"results/e/{backend}/m/default/{prompt_set}"
    return Trial.model_validate(
        {
            "experiment": "e",
            "title": None,
            "note": None,
            "backend": backend,
            "engine": backend,
            "model": "m",
            "decoding_name": "default",
            "decoding": {"max_new_tokens": {}, "top_p": None, "top_k": None, "stop": []},
            "prompt_set": prompt_set,
            "arms": {
                name: made_arm(prompt, prompt, raw_folder=f"{backend}/raw")
                for name, prompt in conditions.items()
            },
            "temps": list(temps),
            "folder": place if folder is None else folder,
        }
    )


ONE = made_trial("one", {"control": "plain", "kind": "kind", "stern": "stern"})
TWO = made_trial("two", {"control": "plain", "treatment": "brief"})
FAR = made_trial("one", {"control": "plain", "kind": "kind", "stern": "stern"}, backend="there")
TRIALS = [ONE, TWO, FAR]

ITEMS = [
    Item(
        id=str(number),
        dataset="a" if number % 3 else "b",
        question="?",
        answers=[] if number % 4 == 0 else ["x"],
        context="x",
        is_unanswerable=number % 4 == 0,
        cluster_id=f"p{number // 5}",
        tags={"topic": ("law", "art")[number % 5 < 2]},
    )
    for number in range(150)
]
KEYS = [item.key for item in ITEMS]
CLUSTERS = np.unique([f"{i.dataset} {i.cluster_id}" for i in ITEMS], return_inverse=True)[1]
UNANSWERABLE = np.array([item.is_unanswerable for item in ITEMS])


def answers_of(trial):
    """The exact match of each item by condition and temperature; equal arms answer alike."""
    found = {}
    for (condition, arm), temp in itertools.product(trial.arms.items(), trial.temps):
        name = f"{trial.backend} {arm.prompt} {temp}"
        draw = np.random.default_rng([ord(letter) for letter in name])
        chance = {"plain": 0.4, "kind": 0.4, "stern": 0.7, "brief": 0.6}[arm.prompt]
        bonus = 0.25 if arm.prompt == "stern" else 0.0
        found[condition, temp] = (draw.random(150) < chance + bonus * UNANSWERABLE).astype(float)
    return found


def rows_of(trial):
    return [
        ItemScores(
            item_key=key,
            type="open_book",
            condition=condition,
            temp=temp,
            em=right,
            f1=right,
            abstain_rate=0.0,
            false_answer_rate=1 - right,
            unsupported_rate=0.5 * right,
            correct=right,
            contains_gold=right,
            **{f"{name}_std": 0.0 for name in METRICS},
        )
        for (condition, temp), values in answers_of(trial).items()
        for key, right in zip(KEYS, values, strict=True)
    ]


def compared(trials=TRIALS, settings=SETTINGS, statuses=None):
    table = table_of(ITEMS)
    scores = [scores_of(rows_of(trial), table) for trial in trials]
    return compare_all(trials, scores, table, settings, statuses or [None] * len(trials))


@pytest.fixture(scope="module")
def found():
    return compared()


def of_kind(found, kind):
    return [each for each in found.comparisons if each.kind == kind]


def values_of(side):
    return answers_of(TRIALS[side.trial])[side.condition, side.temp]


def flipped_p(values):
    """The permutation test of a sum, with signs by cluster, in the plainest way."""
    sums = np.bincount(CLUSTERS, values)
    signs = np.random.default_rng(9).choice([-1, 1], size=(4000, len(sums)))
    return np.mean(np.abs(signs @ sums) >= abs(sums.sum()) - 1e-9)


def test_each_kind_of_comparison_is_made_of_what_there_is(found):
    named = {
        kind: {
            tuple(
                fact
                for side in (each.first, each.second)
                for fact in (side.trial, side.condition, side.temp)
            )
            for each in of_kind(found, kind)
        }
        for kind in ("treatments", "trials", "temperatures")
    }
    temps = ("0.0", "0.7")
    assert named["treatments"] == {
        (trial, "kind", temp, trial, "stern", temp) for trial in (0, 2) for temp in temps
    }
    # The control of the second trial is that of the first: it comes once.
    assert named["temperatures"] == {
        (trial, condition, "0.0", trial, condition, "0.7")
        for trial, condition in (
            *((0, name) for name in ONE.arms),
            (1, "treatment"),
            *((2, name) for name in FAR.arms),
        )
    }
    assert {each[0] for each in named["trials"]} | {each[3] for each in named["trials"]} == {
        0,
        1,
        2,
    }
    assert (0, "control", "0.0", 2, "control", "0.0") in named["trials"]
    assert (1, "treatment", "0.7", 2, "stern", "0.7") in named["trials"]
    assert (found.pairs, found.pairs_in_all) == (3, 3)
    assert found.trials[1] == "here/m/default/two"
    parts = {
        (each.first.trial, each.first.condition, each.first.subgroup, each.second.subgroup)
        for each in of_kind(found, "interaction")
    }
    kinds = [("answerable", "unanswerable"), ("dataset=a", "dataset=b"), ("topic=art", "topic=law")]
    assert parts == {
        (number, condition, *kind)
        for number, trial in enumerate(TRIALS)
        for condition in trial.arms
        if condition != "control"
        for kind in kinds
    }
    assert all({*each.metrics} == COMPARED for each in found.comparisons if not each.same_answers)


def test_differences_are_those_of_the_regression_on_clusters(found):
    """Against statsmodels; CR2 is a little wider than Liang and Zeger's error."""
    for kind in ("treatments", "trials", "temperatures"):
        for each in of_kind(found, kind):
            first, second = values_of(each.first), values_of(each.second)
            if each.same_answers:
                assert (first == second).all()
                assert each.metrics == {}
                continue
            estimate = each.metrics["em"]
            assert estimate.difference == pytest.approx((second - first).mean())
            assert (estimate.first, estimate.second) == (first.mean(), second.mean())
            fitted = sm.OLS(second - first, np.ones(150)).fit(
                cov_type="cluster", cov_kwds={"groups": CLUSTERS}
            )
            half = (estimate.ci_high - estimate.ci_low) / 2
            assert half == pytest.approx(2 * fitted.bse[0], rel=0.1)
            assert estimate.permutation_p == pytest.approx(flipped_p(second - first), abs=0.04)


def test_interactions_are_those_of_the_regression_on_both_parts(found):
    seen = 0
    for each in of_kind(found, "interaction"):
        if each.first.subgroup != "answerable":
            continue
        control = each.first.model_copy(update={"condition": "control"})
        effect = values_of(each.first) - values_of(control)
        fitted = sm.OLS(effect, sm.add_constant(UNANSWERABLE.astype(float))).fit(
            cov_type="cluster", cov_kwds={"groups": CLUSTERS}
        )
        estimate = each.metrics["em"]
        assert estimate.difference == pytest.approx(fitted.params[1])
        assert estimate.first == pytest.approx(effect[~UNANSWERABLE].mean())
        assert estimate.second == pytest.approx(effect[UNANSWERABLE].mean())
        half = (estimate.ci_high - estimate.ci_low) / 2
        assert half == pytest.approx(2 * fitted.bse[1], rel=0.1)
        weights = np.where(UNANSWERABLE, 1 / UNANSWERABLE.mean(), -1 / (~UNANSWERABLE).mean())
        p_value = flipped_p(weights * (effect - effect.mean()))
        assert estimate.permutation_p == pytest.approx(p_value, abs=0.04)
        seen += 1
    assert seen == 10


def test_all_tests_are_one_family_and_equal_ones_count_once(found):
    unique = {}
    for each in found.comparisons:
        sides = [
            (TRIALS[s.trial].backend, TRIALS[s.trial].arms[s.condition].prompt, s.temp, s.subgroup)
            for s in (each.first, each.second)
        ]
        for metric, estimate in each.metrics.items():
            key = (each.kind == "interaction", *sides, metric)
            unique.setdefault(key, []).append(estimate)
    assert any(len(equal) > 1 for equal in unique.values())
    assert all(len({repr(e) for e in equal}) == 1 for equal in unique.values())
    once = [equal[0] for equal in unique.values()]
    assert found.families == {"shares": len(once), "amounts": 0}
    expected = stats.false_discovery_control([each.permutation_p for each in once])
    assert [each.q_value for each in once] == pytest.approx(list(expected))
    # A clear difference stays clear among so many tests.
    assert min(each.q_value for each in once) < 0.05


def test_margins_are_tested_where_they_are_set(found):
    for each in found.comparisons:
        for metric, estimate in each.metrics.items():
            assert (estimate.margin is not None) == (metric == "em")
    (treatments, *_) = of_kind(found, "treatments")
    em = treatments.metrics["em"]
    assert (em.margin, em.equivalent) == (0.2, em.margin_p < 0.05)


def status(before):
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return RegistrationStatus(
        digest="d", declared_at=at, first_answer_at=at, evidence=None, before_first_answer=before
    )


def declared_in(found):
    return {
        (each.kind, metric, each.first.temp, each.first.subgroup, estimate.declared)
        for each in found.comparisons
        for metric, estimate in each.metrics.items()
        if estimate.declared
    }


def test_the_declared_question_is_marked_with_when_it_was_declared():
    question = Registration(primary="f1", temp=0.7)
    settings = SETTINGS.model_copy(update={"registration": question})
    early = compared(settings=settings, statuses=[status(True)] * 3)
    assert declared_in(early) == {
        ("treatments", "f1", "0.7", None, "before"),
        ("trials", "f1", "0.7", None, "before"),
    }
    late = compared(settings=settings, statuses=[status(True), status(None), status(False)])
    assert {each[-1] for each in declared_in(late)} == {"before", "unknown", "after"}
    part = settings.model_copy(
        update={"registration": Registration(primary="em", temp=0.7, subgroup="unanswerable")}
    )
    among = compared(settings=part, statuses=[status(True)] * 3)
    assert declared_in(among) == {("interaction", "em", "0.7", "answerable", "before")}


def test_of_many_tags_the_largest_are_compared(monkeypatch):
    monkeypatch.setattr(experiment, "MAX_SUBGROUPS", 1)
    found = compared([TWO])
    assert of_kind(found, "interaction") == []
    assert found.subgroups_left_out == ["dataset=b", "topic=art", "unanswerable"]


def test_the_command_reads_the_folders_of_the_trials(tmp_path, monkeypatch):
    question = Registration(primary="em")
    settings = SETTINGS.model_copy(update={"registration": question})
    trials = []
    for trial in TRIALS:
        folder = tmp_path / trial.folder
        write_csv(folder / "per_item_scores.csv", ItemScores, rows_of(trial))
        write_metrics(folder / "metrics.json", QuestionAnswering.metrics)
        write_json(folder / "registration.json", status(True).model_dump(mode="json"))
        trials.append(trial.model_copy(update={"folder": folder.as_posix()}))
    write_jsonl(tmp_path / "open_book.jsonl", ITEMS)
    content = ComparisonsSettings(stats=settings, trials=trials).model_dump(mode="json")
    write_json(tmp_path / "settings.json", content)
    arguments = {"settings": "settings.json", "items": "open_book.jsonl", "output": "found.json"}
    arguments["seal"] = "seals/comparisons.json"
    given = [part for name, file in arguments.items() for part in (f"--{name}", tmp_path / file)]
    monkeypatch.setattr(sys, "argv", ["experiment", *map(str, given)])
    main()
    read = read_settings(tmp_path / "found.json", Comparisons)
    assert read == compared(settings=settings, statuses=[status(True)] * 3)
    seal = json.loads((tmp_path / "seals/comparisons.json").read_text(encoding="utf-8"))
    assert len(seal["inputs"]) == 3 * len(TRIALS) + 1
    assert str(tmp_path) not in (tmp_path / "found.json").read_text(encoding="utf-8")


TOKENS = Metric("tokens", "tokens", "Tokens.", "lower", kind="amount")


class Counted(OpenBook):
    """Questions whose answers have an amount besides."""

    name = "counted"
    metrics = (*OpenBook.metrics, TOKENS)


def test_amounts_are_ratios_in_a_family_of_their_own(monkeypatch):
    monkeypatch.setitem(TASKS._places, "counted", "declared in this test")
    monkeypatch.setitem(TASKS._found, "counted", Counted())
    record = records.ItemScores.with_metrics(Counted.metrics)
    draw = np.random.default_rng(3)
    tokens = {
        condition: draw.lognormal(3 - 0.4 * (condition != "control") - 0.5 * UNANSWERABLE, 0.3)
        for condition in ONE.arms
    }
    tokens["stern"][7] = np.nan
    rows = [
        record.model_validate(
            {
                **row.model_dump(),
                "type": "counted",
                "tokens": None if np.isnan(value) else value,
                "tokens_std": None if np.isnan(value) else 0.0,
            }
        )
        for row in rows_of(ONE.model_copy(update={"temps": ["0.0"]}))
        for value in [tokens[row.condition][KEYS.index(row.item_key)]]
    ]
    table = table_of(ITEMS)
    trial = ONE.model_copy(update={"temps": ["0.0"]})
    found = compare_all([trial], [scores_of(rows, table)], table, SETTINGS, [None])
    (treatments,) = of_kind(found, "treatments")
    ratio = treatments.amounts["tokens"]
    logs = np.log(tokens["stern"] / tokens["kind"])
    there = ~np.isnan(logs)
    assert (ratio.n_items, treatments.n_items) == (149, 150)
    assert ratio.ratio == pytest.approx(np.exp(logs[there].mean()))
    fitted = sm.OLS(logs[there], np.ones(149)).fit(
        cov_type="cluster", cov_kwds={"groups": CLUSTERS[there]}
    )
    assert np.log(ratio.ci_high / ratio.ci_low) == pytest.approx(4 * fitted.bse[0], rel=0.1)
    part = next(
        each
        for each in of_kind(found, "interaction")
        if (each.first.subgroup, each.first.condition) == ("answerable", "kind")
    ).amounts["tokens"]
    effect = np.log(tokens["kind"] / tokens["control"])
    expected = effect[UNANSWERABLE].mean() - effect[~UNANSWERABLE].mean()
    assert part.ratio == pytest.approx(np.exp(expected))
    assert part.second == pytest.approx(np.exp(effect[UNANSWERABLE].mean()))
    amounts = [each.amounts["tokens"] for each in found.comparisons]
    assert found.families["amounts"] == len(amounts) == 7
    q_values = stats.false_discovery_control([each.permutation_p for each in amounts])
    assert [each.q_value for each in amounts] == pytest.approx(list(q_values))


def many_trials(n_models, n_sets):
    return [
        made_trial(f"s{number}", {"control": "c"}, temps=["0.0"]).model_copy(
            update={"model": f"m{model}"}
        )
        for model in range(n_models)
        for number in range(n_sets)
    ]


def test_of_too_many_pairs_the_nearest_are_compared():
    few, n_few = chosen_pairs(many_trials(6, 5))
    assert len(few) == n_few == math.comb(30, 2) == experiment.MAX_PAIRS
    trials = many_trials(8, 6)
    chosen, n_pairs = chosen_pairs(trials)
    assert n_pairs == math.comb(48, 2)
    assert len(chosen) == experiment.MAX_PAIRS
    nearest = {
        (i, j)
        for i, j in itertools.combinations(range(48), 2)
        if trials[i].model == trials[j].model or trials[i].prompt_set == trials[j].prompt_set
    }
    assert nearest < set(chosen)


def test_arms_are_matched_by_name_else_each_with_each():
    def of(*conditions):
        return made_trial("s", {name: name for name in ("control", *conditions)})

    control = ("control", "control")
    assert arm_pairs(of("treatment"), of("treatment")) == [control, ("treatment", "treatment")]
    assert arm_pairs(of("a", "b"), of("b", "c")) == [control, ("b", "b")]
    assert arm_pairs(of("treatment"), of("a", "b")) == [
        control,
        ("treatment", "a"),
        ("treatment", "b"),
    ]
