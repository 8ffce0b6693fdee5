"""The scorer of questions: right, wrong, abstained, refused; docs/scoring.md has the definitions.

Per sample, each metric is 0 or 1 (``f1``: between them).

``correct``
    1 where the outcome is ``correct`` or ``rightly_abstained``. By what an answer counts as
    correct, the config says for each data set (``correctness``):

    ``exact``
        ``em`` is 1.
    ``contains``
        A gold answer is in the response: see `workflow_scripts.metrics.containment`.
    ``judge``, ``labels``
        The verdict of a judge (of most judges); with ``labels``, a person's before it. Without a
        verdict, as ``contains``.
``contains_gold``
    What ``correct`` is by the level ``contains``.
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
    correct: any answer to an unanswerable item, one that is not ``correct`` to an answerable one.
``unsupported_rate``
    Where the passage was in the prompt: 1 where the response answers and its passage does not
    support the answer: see `workflow_scripts.metrics.unsupported`.

Each response has one outcome: see `outcome_of`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from ..core.block import Block
from ..core.errors import UserError
from ..core.records import Outcome
from ..metrics.abstention import AbstentionDetector
from ..metrics.containment import contains
from ..metrics.extraction import extract_answer
from ..metrics.normalisation import is_blank
from ..metrics.refusal import refuses
from ..metrics.text import EVALUATIONS, USUAL_EVALUATION, Evaluation, exact_match
from ..metrics.unsupported import Claim, is_unsupported, support_by
from .question_answering import AnsweredQuestion
from .settings import ScoreSettings
from .task import Sample, Score, Task, Verdict

ABSTENTIONS: frozenset[Outcome] = frozenset({"rightly_abstained", "wrongly_abstained"})


class _Gold(NamedTuple):
    """An item, and its gold answers as its evaluation normalises them."""

    item: AnsweredQuestion
    evaluation: Evaluation
    answers: list[str]

    def scores(self, text: str) -> tuple[float, float]:
        """EM and F1 of a text."""
        normalised = self.evaluation.normalise(text)
        return (
            exact_match(normalised, self.answers),
            self.evaluation.f1(normalised, self.answers),
        )


class _Judged(NamedTuple):
    """A response and all of its scores but support."""

    outcome: Outcome
    em: float
    f1: float
    contains: float
    extracted: str
    em_extracted: float
    f1_extracted: float
    left_open: bool

    @property
    def answers(self) -> bool:
        """Whether the response gives an answer: exactly then there is one to extract."""
        return bool(self.extracted)


class QuestionScorer:
    """Scores responses to questions; prepares each item once.

    Args:
        task: with a passage in the prompt, that has to support the answers.
        settings: how to score.
    """

    def __init__(self, task: Task, settings: ScoreSettings, options: Block) -> None:
        self._task = task
        self._settings = settings
        self._options = options
        self._with_support = task.has_passage
        detector = AbstentionDetector(settings.abstention_phrases)
        self._abstains = lru_cache(maxsize=4096)(detector)
        self._leaves_open = lru_cache(maxsize=4096)(detector.leaves_open)
        self._support = support_by(settings.unsupported)
        self._golds: dict[str, _Gold] = {}

    def __call__(self, samples: Sequence[Sample]) -> list[Score]:
        """Score responses; a `UserError` names an item without its passage."""
        judged: list[_Judged] = []
        claims: dict[int, Claim] = {}
        for number, sample in enumerate(samples):
            judged.append(self._judge(sample))
            if self._with_support:
                passage = self._passage(sample)
                if judged[-1].answers and passage:
                    response = sample.prediction.response_text
                    claims[number] = Claim(sample.item.question, response, passage)
        supports = dict(zip(claims, self._support(list(claims.values())), strict=True))
        if self._with_support:
            answered = (number for number, each in enumerate(judged) if each.answers)
            supports = dict.fromkeys(answered, 0.0) | supports
        return [self._score(each, supports.get(number)) for number, each in enumerate(judged)]

    def _passage(self, sample: Sample) -> str:
        """What should support the response; empty: nothing can."""
        item: AnsweredQuestion = sample.item
        if item.context is None:
            raise UserError(f"item {item.key!r} is asked open book but has no context")
        return item.context

    def _judge(self, sample: Sample) -> _Judged:
        gold, text = self._gold(sample.item), sample.prediction.response_text
        unanswerable = gold.item.is_unanswerable
        em, f1 = gold.scores(text)
        matches = em == 1 and not unanswerable
        # A judge is asked where the rules leave it open.
        says = None if matches else sample.reaction
        left_open = not matches and says is None and self._leaves_open(text)
        abstains = not matches and (self._abstains(text) or says == "does_not_know")
        declines = refuses(text) or says == "refused"
        contained = matches or not (
            unanswerable or abstains or not contains(text, gold.item.gold) or declines
        )
        verdict = self._verdict(sample, contained=contained, matches=matches)
        outcome = outcome_of(
            text,
            sample.prediction.finish_reason,
            verdict=verdict,
            abstains=abstains,
            refuses=declines,
            unanswerable=unanswerable,
        )
        extracted = ""
        if outcome in ABSTENTIONS:  # SQuAD 2.0's empty prediction
            em = f1 = float(outcome == "rightly_abstained")
            contained = outcome == "rightly_abstained"  # as `em`
        elif outcome == "refused" or (outcome == "truncated" and is_blank(text)):
            em = f1 = 0.0  # nobody said that there is no answer
            contained = False
        elif not is_blank(text):
            extracted = extract_answer(text)
        em_extracted, f1_extracted = gold.scores(extracted) if extracted else (em, f1)
        return _Judged(
            outcome, em, f1, float(contained), extracted, em_extracted, f1_extracted, left_open
        )

    def _verdict(self, sample: Sample, *, contained: bool, matches: bool) -> Verdict | None:
        """What decides whether a response is correct says of it; ``None`` of unanswerable items."""
        if sample.item.is_unanswerable:
            return None
        level = self._settings.correctness_of(sample.item.dataset)
        if level == "labels" and sample.by_people is not None:
            return sample.by_people
        if level in ("judge", "labels") and sample.by_judges is not None:
            return sample.by_judges
        return "correct" if (matches if level == "exact" else contained) else None

    def _score(self, judged: _Judged, support: float | None) -> Score:
        unsupported = None
        if self._with_support:
            threshold = self._settings.unsupported.threshold
            unsupported = float(support is not None and is_unsupported(support, threshold))
        return Score(
            outcome=judged.outcome,
            metrics={
                "em": judged.em,
                "f1": judged.f1,
                "abstain_rate": float(judged.outcome in ABSTENTIONS),
                "false_answer_rate": float(judged.answers and judged.outcome != "correct"),
                "unsupported_rate": unsupported,
                "correct": float(judged.outcome in ("correct", "rightly_abstained")),
                "contains_gold": judged.contains,
            },
            details={
                "answer_extracted": judged.extracted,
                "em_extracted": judged.em_extracted,
                "f1_extracted": judged.f1_extracted,
                "support": support,
                "left_open": float(judged.left_open),
            },
        )

    def _gold(self, item: AnsweredQuestion) -> _Gold:
        gold = self._golds.get(item.key)
        if gold is None:
            evaluation = EVALUATIONS[self._settings.evaluations.get(item.dataset, USUAL_EVALUATION)]
            gold = self._golds[item.key] = _Gold(item, evaluation, evaluation.golds(item.gold))
        return gold


def outcome_of(
    text: str,
    finish_reason: str,
    *,
    verdict: Verdict | None,
    abstains: bool,
    refuses: bool,
    unanswerable: bool,
) -> Outcome:
    """Return what became of a response. Of what applies, the first counts.

    ``failed``
        The request has no response (errors.csv). It has no scores either.
    ``refused``
        The provider says so (``finish_reason`` begins with ``refused``).
    ``truncated``
        The token limit cut the response off (``finish_reason`` is ``length``) before it said
        anything.
    ``empty``
        The response says nothing: it normalises to nothing ("", "...", "The."), or is punctuation
        alone. Never correct, although the official evaluation of SQuAD 2.0 gives it an exact match
        on an unanswerable item.
    ``correct``
        The item has an answer, and the response is correct by what decides it.
    ``rightly_abstained``, ``wrongly_abstained``
        The response says that it gives no answer. That is right on an unanswerable item and wrong
        on others.
    ``refused``
        The response itself says that it will or may not answer.
    ``truncated``
        The token limit cut the response off, so nobody knows what it would have been.
    ``wrong``
        Any other response.

    Args:
        text: the response.
        finish_reason: why it ended.
        verdict: what decides correctness says of it; ``None`` where that leaves it to the patterns
            whether it answers at all.
        abstains: what the `workflow_scripts.metrics.abstention` detector says of a response that
            does not match, or a judge where the rules leave it open.
        refuses: what `workflow_scripts.metrics.refusal` says, or such a judge.
        unanswerable: the item has no answer.
    """
    if finish_reason.startswith("refused"):
        return "refused"
    truncated = finish_reason == "length"
    if is_blank(text):
        return "truncated" if truncated else "empty"
    if verdict == "correct":
        return "correct"
    declines = verdict == "not_attempted" and not refuses
    if verdict != "incorrect" and (abstains or declines):
        return "rightly_abstained" if unanswerable else "wrongly_abstained"
    if verdict != "incorrect" and refuses:
        return "refused"
    return "truncated" if truncated else "wrong"
