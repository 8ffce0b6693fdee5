"""Each prediction is scored against its item's gold answers. docs/scoring.md has the definitions.

Per sample, each metric is 0 or 1 (``f1``: between them); per item, the mean over its samples.

``em``, ``f1``
    Exact match and token F1 as the official evaluation of the item's data set defines them, see
    `workflow_scripts.metrics.text`; SQuAD 2.0's where there is none. An unanswerable item has the
    empty text as its gold answer. A response that abstains counts as the empty text: 1 on an
    unanswerable item, 0 on others. One that refuses, that the provider blocked, or that was cut
    off before it said anything has 0 on every item.
``abstain_rate``
    1 where the response says that it gives no answer: see `workflow_scripts.metrics.abstention`.
    A response that matches a gold answer exactly is an answer whatever it says ("Unknown" is a
    film).
``false_answer_rate``
    1 where the response answers (it neither abstains nor refuses, and says something) and is not
    correct: any answer to an unanswerable item, an answer with ``em`` 0 to an answerable one.
``unsupported_rate``
    Open book only (elsewhere absent): 1 where the response answers and its passage does not
    support the answer: see `workflow_scripts.metrics.unsupported`.

Each response has one outcome: see `workflow_scripts.scoring.outcomes`.
"""
