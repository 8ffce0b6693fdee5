"""The comparison as a whole: pairing, families, undefined numbers, and the command."""

import json
import sys
from datetime import UTC, datetime

import numpy as np
import pytest
from compared import analysed, contrasts
from hypothesis import given, settings
from hypothesis import strategies as st
from question_records import Item, ItemScores
from wave_design import design

from workflow_scripts.comparisons.contrasts import main
from workflow_scripts.comparisons.registration import RegistrationStatus, declaration, digest_of
from workflow_scripts.comparisons.score_files import scores_of, table_of
from workflow_scripts.comparisons.sequential import decide
from workflow_scripts.comparisons.settings import StatsSettings
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_csv, write_json, write_jsonl
from workflow_scripts.stats.intervals import Interval, headline, mean_difference
from workflow_scripts.stats.multiplicity import benjamini_hochberg, holm
from workflow_scripts.stats.settings import Registration, Stats

SETTINGS = Stats(
    bootstrap_samples=200,
    permutation_samples=300,
    risk_thresholds=[0.1, 0.5],
    tost_margins={"em": 0.05, "unsupported_rate": 0.1},
)


def item(number, dataset="one", cluster=None, unanswerable=False):
    return Item(
        id=str(number),
        dataset=dataset,
        question="?",
        answers=[] if unanswerable else ["x"],
        context="x",
        is_unanswerable=unanswerable,
        cluster_id=cluster or str(number),
    )


def row(of, condition, em, abstain=0.0, task="open_book", temp="0.0"):
    answerable_em = 0.0 if of.is_unanswerable else em
    return ItemScores(
        item_key=of.key,
        type=task,
        condition=condition,
        temp=temp,
        em=em,
        em_std=0,
        f1=em,
        f1_std=0,
        abstain_rate=abstain,
        abstain_rate_std=0,
        false_answer_rate=1 - abstain - answerable_em,
        false_answer_rate_std=0,
        unsupported_rate=0.0 if task == "open_book" else None,
        unsupported_rate_std=0.0 if task == "open_book" else None,
        correct=em,
        correct_std=0,
        contains_gold=em,
        contains_gold_std=0,
    )


def messages(result, code=None):
    """The warnings of a comparison, of one kind or all."""
    found = result["meta"]["warnings"]
    return [each["message"] for each in found if code in (None, each["code"])]


