"""When an answer counts as not supported by its passage."""

import pytest

from workflow_scripts.config.schema import Unsupported
from workflow_scripts.score.unsupported import Passage, is_unsupported

PASSAGE = Passage.of("The treaty of Lyon was signed in 1904 by a well-known king, O'Brien.")


@pytest.mark.parametrize(
    ("answer", "unsupported"),
    [
        ("lyon", False),
        ("signed in 1904", False),
        ("treaty signed", True),  # both words, but not as one run
        ("ly", True),  # a part of a word is no occurrence
        ("wellknown king obrien", False),  # the passage is normalised as the answer is
    ],
)
def test_baseline(answer, unsupported):
    assert is_unsupported(answer, PASSAGE, Unsupported(strategy="baseline")) is unsupported


@pytest.mark.parametrize(
    ("answer", "threshold", "least", "unsupported"),
    [
        ("lyon paris", 0.5, 1, False),  # half of them is not below the threshold
        ("lyon paris rome", 0.5, 1, True),
        ("lyon paris rome", 0.3, 1, False),
        ("lyon", 0.5, 2, True),  # one token where two are asked for
        ("rome", 0.0, 0, False),
        ("rome", 0.0, 1, True),
        ("rome was in it by", 0.5, 1, True),  # function words support nothing
        ("by", 0.5, 1, False),  # but where there is nothing else, they count
        ("lyon lyon paris", 0.6, 1, False),  # each occurrence counts: 2 of 3
    ],
)
def test_overlap(answer, threshold, least, unsupported):
    rule = Unsupported(strategy="overlap", threshold=threshold, min_token_overlap=least)
    assert is_unsupported(answer, PASSAGE, rule) is unsupported
