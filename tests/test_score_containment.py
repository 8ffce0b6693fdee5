"""Containment: a gold answer in a response, whatever stands around it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.metrics.containment import contains
from workflow_scripts.metrics.spelling import dates_in_order, numbers_in_figures


@pytest.mark.parametrize(
    ("response", "gold"),
    [
        ("She lives in Lyon.", "Lyon"),
        ("It was Beyoncé's song.", "Beyonce"),
        ("J.K. Rowling wrote it", "J. K. Rowling"),
        ("JK Rowling wrote it", "J.K. Rowling"),
        ("In the U.S.", "US"),
        ("World War Two", "World War II"),
        ("It was released on December 14th, 1972.", "14 December 1972"),
        ("On 1972-12-14", "December 14, 1972"),
        ("On 14 December 1972", "December 1972"),
        ("Dec. 14, 1972", "14 December 1972"),
        ("the 14th of December", "December 14"),
        ("There are twenty-one of them", "21"),
        ("1,500 men", "1500"),
        ("about 5 million people", "5,000,000"),
        ("two hundred and five", "205"),
        ("the twenty-first century", "21st century"),
        ("3.5%", "3.5 percent"),
        ("not Paris, but Rome", "Rome"),
        ("It was not until 1972", "1972"),
        ("Not only Rome but Milan", "Milan"),
        ("Paris is the correct answer.", "Paris"),
        ("No. That is wrong.", "no"),
        ("adenosine diphosphate", "adenosine diphosphate (ADP)"),
        ("It becomes ADP.", "adenosine diphosphate (ADP)"),
        ("the Near East", "in the Near East"),
        ("They are called The The.", "The The"),
        ("Simon & Garfunkel", "Simon and Garfunkel"),
    ],
)
def test_a_response_that_states_the_answer(response, gold):
    assert contains(response, ["something else", gold])


@pytest.mark.parametrize(
    ("response", "gold"),
    [
        ("She lives in Lyons.", "Lyon"),
        ("not Paris, but Rome", "Paris"),
        ("It isn't Paris.", "Paris"),
        ("Rome rather than Paris", "Paris"),
        ("Paris is not the correct answer.", "Paris"),
        ("Paris is incorrect.", "Paris"),
        ("There is no doubt", "no"),
        ("about 5 million people", "5"),
        ("one of them", "1"),
        ("in 1972", "December 1972"),
        ("on 13 December 1972", "14 December 1972"),
        ("Bob, and later Russell", "Bob Russell"),
        ("", "Paris"),
        ("Paris", ""),
    ],
)
def test_a_response_that_does_not(response, gold):
    assert not contains(response, [gold])


@pytest.mark.parametrize(
    ("words", "figures"),
    [
        ("nineteen", "19"),
        ("ninety nine", "99"),
        ("one hundred", "100"),
        ("three hundred and twenty one", "321"),
        ("two thousand and one", "2001"),
        ("one million two hundred thousand", "1200000"),
        ("1.5 billion", "1500000000"),
        ("twelfth", "12th"),
        ("thirty third", "33rd"),
        ("eleventh hour", "11th hour"),
        ("one of two", "one of 2"),
        ("salt and pepper", "salt and pepper"),
        ("henry viii", "henry 8"),
    ],
)
def test_numbers_in_words_become_figures(words, figures):
    assert numbers_in_figures(words.split()) == figures.split()


def test_dates_have_one_order():
    spelled = ["14 december 1972", "december 14, 1972", "dec. 14th 1972", "1972-12-14"]
    assert {dates_in_order(each) for each in spelled} == {"14 december 1972"}
    assert dates_in_order("may, 2001") == "may 2001"


@given(st.integers(0, 999_999))
def test_every_number_in_words_is_its_figures(number):
    """The words are made by the rules of English numerals, written here a second time."""
    units = (
        *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
        *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
        *("eighteen", "nineteen"),
    )
    tens = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]

    def below_thousand(n):
        words = [units[n // 100], "hundred"] if n >= 100 else []
        if n % 100:
            words += ["and"] if words else []
            rest = n % 100
            words += (
                [units[rest]]
                if rest < 20
                else [tens[rest // 10], *([units[rest % 10]] if rest % 10 else [])]
            )
        return words

    words = [*below_thousand(number // 1000), "thousand"] if number >= 1000 else []
    words += below_thousand(number % 1000) or ([] if words else ["zero"])
    assert numbers_in_figures(words) == [str(number)]


@given(
    st.text(alphabet="abcxyz .,;:!?()\n", max_size=40),
    st.lists(st.text(alphabet="defgh", min_size=3, max_size=6), min_size=1, max_size=4),
)
def test_whatever_stands_around_it_the_answer_is_contained(around, words):
    gold = " ".join(words)
    assert contains(f"{around} {gold.title()}, {around}", [gold])
    assert not contains(around, [gold])
