"""EM and F1 against our own writing of the published definitions of three official evaluations.

The references go character by character, without regular expressions and translation tables, so
that they share no code and no idea with what they check.
"""

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.metrics.normalisation import (
    is_blank,
    normalise,
    normalise_nq_open,
    normalise_triviaqa,
)
from workflow_scripts.metrics.text import EVALUATIONS, exact_match

ASCII_PUNCTUATION = [
    chr(code) for code in [*range(33, 48), *range(58, 65), *range(91, 97), *range(123, 127)]
]


def without_articles(text: str) -> str:
    """Runs of word characters that are an article become a blank; then blanks are single."""
    runs = itertools.groupby(text, key=lambda c: c.isalnum() or c == "_")
    words = ("".join(run) for _, run in runs)
    kept = "".join(" " if word in ("a", "an", "the") else word for word in words)
    return " ".join(kept.split())


def squad_reference(text: str) -> str:
    return without_articles("".join(c for c in text.lower() if c not in ASCII_PUNCTUATION))


def nq_open_reference(text: str) -> str:
    apart = unicodedata.normalize("NFD", text)
    return without_articles("".join(c for c in apart.lower() if c not in ASCII_PUNCTUATION))


def triviaqa_reference(text: str) -> str:
    as_blanks = [*ASCII_PUNCTUATION, "\N{LEFT SINGLE QUOTATION MARK}"]
    as_blanks += ["\N{RIGHT SINGLE QUOTATION MARK}", "\N{ACUTE ACCENT}", "\N{GRAVE ACCENT}"]
    return without_articles("".join(" " if c in as_blanks else c for c in text.lower()))


def f1_reference(prediction: str, gold: str, of_nothing: float) -> float:
    """By crossing out each shared token once; 2 · shared / (all tokens of both)."""
    left, right = prediction.split(), gold.split()
    if not left and not right:
        return of_nothing
    shared = 0
    rest = list(right)
    for token in left:
        if token in rest:
            rest.remove(token)
            shared += 1
    return 2 * shared / (len(left) + len(right))


def scores_reference(name: str, prediction: str, answers: list[str]) -> tuple[float, float]:
    """Maximum over gold answers. SQuAD 2.0 leaves out those that normalise to nothing."""
    normalised = {
        "squad_v2": squad_reference,
        "nq_open": nq_open_reference,
        "triviaqa": triviaqa_reference,
    }[name]
    golds = [normalised(answer) for answer in answers]
    if name == "squad_v2":
        golds = [gold for gold in golds if gold]
    text = normalised(prediction)
    of_nothing = 0.0 if name == "triviaqa" else 1.0
    pairs = [(float(text == gold), f1_reference(text, gold, of_nothing)) for gold in golds or [""]]
    return max(em for em, _ in pairs), max(f1 for _, f1 in pairs)


def scores(name: str, prediction: str, answers: list[str]) -> tuple[float, float]:
    evaluation = EVALUATIONS[name]
    golds = evaluation.golds(answers)
    text = evaluation.normalise(prediction)
    return exact_match(text, golds), evaluation.f1(text, golds)


ADVERSARIAL = [
    "",
    " ",
    "\n",
    "The",
    "the a an",
    "The.",
    "...",
    "…",
    "A.M.",
    "a.m.",
    "a-n",  # punctuation goes first, and leaves an article
    "t.h.e",
    "theatre",
    "the_end",
    "_the_",
    "`the`",
    "‘the’",
    "the’s",
    "don't",
    "don’t",
    "don´t",
    "don`t",
    "l’été",
    "Beyoncé",
    "Beyonce\u0301",
    "á la carte",  # taken apart, its first letter is an article
    "a\u0301",
    "Ångström",
    "A\u030angström",
    "İstanbul",
    "Straße",
    "ﬁnal",
    "Ｔｈｅ",
    "東京",
    "the\u00a0end",
    "the\u200bend",
    "the\u2011end",
    "𝐚 b",
    "٣",
    "½",
    "$100",
    "€100",
    "no no no",
    "(the)",
    "AN apple, THE pear; a plum",
    "9/11",
    "3.14",
]


@pytest.mark.parametrize("name", sorted(EVALUATIONS))
def test_adversarial_texts_score_as_the_published_definitions_say(name):
    for prediction, answer in itertools.product(ADVERSARIAL, repeat=2):
        assert scores(name, prediction, [answer]) == pytest.approx(
            scores_reference(name, prediction, [answer]), abs=1e-12
        ), (prediction, answer)


