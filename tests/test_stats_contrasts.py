"""The comparison as a whole: pairing, families, undefined numbers, and the command."""

import json
import sys

import numpy as np
import pytest

from workflow_scripts.config.schema import Stats
from workflow_scripts.errors import UserError
from workflow_scripts.files import write_csv, write_jsonl
from workflow_scripts.records import Item, ItemScores
from workflow_scripts.stats.contrasts import contrasts, main
from workflow_scripts.stats.multiplicity import benjamini_hochberg

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
    )


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


def test_the_file_has_the_agreed_shape():
    rows, items = experiment(tasks=("open_book", "closed_book"))
    found = contrasts(rows, items, SETTINGS)
    assert (found["schema_version"], found["control"]) == (1, "control")
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
    }
    assert list(result["mcnemar"]) == ["em", "abstain_rate", "false_answer_rate"]
    assert list(result["metrics"]) == [
        *("em", "f1", "abstain_rate", "false_answer_rate", "unsupported_rate")
    ]
    assert list(by_task["closed_book"]["metrics"]) == list(result["metrics"])[:-1]
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
        assert estimate | {"q_value": 0} == estimates[metric] | {"q_value": 0}


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
    assert found["multiplicity"]["families"] == {"totals": 10, "subgroups": 40}
    for family in (totals, parts):
        q_values = benjamini_hochberg([estimate["permutation_p"] for estimate in family])
        assert [estimate["q_value"] for estimate in family] == q_values


def test_unpaired_items_are_counted_and_named():
    items = {of.key: of for of in map(item, range(30))}
    rows = [row(of, "control", 1.0) for of in items.values()]
    rows += [row(of, "treatment", 0.0) for of in list(items.values())[24:]]
    result = contrasts(rows, items, SETTINGS)["results"]["treatment"]["0.0"]["open_book"]
    assert (result["n_items"], result["meta"]["n_unpaired"]) == (6, 24)
    (warning,) = [text for text in result["meta"]["warnings"] if "one arm only" in text]
    assert warning.startswith("24 items have scores under one arm only")
    assert "one|0, one|1, one|10" in warning
    assert warning.endswith("and 4 more")


def test_arms_without_a_common_item_compare_nothing_and_say_so():
    items = {of.key: of for of in map(item, range(2))}
    first, second = items.values()
    rows = [row(first, "control", 1.0), row(second, "treatment", 1.0)]
    result = contrasts(rows, items, SETTINGS)["results"]["treatment"]["0.0"]["open_book"]
    assert (result["n_items"], result["metrics"], result["mcnemar"]) == (0, {}, {})
    assert (
        "no item has scores under both arms: there is nothing to compare"
        in (result["meta"]["warnings"])
    )


def test_what_is_undefined_is_null_with_its_reason():
    items = {of.key: of for of in (item(k, cluster="p") for k in range(3))}
    rows = [row(of, arm, 0.0, 1.0) for of in items.values() for arm in ("control", "treatment")]
    result = contrasts(rows, items, SETTINGS)["results"]["treatment"]["0.0"]["open_book"]
    estimate = result["metrics"]["em"]
    assert [estimate[name] for name in ("ci_low", "ci_high", "wilcoxon_p", "cohens_d")] == [
        None
    ] * 4
    assert (estimate["permutation_p"], estimate["q_value"]) == (1, 1)
    assert result["selective_risk"]["control"] == {"coverage": 0, "risk": None, "meets": {}}
    assert result["tost"]["em"] == {"margin": 0.05, "p_value": None, "equivalent": None}
    metrics = "em, f1, abstain_rate, false_answer_rate, unsupported_rate"
    assert result["meta"]["warnings"] == [
        "mcnemar: odds_ratio is undefined for em, abstain_rate, false_answer_rate: "
        "only_control is 0",
        "ci_low and ci_high are undefined: there is only one cluster",
        f"wilcoxon_p is undefined for {metrics}: all differences are 0",
        f"cohens_d is undefined for {metrics}: differences do not vary",
        "selective_risk: risk is undefined for control, treatment: the arm never answers",
        "tost: p_value is undefined for em, unsupported_rate: clusters do not vary",
    ]


def test_split_votes_are_counted_in_a_warning():
    items = {of.key: of for of in map(item, range(40))}
    rows = [row(of, arm, 0.5) for of in items.values() for arm in ("control", "treatment")]
    result = contrasts(rows, items, SETTINGS)["results"]["treatment"]["0.0"]["open_book"]
    assert (
        "mcnemar, em: 40 items are left out because their samples are split evenly"
        in result["meta"]["warnings"]
    )


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
    assert (second["ci_low"], second["ci_high"]) == (first["naive_ci_low"], first["naive_ci_high"])
    assert (second["naive_ci_low"], second["naive_ci_high"]) == (
        second["ci_low"],
        second["ci_high"],
    )


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


def run(monkeypatch, folder, rows, items):
    write_csv(folder / "per_item_scores.csv", ItemScores, rows)
    write_jsonl(folder / "items.jsonl", items.values())
    (folder / "settings.json").write_text(SETTINGS.model_dump_json(), encoding="utf-8")
    arguments = {
        "--scores": folder / "per_item_scores.csv",
        "--items": folder / "items.jsonl",
        "--settings": folder / "settings.json",
        "--output": folder / "significance.json",
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

    text = (tmp_path / "significance.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=refuse) == contrasts(rows, items, SETTINGS)


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