def experiment(conditions=("control", "treatment"), tasks=("open_book",), n=80):
    """Two data sets with passages of four questions, half of the second's unanswerable."""
    draw = np.random.default_rng(0)
    items = [
        item(k, "one" if k < n // 2 else "two", f"p{k // 4}", unanswerable=k >= 3 * n // 4)
        for k in range(n)
    ]
    rows = []
    for task in tasks:
        for condition in conditions:
            for of in items:
                abstain = float(draw.random() < (0.1 if condition == "control" else 0.4))
                right = abstain if of.is_unanswerable else (1 - abstain) * (draw.random() < 0.6)
                rows.append(row(of, condition, float(right), abstain, task))
    return rows, {of.key: of for of in items}


def of_tasks(settings):
    """The settings with both data sets of `experiment` put to the task that it mostly has."""
    return settings.model_copy(update={"tasks": {"one": "open_book", "two": "open_book"}})


def test_the_file_has_the_agreed_shape():
    rows, items = experiment(tasks=("open_book", "closed_book"))
    found = contrasts(rows, items, SETTINGS)
    assert (found["schema_version"], found["control"]) == (2, "control")
    by_task = found["results"]["treatment"]["0.0"]
    assert list(by_task) == ["closed_book", "open_book"]
    result = by_task["open_book"]
    assert result["n_items"] == 80
    assert result["meta"] == {
        "n_clusters": 20,
        "n_unpaired": 0,
        "n_unanswerable": 20,
        "confidence": 0.95,
        "bootstrap_samples": 200,
        "permutation_samples": 300,
        "random_seed": 20260101,
        "warnings": result["meta"]["warnings"],
        "samples_per_item": 1,
        "effective_samples_per_item": 1,
    }
    assert list(result["mcnemar"]) == [
        *("em", "abstain_rate", "false_answer_rate", "correct", "contains_gold")
    ]
    assert list(result["metrics"]) == [
        *("em", "f1", "abstain_rate", "false_answer_rate", "unsupported_rate"),
        *("correct", "contains_gold"),
    ]
    assert list(by_task["closed_book"]["metrics"]) == [
        name for name in result["metrics"] if name != "unsupported_rate"
    ]
    assert list(by_task["closed_book"]["tost"]) == ["em"]
    assert list(result["tost"]) == ["em", "unsupported_rate"]
    assert list(result["selective_risk"]) == ["control", "treatment"]
    assert list(result["selective_risk"]["control"]["meets"]) == ["0.1", "0.5"]
    assert list(result["subgroups"]) == ["dataset=one", "dataset=two", "answerable", "unanswerable"]
    assert result["subgroups"]["unanswerable"]["n_items"] == 20
    assert result["subgroups"]["unanswerable"]["n_clusters"] == 5


def test_estimates_are_those_of_the_rows():
    rows, items = experiment()
    result = contrasts(rows, items, SETTINGS)["results"]["treatment"]["0.0"]["open_book"]
    means = {
        condition: np.mean([row.abstain_rate for row in rows if row.condition == condition])
        for condition in ("control", "treatment")
    }
    estimate = result["metrics"]["abstain_rate"]
    assert estimate["control_mean"] == pytest.approx(means["control"], abs=1e-12)
    assert estimate["treatment_mean"] == pytest.approx(means["treatment"], abs=1e-12)
    difference = means["treatment"] - means["control"]
    assert estimate["difference"] == pytest.approx(difference, abs=1e-12)
    assert estimate["ci_low"] < difference < estimate["ci_high"]
    assert estimate["permutation_p"] < 0.05


def test_neither_row_order_nor_other_treatments_change_a_result():
    rows, items = experiment(("control", "treatment", "another"))
    found = contrasts(rows, items, SETTINGS)
    shuffled = [rows[k] for k in np.random.default_rng(1).permutation(len(rows))]
    assert contrasts(shuffled, dict(reversed(items.items())), SETTINGS) == found
    alone = contrasts([row for row in rows if row.condition != "another"], items, SETTINGS)
    estimates = alone["results"]["treatment"]["0.0"]["open_book"]["metrics"]
    for metric, estimate in found["results"]["treatment"]["0.0"]["open_book"]["metrics"].items():
        corrected = {"q_value": 0, "p_holm": 0}
        # More tests get more permutations where p is near its smallest value.
        if estimate["permutation_p"] < 0.05:
            for name in ("permutation_p", "permutation_p_increase", "permutation_p_decrease"):
                assert estimate[name] == pytest.approx(estimates[metric][name], abs=0.02)
                corrected[name] = 0
        assert estimate | corrected == estimates[metric] | corrected


def test_swapping_the_arms_flips_signs_and_keeps_p_values():
    rows, items = experiment()
    other = {"control": "treatment", "treatment": "control"}
    swapped = [row.model_copy(update={"condition": other[row.condition]}) for row in rows]
    one, two = (
        contrasts(some, items, SETTINGS)["results"]["treatment"]["0.0"]["open_book"]
        for some in (rows, swapped)
    )
    for metric, estimate in one["metrics"].items():
        mirrored = two["metrics"][metric]
        for name in ("permutation_p", "wilcoxon_p", "q_value"):
            assert mirrored[name] == pytest.approx(estimate[name], abs=1e-12)
        for name in ("difference", "hodges_lehmann", "cliffs_delta", "cohens_d"):
            negated = None if estimate[name] is None else -estimate[name]
            assert mirrored[name] == pytest.approx(negated, abs=1e-12)
        assert mirrored["ci_low"] == pytest.approx(-estimate["ci_high"], abs=1e-12)
        assert mirrored["naive_ci_high"] == pytest.approx(-estimate["naive_ci_low"], abs=1e-12)
    for metric, test in one["mcnemar"].items():
        assert two["mcnemar"][metric]["p_value"] == test["p_value"]
        assert two["mcnemar"][metric]["only_control"] == test["only_treatment"]
    for metric, test in one["tost"].items():
        assert two["tost"][metric]["p_value"] == pytest.approx(test["p_value"], abs=1e-12)


def test_totals_and_subgroups_are_families_of_their_own():
    rows, items = experiment(("control", "treatment", "another"))
    found = contrasts(rows, items, SETTINGS)
    by_treatment = [by_temp["0.0"]["open_book"] for by_temp in found["results"].values()]
    totals = [estimate for result in by_treatment for estimate in result["metrics"].values()]
    parts = [
        estimate
        for result in by_treatment
        for subgroup in result["subgroups"].values()
        for estimate in subgroup["metrics"].values()
    ]
    # 7 shares of 2 treatments; 4 subgroups.
    assert found["multiplicity"]["families"] == {"exploratory": 14, "subgroups": 56}
    for family in (totals, parts):
        q_values = benjamini_hochberg([estimate["permutation_p"] for estimate in family])
        assert [estimate["q_value"] for estimate in family] == q_values
        adjusted = holm([estimate["permutation_p"] for estimate in family])
        assert [estimate["p_holm"] for estimate in family] == adjusted


def test_unpaired_items_are_counted_and_named():
    items = {of.key: of for of in map(item, range(30))}
    rows = [row(of, "control", 1.0) for of in items.values()]
    rows += [row(of, "treatment", 0.0) for of in list(items.values())[24:]]
    result = contrasts(rows, items, SETTINGS)["results"]["treatment"]["0.0"]["open_book"]
    assert (result["n_items"], result["meta"]["n_unpaired"]) == (6, 24)
    (warning,) = messages(result, "unpaired_items")
    assert warning.startswith("24 items have scores under one arm only")
    assert "one|0, one|1, one|10" in warning
    assert warning.endswith("and 4 more")


def test_arms_without_a_common_item_compare_nothing_and_say_so():
    items = {of.key: of for of in map(item, range(2))}
    first, second = items.values()
    rows = [row(first, "control", 1.0), row(second, "treatment", 1.0)]
    result = contrasts(rows, items, SETTINGS)["results"]["treatment"]["0.0"]["open_book"]
    assert (result["n_items"], result["metrics"], result["mcnemar"]) == (0, {}, {})
    assert messages(result, "no_pairs") == [
        "no item has scores under both arms: there is nothing to compare"
    ]


def test_what_is_undefined_is_null_with_its_reason():
    items = {of.key: of for of in (item(k, cluster="p") for k in range(3))}
    rows = [row(of, arm, 0.0, 1.0) for of in items.values() for arm in ("control", "treatment")]
    result = contrasts(rows, items, SETTINGS)["results"]["treatment"]["0.0"]["open_book"]
    estimate = result["metrics"]["em"]
    assert [estimate[name] for name in ("ci_low", "ci_high", "wilcoxon_p", "cohens_d")] == [
        None
    ] * 4
    assert (estimate["permutation_p"], estimate["q_value"]) == (1, 1)
    risk = result["selective_risk"]["control"]
    assert (risk["coverage"], risk["risk"], risk["meets"]) == (0, None, {})
    tost = result["tost"]["em"]
    assert (tost["margin"], tost["p_value"], tost["equivalent"]) == (0.05, None, None)
    metrics = "em, f1, abstain_rate, false_answer_rate, unsupported_rate, correct, contains_gold"
    assert messages(result) == [
        "mcnemar, wilcoxon_p and the naive interval take items as independent, and items of a "
        "cluster are not: use permutation_p and ci_low to ci_high",
        "ci_low and ci_high are undefined: there is only one cluster",
        f"wilcoxon_p is undefined for {metrics}: all differences are 0",
        f"cohens_d is undefined for {metrics}: differences do not vary",
        "selective_risk: risk is undefined for control, treatment: the arm never answers",
        "mcnemar: odds_ratio is undefined for em, abstain_rate, false_answer_rate, correct, "
        "contains_gold: only_control is 0",
        "tost: p_value is undefined for em, unsupported_rate: there is only one cluster, or "
        "clusters do not vary",
    ]


def test_split_votes_are_counted_in_a_warning():
    items = {of.key: of for of in map(item, range(40))}
    rows = [row(of, arm, 0.5) for of in items.values() for arm in ("control", "treatment")]
    result = contrasts(rows, items, SETTINGS)["results"]["treatment"]["0.0"]["open_book"]
    assert messages(result, "split_votes") == [
        f"mcnemar, {metric}: 40 items are left out because their samples are split evenly"
        for metric in ("em", "false_answer_rate", "correct", "contains_gold")
    ]


def test_a_cluster_is_one_within_its_data_set_only():
    items = {
        of.key: of for of in (item(k, dataset, "p1") for dataset in ("one", "two") for k in (1, 2))
    }
    rows = [row(of, arm, 1.0) for of in items.values() for arm in ("control", "treatment")]
    result = contrasts(rows, items, SETTINGS)["results"]["treatment"]["0.0"]["open_book"]
    assert result["meta"]["n_clusters"] == 2


def test_the_naive_interval_stands_beside_the_wider_one_of_clusters():
    items = [item(k, cluster=f"p{k // 10}") for k in range(400)]
    draw = np.random.default_rng(0).integers(0, 2, size=40)
    rows = [row(of, "control", 0.0) for of in items]
    rows += [row(of, "treatment", float(draw[k // 10])) for k, of in enumerate(items)]
    by_passage = {of.key: of for of in items}
    alone = {of.key: item(of.id) for of in items}
    first, second = (
        contrasts(rows, some, SETTINGS)["results"]["treatment"]["0.0"]["open_book"]["metrics"]["em"]
        for some in (by_passage, alone)
    )
    widths = [first["ci_high"] - first["ci_low"], first["naive_ci_high"] - first["naive_ci_low"]]
    assert widths[0] > 2 * widths[1] > 0
    assert first["standard_error"] > 2 * first["naive_standard_error"]
    assert first["design_effect"] == pytest.approx(10, rel=0.1)
    assert first["effective_n"] == pytest.approx(40, rel=0.1)
    assert second["design_effect"] == pytest.approx(1, abs=1e-9)
    for end in ("low", "high"):
        assert first[f"naive_ci_{end}"] == second[f"naive_ci_{end}"]
        assert second["intervals"]["cluster_t"][end] == pytest.approx(second[f"naive_ci_{end}"])


def test_rounding_makes_no_ties_differ():
    # 2/3 - 1/3 and 1/3 - 0 are one number; in floating point they are two.
    items = {of.key: of for of in map(item, range(4))}
    pairs = [(1 / 3, 2 / 3), (0.0, 1 / 3), (2 / 3, 1.0), (1.0, 2 / 3)]
    rows = []
    for of, (before, after) in zip(items.values(), pairs, strict=True):
        rows += [row(of, "control", before), row(of, "treatment", after)]
    result = contrasts(rows, items, SETTINGS)["results"]["treatment"]["0.0"]["open_book"]
    # Four tied ranks, one of them negative: 10 of 16 sign patterns are as extreme.
    assert result["metrics"]["em"]["wilcoxon_p"] == pytest.approx(10 / 16, abs=1e-12)


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([row(item(1), "control", 1.0)], SETTINGS, "needs 'control' and at least one treatment"),
        ([row(item(1), "a", 1.0), row(item(1), "b", 1.0)], SETTINGS, "needs 'control'"),
        (
            [row(item(9), arm, 1.0) for arm in ("control", "treatment")],
            SETTINGS,
            r"item 'one\|9' has scores but is not in the item files",
        ),
        ([row(item(1), "control", 1.0)] * 2, SETTINGS, r"item 'one\|1' has two rows of scores"),
        (
            [
                row(item(1), "control", 1.0),
                row(item(1), "treatment", 1.0).model_copy(update={"unsupported_rate": None}),
            ],
            SETTINGS,
            "unsupported_rate is empty on some rows",
        ),
    ],
)
def test_what_cannot_be_compared_is_an_error(rows, settings, message):
    with pytest.raises(UserError, match=message):
        contrasts(rows, {"one|1": item(1)}, settings)


def run(monkeypatch, folder, rows, items, settings=SETTINGS, **files):
    write_csv(folder / "per_item_scores.csv", ItemScores, rows)
    write_jsonl(folder / "open_book.jsonl", items.values())
    write_json(folder / "settings.json", StatsSettings(stats=settings).model_dump(mode="json"))
    arguments = {
        "--scores": folder / "per_item_scores.csv",
        "--items": folder / "open_book.jsonl",
        "--settings": folder / "settings.json",
        "--significance": folder / "significance.json",
        "--selective-risk": folder / "selective_risk.json",
        "--power": folder / "power.json",
        **{f"--{name}": path for name, path in files.items()},
    }
    words = [str(word) for pair in arguments.items() for word in pair]
    monkeypatch.setattr(sys, "argv", ["contrasts", *words])
    main()


def test_the_command_writes_valid_json_even_where_numbers_are_undefined(tmp_path, monkeypatch):
    items = {of.key: of for of in map(item, range(3))}
    rows = [row(of, arm, 1.0) for of in items.values() for arm in ("control", "treatment")]
    run(monkeypatch, tmp_path, rows, items)

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    found = {
        name: json.loads((tmp_path / name).read_text(encoding="utf-8"), parse_constant=refuse)
        for name in ("significance.json", "selective_risk.json", "power.json")
    }
    assert found["significance.json"] == contrasts(rows, items, SETTINGS)
    assert found["power.json"]["results"]["treatment"]["0.0"]["open_book"]["em"] is None


def test_curves_and_power_stand_beside_the_comparison(tmp_path, monkeypatch):
    rows, items = experiment()
    run(monkeypatch, tmp_path, rows, items)
    power, risk, significance = (
        json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))["results"]["treatment"][
            "0.0"
        ]["open_book"]
        for name in ("power", "selective_risk", "significance")
    )
    em = significance["metrics"]["em"]
    assert power["em"]["standard_error"] == em["standard_error"]
    assert power["em"]["design_effect"] == em["design_effect"]
    assert list(power["em"]["items_needed"]) == ["0.01", "0.02", "0.05", "0.1"]
    assert risk["arms"]["control"]["aurc"] == significance["selective_risk"]["control"]["aurc"]
    assert risk["arms"]["control"]["points"][0]["coverage"] == pytest.approx(
        significance["selective_risk"]["control"]["coverage"]
    )
    difference = risk["differences"]["aurc"]
    assert difference == significance["selective_difference"]["aurc"]
    arms = significance["selective_risk"]
    assert difference["difference"] == pytest.approx(
        arms["treatment"]["aurc"] - arms["control"]["aurc"]
    )
    assert difference["interval"]["low"] < difference["difference"] < difference["interval"]["high"]


def test_a_score_that_is_no_number_is_an_error_with_its_line(tmp_path, monkeypatch):
    rows, items = experiment()
    run(monkeypatch, tmp_path, rows, items)
    scores = tmp_path / "per_item_scores.csv"
    lines = scores.read_text(encoding="utf-8").splitlines()
    cells = lines[4].split(",")
    cells[list(ItemScores.model_fields).index("em")] = "nan"
    lines[4] = ",".join(cells)
    scores.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"per_item_scores\.csv, line 5: em: "):
        main()


