"""The betting confidence sequence, and the decision after each wave by both procedures."""

import itertools
import json
import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from question_records import Item, ItemScores
from wave_design import design

from workflow_scripts.comparisons.score_files import scores_of, table_of
from workflow_scripts.comparisons.sequential import decide, main
from workflow_scripts.comparisons.settings import StatsSettings
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_csv, write_json, write_jsonl
from workflow_scripts.stats.betting import Bets, confidence_sequence
from workflow_scripts.stats.settings import Registration, Stats


def ever_rejected(totals, sizes, most, mean, alpha=0.05):
    """Whether some look, after any cluster, rules out ``mean``; shape (runs,)."""
    bets = Bets.on(totals, sizes, most, alpha / 2)
    wealth = np.maximum(
        bets.log_wealth(mean, rising=True).max(axis=-1),
        bets.log_wealth(mean, rising=False).max(axis=-1),
    )
    return wealth >= math.log(2 / alpha)


def at_most(alpha, runs):
    """The level and three standard errors of a share of ``runs`` that has it."""
    return alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


@pytest.mark.parametrize("discordant", [0.02, 0.2, 0.6, 1.0])
def test_looking_after_every_item_keeps_the_level(discordant):
    draw = np.random.default_rng(1)
    chances = [discordant / 2, 1 - discordant, discordant / 2]
    totals = draw.choice([-1.0, 0, 1], size=(2000, 500), p=chances)
    rejected = ever_rejected(totals, np.ones_like(totals), 1, 0.0)
    assert rejected.mean() <= at_most(0.05, 2000)


def test_looking_after_every_skewed_cluster_keeps_the_level():
    # Rare large gains against frequent small losses, in clusters of 1 to 6 whose items agree.
    draw = np.random.default_rng(2)
    sizes = draw.integers(1, 7, size=(2000, 400)).astype(float)
    values = np.where(draw.random((2000, 400)) < 0.1, 0.9, -0.1)
    rejected = ever_rejected(values * sizes, sizes, 6, 0.0)
    assert rejected.mean() <= at_most(0.05, 2000)


def test_a_fixed_size_test_would_not_keep_its_level():
    draw = np.random.default_rng(3)
    totals = draw.choice([-1.0, 0, 1], size=(500, 500), p=[0.2, 0.6, 0.2])
    n = np.arange(1, 501)
    means = np.cumsum(totals, axis=1) / n
    errors = np.sqrt(np.maximum(np.cumsum(totals**2, axis=1) / n - means**2, 1e-9) / n)
    peeked = (np.abs(means / errors) > 1.96)[:, 20:].any(axis=1)
    assert peeked.mean() > 0.2


def test_a_real_difference_is_found_early():
    draw = np.random.default_rng(4)
    totals = draw.choice([-1.0, 0, 1], size=(300, 1000), p=[0.05, 0.7, 0.25])
    bets = Bets.on(totals, np.ones_like(totals), 1, 0.025)
    reached = bets.log_wealth(0.0, rising=True) >= math.log(40)
    assert reached.any(axis=1).mean() > 0.99
    assert np.median(reached.argmax(axis=1)) < 150


runs = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), min_size=n, max_size=n),
        st.lists(st.integers(0, 12), min_size=n, max_size=n),
    )
)


@settings(deadline=None)
@given(runs)
def test_swapping_the_arms_mirrors_the_sequence(values):
    differences, clusters = np.array(values[0]), np.unique(values[1], return_inverse=True)[1]
    most = int(np.bincount(clusters).max())
    one = confidence_sequence(differences, clusters, most, 0.05)
    other = confidence_sequence(-differences, clusters, most, 0.05)
    assert (other.ci_low, other.ci_high) == pytest.approx((-one.ci_high, -one.ci_low), abs=1e-6)
    assert other.p_value == pytest.approx(one.p_value, rel=1e-9)
    assert -1 <= one.ci_low <= one.ci_high <= 1


@settings(deadline=None)
@given(runs, st.floats(-0.99, 0.99))
def test_the_bounds_are_where_wealth_is_reached(values, mean):
    differences, clusters = np.array(values[0]), np.unique(values[1], return_inverse=True)[1]
    totals, sizes = np.bincount(clusters, differences), np.bincount(clusters).astype(float)
    bets = Bets.on(totals, sizes, int(sizes.max()), 0.05)
    low, high = bets.bound(0.05, lower=True), bets.bound(0.05, lower=False)
    if abs(mean - low) > 1e-6:
        reached = bets.log_wealth(mean, rising=True).max() >= math.log(20)
        assert reached == (mean < low)
    if abs(mean - high) > 1e-6:
        reached = bets.log_wealth(mean, rising=False).max() >= math.log(20)
        assert reached == (mean > high)
    # No stake can cost more than half of the wealth.
    for rising in (True, False):
        steps = np.diff(bets.log_wealth(mean, rising=rising), prepend=0)
        assert (steps >= math.log(0.5) - 1e-9).all()


