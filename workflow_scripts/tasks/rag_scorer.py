"""The scorer of retrieval: the search, the answer and its citations; docs/scoring.md.

Answers are scored as those to other questions, without their citations; see
`workflow_scripts.tasks.question_scorer`. The passages that have to support them are those of the
prompt; without any, nothing supports them. Per sample, ``hit_at_k`` and ``false_citations`` are 0
or 1, all others between them.

``recall_at_k``, ``hit_at_k``, ``ndcg_at_k``, ``mrr``
    Of the passages found, also those left out of the prompt: see
    `workflow_scripts.metrics.ranking`.
``citation_precision``, ``citation_recall``
    Where the response answers: see `workflow_scripts.metrics.citations`. Otherwise 0.
``false_citations``
    1 where the response cites a number that no passage of its prompt has.
``named_files``
    See `workflow_scripts.metrics.file_names`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain

from ..metrics import citations
from ..metrics.citations import Evidence
from ..metrics.file_names import share_named
from ..metrics.ranking import hit, ndcg, newly_covered, recall, reciprocal_rank
from ..metrics.unsupported import Claim, is_unsupported
from ..retrieval.records import Passage
from ..retrieval.relevant import Relevant
from .question_scorer import QuestionScorer
from .rag import RagItem
from .rag_metrics import (
    CITATION_PRECISION,
    CITATION_RECALL,
    CITED,
    FALSE_CITATIONS,
    GOLD_PASSAGE,
    HIT,
    IN_PROMPT,
    LEFT_OUT,
    MRR,
    N_FOUND,
    N_GOLD,
    N_LEFT_OUT,
    NAMED_FILES,
    NDCG,
    NO_GOLD,
    NO_PASSAGES,
    NOT_FOUND,
    RECALL,
)
from .task import Sample, Score

_read = lru_cache(maxsize=4096)(Relevant.read)


class RagScorer(QuestionScorer):
    """Scores responses that were given passages."""

    def __call__(self, samples: Sequence[Sample]) -> list[Score]:
        """Score responses."""
        answers = super().__call__([_without_citations(sample) for sample in samples])
        rated = self._citations(samples, answers)
        return [
            replace(
                score,
                metrics={**score.metrics, **_search(sample), **cited, **_named(sample)},
                details={**score.details, **_details(sample)},
            )
            for sample, score, cited in zip(samples, answers, rated, strict=True)
        ]

    def _passage(self, sample: Sample) -> str:
        return "\n\n".join(self._prompt(sample))

    def _prompt(self, sample: Sample) -> list[str]:
        """The texts of the passages as the prompt numbers them."""
        return [each.text for each in self._task.in_prompt(sample.passages, self._options)]

    def _citations(
        self, samples: Sequence[Sample], answers: Sequence[Score]
    ) -> list[dict[str, float]]:
        """The metrics of citations; support is measured for many sentences at once."""
        prompts = [self._prompt(sample) for sample in samples]
        texts = [sample.prediction.response_text for sample in samples]
        found = [
            citations.sentences(text) if score.details[_ANSWER] else []
            for text, score in zip(texts, answers, strict=True)
        ]
        whole = [
            (sample.item.question, evidence)
            for sample, prompt, sentences in zip(samples, prompts, found, strict=True)
            for sentence in sentences
            if (evidence := citations.whole(sentence, prompt)) is not None
        ]
        supported = self._supported(whole)
        supported |= self._supported(
            (question, part)
            for question, evidence in whole
            if (question, evidence) in supported
            for part in chain.from_iterable(citations.parts(evidence))
        )
        by_question: dict[str, set[Evidence]] = defaultdict(set)
        for question, evidence in supported:
            by_question[question].add(evidence)
        rated = []
        for sample, prompt, sentences, text in zip(samples, prompts, found, texts, strict=True):
            cited = citations.rated(sentences, prompt, by_question[sample.item.question])
            numbers = citations.cited_numbers(text)
            is_false = any(not citations.exists(number, prompt) for number in numbers)
            rated.append(
                {
                    CITATION_PRECISION.name: cited.precision,
                    CITATION_RECALL.name: cited.recall,
                    FALSE_CITATIONS.name: float(is_false),
                }
            )
        return rated

    def _supported(self, evidence: Iterable[tuple[str, Evidence]]) -> set[tuple[str, Evidence]]:
        """Of sentences with passages, each with its question, those that are supported."""
        different = list(dict.fromkeys(evidence))
        claims = [
            Claim(question, each.sentence, "\n\n".join(each.passages))
            for question, each in different
        ]
        threshold = self._settings.unsupported.threshold
        return {
            each
            for each, support in zip(different, self._support(claims), strict=True)
            if not is_unsupported(support, threshold)
        }


_ANSWER = "answer_extracted"
"""What `QuestionScorer` finds in a response that answers."""


def _without_citations(sample: Sample) -> Sample:
    text = sample.prediction.response_text
    plain = citations.without_citations(text)
    if plain == text:
        return sample
    return sample._replace(prediction=sample.prediction.model_copy(update={"response_text": plain}))


def _covered(item: RagItem, passages: Sequence[Passage]) -> list[int]:
    return newly_covered(passages, [_read(each) for each in item.relevant], Relevant.covers)


def _search(sample: Sample) -> dict[str, float]:
    covered, n_gold = _covered(sample.item, sample.passages), len(sample.item.relevant)
    return {
        **{metric.name: recall(covered, n_gold, k) for k, metric in RECALL.items()},
        **{metric.name: hit(covered, k) for k, metric in HIT.items()},
        **{metric.name: ndcg(covered, n_gold, k) for k, metric in NDCG.items()},
        MRR.name: reciprocal_rank(covered),
    }


def _named(sample: Sample) -> dict[str, float]:
    gold = {_read(each).path for each in sample.item.relevant}
    return {NAMED_FILES.name: share_named(sample.prediction.response_text, gold)}


def _details(sample: Sample) -> dict[str, float | str | None]:
    given = [each for each in sample.passages if each.given]
    numbers = citations.cited_numbers(sample.prediction.response_text)
    return {
        GOLD_PASSAGE: _whereabouts(sample.item, sample.passages, given),
        CITED: ", ".join(map(str, numbers)),
        N_GOLD: float(len(sample.item.relevant)),
        N_FOUND: float(len(sample.passages)),
        N_LEFT_OUT: float(len(sample.passages) - len(given)),
    }


def _whereabouts(item: RagItem, found: Sequence[Passage], given: Sequence[Passage]) -> str:
    """Where the gold passage is; of several, where one is counts."""
    if not item.relevant:
        return NO_GOLD
    if not found:
        return NO_PASSAGES
    if any(_covered(item, given)):
        return IN_PROMPT
    return LEFT_OUT if any(_covered(item, found)) else NOT_FOUND