def only(found, treatment="treatment", temp="0.0", task="open_book"):
    return found["results"][treatment][temp][task]


def score(values, k):
    """A row's number: 0, 1 or a share of two samples."""
    return values[k % len(values)] / 2


any_scores = st.integers(1, 9).flatmap(
    lambda n: st.tuples(
        st.just(n),
        st.lists(st.integers(0, 2), min_size=2 * n, max_size=2 * n),
        st.lists(st.integers(0, 2), min_size=2 * n, max_size=2 * n),
        st.lists(st.integers(0, 3), min_size=n, max_size=n),
        st.lists(st.booleans(), min_size=n, max_size=n),
        st.integers(1, 3),
    )
)


@settings(deadline=None, max_examples=50)
@given(any_scores)
def test_whatever_the_scores_are_the_files_are_valid_json(values):
    n, ems, abstained, clusters, unanswerable, k = values
    items = {
        of.key: of
        for of in (
            item(i, "ab"[i % 2], f"p{clusters[i]}", unanswerable=unanswerable[i]) for i in range(n)
        )
    }
    rows = []
    for i, of in enumerate(items.values()):
        for arm, name in enumerate(("control", "treatment")):
            abstain = score(abstained, 2 * i + arm)
            em = min(score(ems, 2 * i + arm), abstain if of.is_unanswerable else 1 - abstain)
            rows.append(row(of, name, em, abstain))
    stats = Stats(
        bootstrap_samples=100,
        permutation_samples=100,
        tost_margins={"em": 0.1, "f1": 0.1},
        registration=Registration(primary="em", margin=0.2),
    )
    table = table_of(items.values())
    settings = StatsSettings(stats=stats, samples_per_item={"0.0": k})
    outputs = analysed(rows, items.values(), settings)
    for each in (outputs.significance, outputs.selective_risk, outputs.power):
        json.dumps(each, allow_nan=False)
    decide([scores_of(rows, table)], table, design(of_tasks(settings)), 1, 1)
    for estimate in only(outputs.significance)["metrics"].values():
        if estimate["ci_low"] is not None:
            assert estimate["ci_low"] <= estimate["difference"] + 1e-12
            assert estimate["ci_high"] >= estimate["difference"] - 1e-12
        assert 0 < estimate["permutation_p"] <= 1


