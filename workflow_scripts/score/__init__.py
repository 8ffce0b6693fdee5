"""Score: each prediction against its item's gold answers.

Per sample, each metric is 0 or 1 (``f1``: between them); per item, the mean over its samples.

``em``, ``f1``
    Exact match and token F1 as the SQuAD 2.0 official evaluation defines them (Rajpurkar et al.
    2018, "Know What You Don't Know"): both texts are lowered and lose ASCII punctuation, the
    articles and extra white space; the best gold answer counts. Gold answers that normalise to
    nothing are dropped; where none is left (always so for unanswerable items) the one gold
    answer is the empty text, which only an empty prediction matches. An abstention counts as the
    empty prediction on an unanswerable item (1), and is wrong on an answerable one (0).
``abstain_rate``
    1 where the response says, as a whole or in its leading sentence, that it gives no answer:
    see `workflow_scripts.score.abstention`. A response that matches a gold answer exactly is an
    answer whatever it says ("Unknown" is a film). An empty response is no abstention: nothing
    was said. It is its own thing: neither abstained nor answered.
``false_answer_rate``
    1 where the response answers (neither abstained nor empty after normalisation) and is not
    correct: any answer to an unanswerable item, an answer with ``em`` 0 to an answerable one.
``unsupported_rate``
    Open book only (elsewhere absent): 1 where the response answers and its passage does not
    support the answer: see `workflow_scripts.score.unsupported`.

So a sample answers exactly where ``false_answer_rate`` is 1 or, on an answerable item, ``em`` is.
"""