def test_stakes_follow_the_published_rule():
    # Waudby-Smith & Ramdas (2024) for observations in [0, 1] and one gambler:
    # lambda_t = sqrt(2 log(1 / alpha) / (v_{t-1} t log(1 + t))), v_0 = 1/4. Differences in
    # [-1, 1] are such observations doubled, so stakes are halved.
    totals = np.array([1.0, 0.0, -1.0, 1.0])
    stakes = Bets.on(totals, np.ones(4), 1, 0.05).stakes
    observed, t = (totals + 1) / 2, np.arange(1, 5)
    means = np.cumsum(observed) / t
    variances = (0.25 + np.cumsum((observed - means) ** 2)) / (t + 1)
    earlier = np.concatenate([[0.25], variances[:-1]])
    expected = np.sqrt(2 * math.log(20) / (earlier * t * np.log(1 + t)))
    assert 2 * stakes == pytest.approx(expected, abs=1e-12)


# The command


def item(number, cluster=None):
    return Item(
        id=str(number),
        dataset="one",
        question="?",
        answers=["x"],
        cluster_id=cluster or str(number),
    )


def row(of, condition, em):
    metrics = {"em": em, "f1": em, "abstain_rate": 0.0, "false_answer_rate": 1 - em}
    return ItemScores(
        item_key=of.key,
        type="open_book",
        condition=condition,
        temp="0.0",
        **metrics,
        **{f"{name}_std": 0.0 for name in metrics},
    )


def declared(**changes):
    question = {"primary": "em", "margin": 0.1, "waves": 4, **changes}
    return StatsSettings(
        stats=Stats(registration=Registration(**question)), tasks={"one": "open_book"}
    )


SETTINGS = declared()
BETTING = declared(stopping="betting")
BOTH = pytest.mark.parametrize("settings", [SETTINGS, BETTING], ids=["spending", "betting"])


def wave(items, gain, seed):
    """Both arms' rows of some items; the treatment gains on a share of them."""
    draw = np.random.default_rng(seed)
    rows = []
    for of in items:
        before = float(draw.random() < 0.5)
        rows.append(row(of, "control", before))
        rows.append(row(of, "treatment", 1.0 if draw.random() < gain else before))
    return rows


def decided(items, waves, settings=SETTINGS, treatments=("treatment",)):
    table = table_of(items)
    scores = [scores_of(rows, table) for rows in waves]
    return decide(scores, table, design(settings, treatments), 2 * len(items), 4 * len(items))


@BOTH
def test_a_difference_settles_the_question_and_none_does_not(settings):
    items = [item(k) for k in range(400)]
    parts = [items[k : k + 100] for k in range(0, 400, 100)]
    gains = [wave(part, 0.3, seed) for seed, part in enumerate(parts)]
    first, both = decided(items, gains[:1], settings), decided(items, gains[:2], settings)
    assert [first.waves, both.waves] == [1, 2]
    assert both.settled
    assert both.stopping == settings.stats.registration.stopping
    (test,) = both.comparisons
    assert (test.outcome, test.n_waiting) == ("increase", 0)
    assert 0 < test.ci_low < test.estimate < test.ci_high
    assert test.p_value < 0.05
    same = decided(items, [wave(part, 0.0, seed) for seed, part in enumerate(parts)], settings)
    assert (same.comparisons[0].outcome, same.settled) == ("equivalent", True)
    few = decided(items, [wave(parts[0][:20], 0.0, 1)], settings)
    assert (few.comparisons[0].outcome, few.settled) == ("undecided", False)


def test_what_was_ruled_out_stays_ruled_out():
    items = [item(k) for k in range(400)]
    waves = [wave(items[k : k + 50], 0.2, k) for k in range(0, 400, 50)]
    found = [decided(items, waves[: n + 1], BETTING).comparisons[0] for n in range(8)]
    for earlier, later in itertools.pairwise(found):
        assert later.ci_low >= earlier.ci_low - 1e-9
        assert later.ci_high <= earlier.ci_high + 1e-9
        assert later.p_value <= earlier.p_value + 1e-12


@BOTH
def test_neither_row_order_nor_the_order_of_items_matters(settings):
    items = [item(k, f"p{k // 4}") for k in range(80)]
    rows = wave(items, 0.3, 1)
    shuffled = [rows[k] for k in np.random.default_rng(0).permutation(len(rows))]
    assert decided(items[::-1], [shuffled], settings) == decided(items, [rows], settings)


@BOTH
def test_a_cluster_counts_when_all_of_it_has_arrived(settings):
    items = [item(k, f"p{k // 10}") for k in range(40)]
    early, late = wave(items[:25], 0.5, 1), wave(items[25:], 0.5, 2)
    (first,) = decided(items, [early], settings).comparisons
    assert (first.n_items, first.n_clusters, first.n_waiting) == (20, 2, 5)
    assert first.n_planned == 40
    (both,) = decided(items, [early, late], settings).comparisons
    assert (both.n_items, both.n_clusters, both.n_waiting) == (40, 4, 0)