def test_few_differing_items_get_a_warning_that_programs_can_read():
    items = {of.key: of for of in map(item, range(20))}
    rows = [row(of, "control", 1.0) for of in items.values()]
    rows += [row(of, "treatment", float(k > 1)) for k, of in enumerate(items.values())]
    result = only(contrasts(rows, items, SETTINGS))
    (warning,) = [
        each
        for each in result["meta"]["warnings"]
        if each["code"] == "ci_not_trusted" and each["subgroup"] is None
    ]
    assert {"em", "false_answer_rate"} <= set(warning["metrics"])
    assert not result["metrics"]["em"]["ci_trusted"]
    assert not result["metrics"]["em"]["intervals"]["bca"]["trusted"]
    assert "may be too wide" in warning["message"]


@pytest.mark.parametrize(
    ("score", "cluster_t", "independent", "chosen"),
    [
        (True, True, True, "score"),
        (True, True, False, "cluster_t"),
        (False, True, True, "cluster_t"),
        (True, False, False, "score"),
        (False, False, False, "score"),
        (None, False, True, "cluster_t"),
    ],
)
def test_the_shown_interval_is_the_first_that_keeps_its_level(
    score, cluster_t, independent, chosen
):
    trusted = {"cluster_t": cluster_t, "bca": True, "score": score}
    intervals = {
        name: Interval(-0.1, 0.1, each) for name, each in trusted.items() if each is not None
    }
    mean = mean_difference(np.zeros(4), np.arange(4) if independent else np.array([0, 0, 1, 1]))
    assert headline(intervals, mean) == chosen


