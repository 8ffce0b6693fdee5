"""Normalisation, EM and F1 against values of the SQuAD 2.0 official evaluation's definition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.score.text import exact_match, f1, normalise, normalised_golds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Eiffel\tTower!", "eiffel tower"),
        ("a man, an ant, the end", "man ant end"),
        ("Theatre another banana", "theatre another banana"),
        # Punctuation goes before articles: the "a" of "a.m." is no word by then.
        ("9 a.m.", "9 am"),
        ("don't", "dont"),
        # Only ASCII punctuation goes, so a typographic apostrophe or dash stays.
        ("don’t – ever", "don’t – ever"),
        ("Île-de-France", "îledefrance"),
        ("東京", "東京"),
        ("The.", ""),
        ("", ""),
    ],
)
def test_normalise(text, expected):
    assert normalise(text) == expected


@given(st.text())
def test_normalise_changes_nothing_the_second_time_but_new_articles(text):
    # Each round can only shorten: "a-n" becomes the article "an".
    once = normalise(text)
    assert len(normalise(once)) <= len(once)
    assert once == " ".join(once.split())


def test_golds_that_normalise_to_nothing_are_dropped():
    assert normalised_golds(["The", "Paris"]) == ["paris"]
    assert normalised_golds(["The", "..."]) == [""]
    assert normalised_golds([]) == [""]


@pytest.mark.parametrize(
    ("prediction", "golds", "em", "token_f1"),
    [
        ("the Paris.", ["Paris"], 1, 1),
        ("Paris, France", ["Paris"], 0, 2 / 3),
        # precision 2/4, recall 2/3
        ("in Lyon in 1990", ["Lyon in France"], 0, 2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3)),
        # repeated tokens count as often as both have them: 2 of 3 and 2 of 2
        ("no no no", ["no no"], 0, 0.8),
        ("Lyon", ["Paris"], 0, 0),
        ("Paris", ["Lyon", "City of Paris", "Paris City"], 0, 2 / 3),
        ("", [], 1, 1),
        ("the", [], 1, 1),
        ("Paris", [], 0, 0),
        ("", ["Paris"], 0, 0),
    ],
)
def test_em_and_f1(prediction, golds, em, token_f1):
    prepared = normalised_golds(golds)
    assert exact_match(normalise(prediction), prepared) == em
    assert f1(normalise(prediction), prepared) == pytest.approx(token_f1, abs=1e-12)


words = st.lists(st.sampled_from(["rome", "paris", "in", "of", "1990"])).map(" ".join)


@given(words, words)
def test_f1_is_symmetric_and_at_least_em(one, other):
    assert f1(one, [other]) == pytest.approx(f1(other, [one]), abs=1e-12)
    assert 0 <= exact_match(one, [other]) <= f1(one, [other]) <= 1
