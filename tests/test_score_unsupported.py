"""How far a passage supports an answer, and when it counts as not supported."""

import pytest
from pydantic import ValidationError

from workflow_scripts.metrics.settings import Unsupported
from workflow_scripts.metrics.unsupported import Claim, is_unsupported, support_by

PASSAGE = "The treaty of Lyon was signed in 1904 by a well-known king, O'Brien."


def unsupported(answer: str, rule: Unsupported) -> bool:
    (support,) = support_by(rule)([Claim("?", answer, PASSAGE)])
    assert 0 <= support <= 1
    return is_unsupported(support, rule.threshold)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Lyon.", False),
        ("signed in 1904", False),
        ("treaty signed", True),  # both words, but not as one run
        ("Ly", True),  # a part of a word is no occurrence
        ("a well-known king: OBrien", False),  # both are normalised alike
    ],
)
@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_baseline(answer, expected, threshold):
    rule = Unsupported(strategy="baseline", threshold=threshold)
    assert unsupported(answer, rule) is expected


@pytest.mark.parametrize(
    ("answer", "threshold", "least", "expected"),
    [
        ("lyon paris", 0.5, 1, False),  # half of them is not below the threshold
        ("lyon paris rome", 0.5, 1, True),
        ("lyon paris rome", 0.3, 1, False),
        ("lyon", 0.5, 2, True),  # one token where two are asked for
        ("rome", 0.0, 0, True),  # nothing shared never suffices
        ("rome", 0.0, 1, True),
        ("rome was in it by", 0.5, 1, True),  # function words support nothing
        ("by", 0.5, 1, False),  # but where there is nothing else, they count
        ("lyon lyon paris", 0.6, 1, False),  # each occurrence counts: 2 of 3
        # 11 of 20 is not below 0.55, whatever floating point makes of 0.55 * 20
        (" ".join(["lyon"] * 11 + ["rome"] * 9), 0.55, 1, False),
    ],
)
def test_overlap(answer, threshold, least, expected):
    rule = Unsupported(strategy="overlap", threshold=threshold, min_token_overlap=least)
    assert unsupported(answer, rule) is expected


HOMES = (
    "The home of Emil Sutton is Gdansk. Jonas Parker works as a butcher.\nElsa Ross eats noodles."
)


@pytest.mark.parametrize(
    ("question", "answer", "support"),
    [
        ("What is the home of Emil Sutton?", "Gdansk", 1),
        ("Where is the home of Elsa Ross?", "Gdansk", 1 / 3),  # a sentence about somebody else
        ("Who is Jonas Parker?", "a butcher in Gdansk", 1 / 2),  # half of the answer, all asked
        ("What does Elsa Ross eat?", "noodles", 2 / 3),  # "eat" is not "eats"
        ("What is it?", "noodles", 1),  # only function words are asked: the answer decides
        ("Where does Emil live?", "Oslo", 0),
    ],
)
def test_sentence(question, answer, support):
    rule = Unsupported(strategy="sentence")
    assert support_by(rule)([Claim(question, answer, HOMES)]) == pytest.approx([support])


def test_nli_needs_a_model():
    with pytest.raises(ValidationError, match="strategy 'nli' needs model"):
        Unsupported(strategy="nli")
    assert Unsupported(strategy="overlap", model="models/nli").model_files == []
    assert Unsupported(strategy="nli", model="models/nli").model_files == [
        "models/nli/model.onnx",
        "models/nli/tokenizer.json",
        "models/nli/config.json",
    ]