def sampled(k, n=300, seed=3):
    """Items whose answers vary from sample to sample: k samples each, and the truth."""
    draw = np.random.default_rng(seed)
    items, rows = {}, []
    for number in range(n):
        of = item(number)
        items[of.key] = of
        ease = draw.random()
        for arm, shift in (("control", 0.0), ("treatment", 0.1)):
            hits = draw.random(k) < min(1, ease + shift)
            rows.append(
                row(of, arm, float(hits.mean())).model_copy(
                    update={"em_std": float(hits.std(ddof=1)) if k > 1 else 0.0}
                )
            )
    return rows, items


def test_samples_are_a_variance_component():
    rows, items = sampled(8)
    settings = StatsSettings(stats=SETTINGS, samples_per_item={"0.0": 8})
    estimate = only(analysed(rows, items.values(), settings).significance)["metrics"]["em"]
    variances = [r.em_std**2 for r in rows]
    assert estimate["sampling_variance"] == pytest.approx(2 * np.mean(variances))
    # The item effects are equal here, so that nearly all variance is that of the samples.
    assert estimate["sampling_share"] == pytest.approx(1, abs=0.2)
    assert estimate["ci_method"] == "cluster_t"
    once, items = sampled(1)
    single = only(contrasts(once, items, SETTINGS))["metrics"]["em"]
    assert (single["sampling_variance"], single["sampling_share"]) == (None, None)
    assert single["standard_error"] > 1.5 * estimate["standard_error"]


