"""Score: each prediction against its item's gold answers. docs/scoring.md has the definitions.

Per sample, each metric is 0 or 1 (``f1``: between them); per item, the mean over its samples.

``em``, ``f1``
    Exact match and token F1 as the official evaluation of the item's data set defines them, see
    `workflow_scripts.score.text`; SQuAD 2.0's where there is none. An unanswerable item has the
    empty text as its gold answer. A response that abstains or refuses stands for the empty text
    on an unanswerable item (1), and is wrong on an answerable one (0).
``abstain_rate``
    1 where the response says that it gives no answer: see `workflow_scripts.score.abstention`.
    A response that matches a gold answer exactly is an answer whatever it says ("Unknown" is a
    film).
``false_answer_rate``
    1 where the response answers (it neither abstains nor refuses, and says something) and is not
    correct: any answer to an unanswerable item, an answer with ``em`` 0 to an answerable one.
``unsupported_rate``
    Open book only (elsewhere absent): 1 where the response answers and its passage does not
    support the answer: see `workflow_scripts.score.unsupported`.

What became of each response in one word is its outcome, see `workflow_scripts.score.outcomes`.
"""
