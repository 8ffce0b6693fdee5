"""What retrieval is measured by; docs/scoring.md has the definitions and their sources."""

from __future__ import annotations

from ..core.metric import Metric
from ..core.shown import Curve, Split

RECALL_AT = (1, 3, 5, 10)
HIT_AT = (1, 5)
NDCG_AT = (5, 10)

_WITHOUT_GOLD = "0 without passages, and for items without a gold passage."


def _of(k: int) -> str:
    return "the first passage" if k == 1 else f"the first {k} passages"


RECALL = {
    k: Metric(
        name=f"recall_at_{k}",
        label=f"recall@{k}",
        definition=f"Share of an item’s gold passages among {_of(k)} found; {_WITHOUT_GOLD}",
        better="higher",
    )
    for k in RECALL_AT
}
HIT = {
    k: Metric(
        name=f"hit_at_{k}",
        label=f"hit@{k}",
        definition=f"Share of items with a gold passage among {_of(k)} found; {_WITHOUT_GOLD}",
        better="higher",
        binary=True,
    )
    for k in HIT_AT
}
NDCG = {
    k: Metric(
        name=f"ndcg_at_{k}",
        label=f"NDCG@{k}",
        definition=f"Gain of the gold passages among {_of(k)} found, discounted by the logarithm "
        f"of their ranks, relative to the best ranking; {_WITHOUT_GOLD}",
        better="higher",
    )
    for k in NDCG_AT
}
MRR = Metric(
    name="mrr",
    label="MRR",
    definition=f"Mean of 1 / rank of an item’s best gold passage; {_WITHOUT_GOLD}",
    better="higher",
)
CITATION_PRECISION = Metric(
    name="citation_precision",
    label="citation precision",
    definition="Share of an answer’s citations whose passages are needed to support their "
    "sentences; 0 for an answer without citations. Support is measured as for unsupported answers.",
    better="higher",
)
CITATION_RECALL = Metric(
    name="citation_recall",
    label="citation recall",
    definition="Share of an answer’s sentences that cite passages which support them; 0 where "
    "there is no answer. Support is measured as for unsupported answers.",
    better="higher",
)
FALSE_CITATIONS = Metric(
    name="false_citations",
    label="false citations",
    definition="Share of items whose response cites a number that none of its passages has.",
    better="lower",
    binary=True,
    gained="new",
    lost="avoided",
)
NAMED_FILES = Metric(
    name="named_files",
    label="right files named",
    definition="Share of the file names in a response that are files of the item’s gold passages; "
    "0 where it names none.",
    better="higher",
)
RETRIEVAL = (
    *RECALL.values(), *HIT.values(), *NDCG.values(), MRR,
    CITATION_PRECISION, CITATION_RECALL, FALSE_CITATIONS, NAMED_FILES,
)  # fmt: skip
"""In the order of their columns."""

N_GOLD, N_FOUND, N_LEFT_OUT = "n_gold", "n_found", "n_left_out"
GOLD_PASSAGE, CITED = "gold_passage", "numbers_cited"

RECALL_BY_K = Curve(
    name="recall",
    label="Recall by number of passages",
    across="First k passages",
    points=tuple((k, metric.name) for k, metric in RECALL.items()),
    among=N_GOLD,
    found=N_FOUND,
    definition="Share of the gold passages among the first k passages found, before any is left "
    "out of the prompt: a mean over the items that have a gold passage.",
)
BY_GOLD_PASSAGE = Split(
    column=GOLD_PASSAGE,
    label="Answers by gold passage",
    heading="Gold passage",
    kinds=("in the prompt", "found, but left out", "not found", "no passages", "none known"),
    definition="Wrong answers and abstentions with the gold passage in the prompt were lost by "
    "the reader; those without it were lost by the search, or by the limit on the prompt.",
    totals=((N_FOUND, "passages found"), (N_LEFT_OUT, "left out of the prompt")),
)
IN_PROMPT, LEFT_OUT, NOT_FOUND, NO_PASSAGES, NO_GOLD = BY_GOLD_PASSAGE.kinds