def test_false_answers_are_counted_over_whole_arms():
    rows, items = experiment(tasks=("open_book", "closed_book"))
    found = contrasts(rows, items, SETTINGS)
    whole = found["false_answers"]["treatment"]
    parts = [
        only(found, task=task)["metrics"]["false_answer_rate"]
        for task in ("open_book", "closed_book")
    ]
    assert whole["n_requests"] == 160
    assert whole["difference"] == pytest.approx(np.mean([each["difference"] for each in parts]))
    # The same passages answer in both tasks: clusters, not rows, are what is independent.
    assert whole["ci_low"] < whole["difference"] < whole["ci_high"]


def test_items_without_a_difference_never_make_a_result_significant():
    rows, items = experiment(n=40)
    more = {of.key: of for of in (item(1000 + k) for k in range(400))}
    extra = [row(of, arm, 1.0) for of in more.values() for arm in ("control", "treatment")]
    one = only(contrasts(rows, items, SETTINGS))
    other = only(contrasts(rows + extra, items | more, SETTINGS))
    for metric, estimate in one["metrics"].items():
        for name in ("permutation_p", "wilcoxon_p"):
            assert other["metrics"][metric][name] == pytest.approx(estimate[name], abs=1e-12)
    for metric, test in one["mcnemar"].items():
        assert other["mcnemar"][metric]["p_value"] == test["p_value"]


