"""Gold passages: what an item may name, and which chunks that covers."""

from __future__ import annotations

import pytest

from workflow_scripts.retrieval.records import Chunk
from workflow_scripts.retrieval.relevant import Relevant

CHUNK = Chunk(
    id="a b/c.py:10-14", path="a b/c.py", first_line=3, last_line=5, start=10, end=14, tokens=1,
    text="text",
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "covered"),
    [
        ("a b/c.py", True),
        ("a b/c.py:10-14", True),
        ("a b/c.py:L5", True),
        ("a b/c.py:L1-L3", True),
        ("a b/c.py:L5-9", True),
        ("c.py", False),
        ("a b/c.py:10-15", False),
        ("a b/c.py:L6", False),
        ("a b/c.py:L1-L2", False),
    ],
)
def test_a_file_its_lines_and_a_chunk(text: str, covered: bool) -> None:
    assert Relevant.read(text).covers(CHUNK) is covered


def test_only_a_path_names_a_file() -> None:
    assert [Relevant.read(each).names_a_file for each in ("a", "a:L1", "a:0-1")] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("text", ["a:L0", "a:L3-L2"])
def test_lines_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="lines count from 1"):
        Relevant.read(text)