pieces = st.sampled_from(
    ["the", "The", " ", " ", "a", "an", "A.", "_", "’", "'", "´", "`", "-", "é", "e\u0301", "$"]
)
texts = st.one_of(
    st.text(max_size=20),
    st.lists(st.one_of(pieces, st.characters()), max_size=12).map("".join),
)


@given(st.sampled_from(sorted(EVALUATIONS)), texts, st.lists(texts, max_size=4))
def test_any_text_scores_as_the_published_definitions_say(name, prediction, answers):
    expected = scores_reference(name, prediction, answers)
    assert scores(name, prediction, answers) == pytest.approx(expected, abs=1e-12)


@given(texts)
def test_any_text_is_normalised_as_published(text):
    assert normalise(text) == squad_reference(text)
    assert normalise_nq_open(text) == nq_open_reference(text)
    assert normalise_triviaqa(text) == triviaqa_reference(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Eiffel\tTower!", "eiffel tower"),
        ("a man, an ant, the end", "man ant end"),
        ("9 a.m.", "9 am"),
        ("don't", "dont"),
        # Only ASCII punctuation goes, so a typographic apostrophe or dash stays.
        ("don’t – ever", "don’t – ever"),
        ("Île-de-France", "îledefrance"),
    ],
)
def test_normalise(text, expected):
    assert normalise(text) == expected


def test_where_the_official_evaluations_differ():
    assert [scores(name, "Saint Étienne", ["Saint-E\u0301tienne"])[0] for name in EVALUATIONS] == [
        0,  # SQuAD 2.0: hyphen gone, accents as they are written
        0,  # NQ-open: accents alike, but the hyphen joins the words
        0,  # TriviaQA: hyphen as a blank, accents as they are written
    ]
    assert scores("triviaqa", "Saint Étienne", ["Saint-Étienne"]) == (1, 1)
    assert scores("nq_open", "Étienne", ["E\u0301tienne"]) == (1, 1)
    assert scores("squad_v2", "Étienne", ["E\u0301tienne"]) == (0, 0)


def test_triviaqa_counts_any_alias():
    aliases = ["Sunset Boulevard", "Sunset Blvd", "West Sunset Boulevard", "Sunset Blvd."]
    assert scores("triviaqa", "the SUNSET-boulevard!", aliases) == (1, 1)
    assert scores("triviaqa", "Sunset Strip", aliases) == (0, 0.5)


@pytest.mark.parametrize(
    ("prediction", "answers", "em", "token_f1"),
    [
        ("the Paris.", ["Paris"], 1, 1),
        ("Paris, France", ["Paris"], 0, 2 / 3),
        # precision 2/4, recall 2/3
        ("in Lyon in 1990", ["Lyon in France"], 0, 2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3)),
        # repeated tokens count as often as both have them: 2 of 3 and 2 of 2
        ("no no no", ["no no"], 0, 0.8),
        ("Paris", ["Lyon", "City of Paris", "Paris City"], 0, 2 / 3),
        ("", [], 1, 1),
        ("the", [], 1, 1),
        ("Paris", [], 0, 0),
        ("", ["Paris"], 0, 0),
        # A gold answer that normalises to nothing is left out where there are others.
        ("", ["The", "Paris"], 0, 0),
        ("", ["The", "..."], 1, 1),
    ],
)
def test_em_and_f1_of_squad(prediction, answers, em, token_f1):
    assert scores("squad_v2", prediction, answers) == pytest.approx((em, token_f1), abs=1e-12)


words = st.lists(st.sampled_from(["rome", "paris", "in", "of", "1990"])).map(" ".join)


@given(words, words)
def test_f1_is_symmetric_and_at_least_em(one, other):
    f1 = EVALUATIONS["squad_v2"].f1
    assert f1(one, [other]) == pytest.approx(f1(other, [one]), abs=1e-12)
    assert 0 <= exact_match(one, [other]) <= f1(one, [other]) <= 1


@pytest.mark.parametrize(
    "text",
    ["", " \n", "The.", "a", "...", "…", "—", "“”", "¿?", "\u200b", "**", "$", "_", "´", "The:The"],
)
def test_blank_texts(text):
    assert is_blank(text)


@pytest.mark.parametrize("text", ["I", "x", "0", "½", "€", "→", "👍", "東", "the end", "Á"])
def test_texts_that_say_something(text):
    assert not is_blank(text)


@given(texts)
def test_what_normalises_to_nothing_is_blank(text):
    if normalise(text) == "" or normalise_triviaqa(text) == "":
        assert is_blank(text)