# The declared question

DECLARED = Registration(
    primary="false_answer_rate", direction="decrease", margin=0.1, secondary=["em"], alpha=0.04
)


def declared(**changes):
    update = {"registration": DECLARED.model_copy(update=changes)}
    return SETTINGS.model_copy(update=update)


def test_a_declaration_makes_families_of_its_own():
    rows, items = experiment(("control", "treatment", "another"), ("open_book", "closed_book"))
    found = contrasts(rows, items, declared(task="open_book"))
    # 2 treatments with 7 shares in open book and 6 in closed book; 4 subgroups.
    assert found["multiplicity"]["families"] == {
        "primary": 2,
        "secondary": 4,
        "exploratory": 20,
        "subgroups": 104,
    }
    primary = [
        only(found, name)["metrics"]["false_answer_rate"] for name in ("another", "treatment")
    ]
    p_values = [estimate["permutation_p_decrease"] for estimate in primary]
    assert [estimate["p_holm"] for estimate in primary] == holm(p_values)
    assert {estimate["family"] for estimate in primary} == {"primary"}
    other = only(found, task="closed_book")["metrics"]["false_answer_rate"]
    assert other["family"] == "exploratory"


def test_the_declared_tests_are_reported_with_their_digest():
    rows, items = experiment()
    settings = declared()
    report = contrasts(rows, items, settings)["registration"]
    estimate = only(contrasts(rows, items, settings))["metrics"]["false_answer_rate"]
    (test,) = report["tests"]
    assert report["digest"] == digest_of(declaration(settings))
    assert report["before_first_answer"] is None
    assert test["p_value"] == estimate["permutation_p_decrease"]
    assert test["confirmed"] == (test["p_holm"] < 0.04)
    assert test["non_inferior"] is True
    assert contrasts(rows, items, SETTINGS)["registration"] is None


def status(settings, *, before):
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    return RegistrationStatus(
        digest=digest_of(declaration(settings)),
        declared_at=early if before else late,
        first_answer_at=late if before else early,
        evidence="results/raw.jsonl",
        before_first_answer=before,
    )


@pytest.mark.parametrize("before", [True, False])
def test_a_late_declaration_is_told(tmp_path, monkeypatch, before):
    rows, items = experiment()
    settings = declared()
    write_json(tmp_path / "r.json", status(settings, before=before).model_dump(mode="json"))
    run(monkeypatch, tmp_path, rows, items, settings, registration=tmp_path / "r.json")
    found = json.loads((tmp_path / "significance.json").read_text(encoding="utf-8"))
    assert found["registration"]["before_first_answer"] is before
    assert found["registration"]["declared_at"].startswith("2026-01" if before else "2026-02")
    assert bool(messages(only(found), "declared_late")) is not before


def test_a_declaration_of_another_config_is_an_error():
    rows, items = experiment()
    other = status(declared(alpha=0.01), before=True)
    with pytest.raises(UserError, match="belong to different configs"):
        analysed(rows, items.values(), StatsSettings(stats=declared()), status=other)


def test_a_primary_metric_that_nothing_measures_is_an_error():
    rows, items = experiment()
    with pytest.raises(UserError, match="'false_answer_rate' was not measured"):
        contrasts(rows, items, declared(task="closed_book"))


def test_a_run_that_stopped_early_warns_of_the_numbers_for_a_fixed_size(tmp_path, monkeypatch):
    rows, items = experiment()
    table = table_of(items.values())
    settings = of_tasks(StatsSettings(stats=declared(alpha=0.4)))
    decision = decide([scores_of(rows, table)], table, design(settings), 160, 320)
    assert decision.settled
    write_json(tmp_path / "d.json", decision.model_dump(mode="json"))
    run(monkeypatch, tmp_path, rows, items, declared(alpha=0.4), decision=tmp_path / "d.json")
    found = json.loads((tmp_path / "significance.json").read_text(encoding="utf-8"))
    assert found["sequential"] == decision.model_dump(mode="json")
    assert messages(only(found), "stopped_early")


