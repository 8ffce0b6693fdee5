"""Measures of rankings against trec_eval."""

from __future__ import annotations

import random

import pytest

from workflow_scripts.metrics.ranking import hit, ndcg, newly_covered, recall, reciprocal_rank

KS = (1, 3, 5, 10)
MEASURES = {
    *(f"{name}.{k}" for name in ("recall", "ndcg_cut", "success") for k in KS),
    "recip_rank",
}


def ours(ranking: list[str], gold: list[str]) -> dict[str, float]:
    covered = newly_covered(ranking, gold, str.__eq__)
    n = len(gold)
    return {
        **{f"recall_{k}": recall(covered, n, k) for k in KS},
        **{f"ndcg_cut_{k}": ndcg(covered, n, k) for k in KS},
        **{f"success_{k}": hit(covered, k) for k in KS},
        "recip_rank": reciprocal_rank(covered),
    }


def test_agreement_with_trec_eval() -> None:
    """With ties, gold passages that were not found, none at all, and passages that nobody judged.

    Of equal scores, trec_eval takes the later id first.
    """
    pytrec_eval = pytest.importorskip("pytrec_eval", reason="no wheel for Linux on ARM")
    draw = random.Random(7)
    ids = [f"d{number:02}" for number in range(30)]
    runs, judged = {}, {}
    for query in range(300):
        found = draw.sample(ids, draw.randint(1, 15))
        runs[str(query)] = {each: float(draw.randint(0, 4)) for each in found}
        gold = draw.sample(ids, draw.choice([0, 1, 1, 2, 5, 12]))
        # What is judged and not relevant is the same as what nobody judged.
        judged[str(query)] = dict.fromkeys(draw.sample(ids, 5), 0) | dict.fromkeys(gold, 1)
    theirs = pytrec_eval.RelevanceEvaluator(judged, MEASURES).evaluate(runs)
    assert len(theirs) == len(runs)
    for query, scores in runs.items():
        by_id = sorted(scores, reverse=True)
        ranking = sorted(by_id, key=lambda each: -scores[each])
        gold = [each for each, relevance in judged[query].items() if relevance]
        assert theirs[query] == pytest.approx(ours(ranking, gold), abs=1e-9), query


def test_chunks_of_one_gold_file_count_once() -> None:
    gold = ["a", "b"]
    covered = newly_covered(["a1", "a2", "c1", "b1"], gold, lambda path, chunk: chunk[0] == path)
    assert covered == [1, 0, 0, 1]
    assert recall(covered, 2, 3) == 0.5


def test_a_passage_that_covers_several_is_no_worse_than_several() -> None:
    covered = newly_covered(["x", "abc"], ["a", "b", "c"], lambda gold, found: gold in found)
    assert covered == [0, 3]
    assert recall(covered, 3, 3) == 1
    assert ndcg([3, 0], 3, 5) == 1
    assert ndcg(covered, 3, 5) == pytest.approx(0.6309, abs=1e-4)
