"""The answer that is found within a chat response."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.metrics.extraction import extract_answer
from workflow_scripts.metrics.normalisation import is_blank


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("Paris", "Paris"),
        ("Paris.", "Paris"),
        # behind a marker
        ("The answer is Paris.", "Paris"),
        ("The answer is: Paris", "Paris"),
        ("The correct answer would be Paris.", "Paris"),
        ("The answer to the question is Paris, France.", "Paris, France"),
        ("The answer is that he resigned.", "he resigned"),
        ("Answer: Paris", "Paris"),
        ("**Answer:** Paris", "Paris"),
        ("Answer:\n\nParis\nIt is the capital.", "Paris"),
        ("A: Paris", "Paris"),
        ("Who was it? Let me think.\nIt was the king.\nSo the answer is Otto.", "Otto"),
        ("He thought the answer is 41.\nNo.\nThe answer is 42.", "41"),
        ("Let me see.\nThe answer is 41?\nNo, the answer is 42.", "42"),
        # the first line and the first sentence
        ("Paris\n\nIt is the capital of France.", "Paris"),
        ("\n \nParis", "Paris"),
        ("Paris. It is the capital of France.", "Paris"),
        ("1945. The war ended then.", "1945"),
        ("3.5 km. It is long.", "3.5 km"),
        ("St. Louis. It is big.", "St. Louis"),
        ("J. R. R. Tolkien. He wrote it.", "J. R. R. Tolkien"),
        ("the U.S. Army", "the U.S. Army"),
        ("Dr. No", "Dr. No"),
        ("東京です。日本の首都です。", "東京です"),
        # quotation marks and bold type
        ('"Paris"', "Paris"),
        ("“Heroes” by David Bowie", "Heroes"),
        ("**Paris** is the capital.", "Paris"),
        ("**Paris**, of course", "Paris"),
        ("The answer is **Paris**.", "Paris"),
        ('The answer is "St. Louis".', "St. Louis"),
        ("'Twas the night", "'Twas the night"),
        ('"Help!" and "Yesterday"', '"Help!" and "Yesterday"'),
        ("“A”, “B”, and “C”", "“A”, “B”, and “C”"),
        # marks of lists and headings, lead-ins, brackets
        ("- Paris", "Paris"),
        ("# Paris", "Paris"),
        ("Based on the passage, Paris", "Paris"),
        ("According to the given text: Paris.", "Paris"),
        ("(Paris)", "Paris"),
        ("[Paris]", "Paris"),
        ("Unknown (2011)", "Unknown (2011)"),
        # nothing to take
        ("The answer is", "The answer is"),
        ("Answer:", "Answer:"),
        ("", ""),
        ("...", "..."),
    ],
)
def test_extraction(response, answer):
    assert extract_answer(response) == answer


chat = st.lists(
    st.sampled_from(
        ["The answer is", "Answer:", " ", "\n", ".", "**", '"', "“", "”", "(", ")", "Paris", "a"]
    ),
    max_size=12,
).map("".join)


@given(st.one_of(st.text(max_size=60), chat))
def test_an_answer_is_found_exactly_where_something_is_said(response):
    assert is_blank(extract_answer(response)) == is_blank(response)


@given(st.one_of(st.text(max_size=60), chat))
def test_an_answer_is_a_part_of_the_response(response):
    assert extract_answer(response) in response