def changed(n_items, n_gained, n_lost=0, cluster_size=1):
    """Items of which the treatment gets some right that the control does not, and the reverse."""
    items = [item(k, cluster=str(k // cluster_size)) for k in range(n_items)]
    rows = []
    for k, of in enumerate(items):
        rows.append(row(of, "control", float(n_gained <= k)))
        rows.append(row(of, "treatment", float(not n_gained <= k < n_gained + n_lost)))
    return rows, {of.key: of for of in items}


def test_a_test_and_an_interval_that_contradict_each_other_get_a_warning():
    rows, items = changed(200, 5)
    result = only(contrasts(rows, items, Stats(bootstrap_samples=100)))
    em = result["metrics"]["em"]
    assert em["ci_low"] > 0
    assert em["permutation_p"] == 2 / 2**5
    (message,) = [text for text in messages(result, "p_and_interval_differ") if "em:" in text]
    assert "ci_low to ci_high excludes 0, and permutation_p is 0.0625" in message
    clear = only(contrasts(*changed(200, 20), Stats(bootstrap_samples=100)))
    assert not messages(clear, "p_and_interval_differ")


def test_a_family_of_any_size_can_reach_the_level():
    """14 tests at 0.001 with 5,000 patterns: the smallest Holm p was 14 / 5,001, above the level.

    As were 260 tests at 0.05.
    """
    rows, items = changed(60, 30)
    rows += [one.model_copy(update={"condition": "another"}) for one in rows[1::2]]
    found = contrasts(rows, items, Stats(bootstrap_samples=100, confidence=0.999))
    assert found["multiplicity"]["families"]["exploratory"] == 14
    em = only(found)["metrics"]["em"]
    assert em["p_holm"] < 0.001
    assert em["permutation_p"] > 2 / 2**30  # the exact one


def test_a_primary_test_is_confirmed_by_the_corrected_p_value():
    """8 of 9 items that differ gain: p = 20 / 512 for each of two treatments, 40 / 512 by Holm."""
    rows, items = changed(60, 8, 1)
    rows += [one.model_copy(update={"condition": "another"}) for one in rows[1::2]]
    declared = Stats(bootstrap_samples=100, registration=Registration(primary="em"))
    tests = contrasts(rows, items, declared)["registration"]["tests"]
    assert [test["p_value"] for test in tests] == [20 / 512] * 2
    assert [test["p_holm"] for test in tests] == [40 / 512] * 2
    assert [test["confirmed"] for test in tests] == [False, False]


@pytest.mark.parametrize(("share", "passages"), [(0.01, 6078), (0.01, 1204), (0.03, 1204)])
def test_the_command_on_data_of_the_size_of_squad_with_few_changes(
    tmp_path, monkeypatch, share, passages
):
    """6,078 items; a placebo or a small edit changes 1% to 3% of the answers.

    The first of these differences meets a noncentrality at which scipy's distribution is NaN.
    """
    draw = np.random.default_rng(0)
    differences = np.where(draw.random(6078) < share, draw.choice([-1.0, 1.0], size=6078), 0.0)
    items = [
        item(k, cluster=f"p{k * passages // 6078}", unanswerable=k % 2 == 0) for k in range(6078)
    ]
    rows = []
    for of, difference in zip(items, differences, strict=True):
        before = float(difference < 0 or (difference == 0 and draw.random() < 0.7))
        for condition, em in (("control", before), ("treatment", before + difference)):
            rows.append(row(of, condition, em, em if of.is_unanswerable else 0.0))
    write_jsonl(tmp_path / "open_book.jsonl", items)
    write_csv(tmp_path / "scores.csv", ItemScores, rows)
    settings = StatsSettings(stats=Stats(bootstrap_samples=100, permutation_samples=300))
    write_json(tmp_path / "settings.json", settings.model_dump(mode="json"))
    words = [
        *("--scores", tmp_path / "scores.csv", "--items", tmp_path / "open_book.jsonl"),
        *("--settings", tmp_path / "settings.json", "--power", tmp_path / "power.json"),
        *("--significance", tmp_path / "significance.json"),
        *("--selective-risk", tmp_path / "selective_risk.json"),
    ]
    monkeypatch.setattr(sys, "argv", ["contrasts", *map(str, words)])
    main()
    power = json.loads((tmp_path / "power.json").read_text(encoding="utf-8"))
    of_em = only(power)["em"]
    assert of_em["n_items"] == 6078
    # The normal approximation, which holds at this size.
    expected = (1.959964 + 0.841621) * of_em["standard_error"]
    assert of_em["smallest_detectable"] == pytest.approx(expected, rel=0.01)