def test_several_treatments_share_the_level():
    items = [item(k) for k in range(100)]
    rows = wave(items, 0.5, 1)
    rows += [each.model_copy(update={"condition": "another"}) for each in rows[1::2]]
    found = decided(items, [rows], treatments=("another", "treatment"))
    assert [test.alpha for test in found.comparisons] == [0.025, 0.025]
    assert found.comparisons[0].ci_low == found.comparisons[1].ci_low


def test_a_treatment_that_has_no_answer_yet_keeps_its_share_of_the_level():
    """Or the others would be tested at a higher level until it has one."""
    items = [item(k) for k in range(100)]
    found = decided(items, [wave(items, 0.5, 1)], treatments=("another", "treatment"))
    assert [test.alpha for test in found.comparisons] == [0.025, 0.025]
    assert [test.outcome for test in found.comparisons] == ["undecided", "increase"]
    assert not found.settled


@pytest.mark.parametrize("stopping", ["alpha_spending", "betting"])
def test_a_declared_direction_is_tested_one_sided(stopping):
    items = [item(k) for k in range(100)]
    rows = wave(items, 0.5, 1)
    one_sided = decided(items, [rows], declared(direction="increase", stopping=stopping))
    (one,) = one_sided.comparisons
    (two,) = decided(items, [rows], declared(stopping=stopping)).comparisons
    assert one.ci_low > two.ci_low
    assert one.p_value < two.p_value


def test_without_a_declaration_there_is_nothing_to_decide():
    items = [item(k) for k in range(3)]
    with pytest.raises(UserError, match=r"stats\.registration is not set"):
        decided(items, [wave(items, 0, 1)], StatsSettings(stats=Stats()))
    registration = Registration(primary="em", task="closed_book")
    with pytest.raises(UserError, match="no treatment in the declared task"):
        settings = SETTINGS.model_copy(update={"stats": Stats(registration=registration)})
        decided(items, [wave(items, 0, 1)], settings)


def test_what_is_settled_stays_settled_by_the_items_that_settled_it():
    """Another comparison asks on; the first one's numbers are those of its own end."""
    items = [item(k) for k in range(400)]
    parts = [items[k : k + 100] for k in range(0, 400, 100)]
    waves = [wave(part, 0.5, seed) for seed, part in enumerate(parts)]
    early = decided(items, waves[:2]).comparisons
    late = decided(items, waves).comparisons
    assert [test.outcome for test in early] == ["increase"]
    assert early == late
    assert early[0].waves <= 2


def test_before_the_end_nothing_is_claimed_and_at_the_end_everything_is_spent():
    items = [item(k) for k in range(200)]
    parts = [items[k : k + 50] for k in range(0, 200, 50)]
    waves = [wave(part, 0.0, seed) for seed, part in enumerate(parts)]
    settings = declared(margin=None)
    (open_,) = decided(items, waves[:3], settings).comparisons
    assert (open_.outcome, open_.p_value, open_.adjusted_estimate) == ("undecided", None, None)
    (end,) = decided(items, waves, settings).comparisons
    assert (end.outcome, end.adjusted_estimate) == ("undecided", pytest.approx(0.0, abs=1e-9))
    assert end.p_value == pytest.approx(1.0)
    # Without any difference the last look is that of one look, at the level that is left there.
    assert end.ci_high == pytest.approx(-end.ci_low)
    assert 0.015 < end.ci_high < 0.03


def test_the_command_writes_the_decision(tmp_path, monkeypatch):
    items = [item(k) for k in range(200)]
    waves = [wave(items[:100], 0.5, 1), wave(items[100:], 0.5, 2)]
    for number, rows in enumerate(waves):
        write_csv(tmp_path / f"wave{number}.csv", ItemScores, rows)
    write_jsonl(tmp_path / "open_book.jsonl", items)
    for name, lines in (("p000", 400), ("p001", 400)):
        (tmp_path / name).write_text("{}\n" * lines, encoding="utf-8")
    both = design(SETTINGS, inputs=str(tmp_path), asked=["p000"], planned=["p000", "p001"])
    write_json(tmp_path / "settings.json", both.model_dump(mode="json"))
    words = [
        *("--scores", tmp_path / "wave0.csv", tmp_path / "wave1.csv"),
        *("--items", tmp_path / "open_book.jsonl"),
        *("--settings", tmp_path / "settings.json"),
        *("--output", tmp_path / "decision.json"),
    ]
    monkeypatch.setattr(sys, "argv", ["sequential", *map(str, words)])
    main()
    found = json.loads((tmp_path / "decision.json").read_text(encoding="utf-8"))
    assert found == decided(items, waves).model_dump(mode="json")
    assert found["settled"]
