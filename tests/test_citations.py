"""Citations: where they are, which sentence they belong to, and how well they are chosen."""

from __future__ import annotations

import time

import pytest

from workflow_scripts.metrics.citations import (
    Evidence,
    Sentence,
    cited_numbers,
    parts,
    rated,
    sentences,
    whole,
    without_citations,
)
from workflow_scripts.metrics.file_names import file_names, share_named

NONE: list[int] = []


@pytest.mark.parametrize(
    ("text", "cited", "plain"),
    [
        ("Paris [1].", [1], "Paris."),
        ("Paris[1][3] [1]", [1, 3], "Paris"),
        ("Paris [ 2, 4; 7 ].", [2, 4, 7], "Paris."),
        ("Paris [2–4].", [2, 3, 4], "Paris."),
        ("Paris [4-2].", [4, 2], "Paris."),
        ("Paris [0] [12345] [a] [] [1", [0], "Paris [12345] [a] [] [1"),
        ("`x[0]` and ```\ny[1]\n``` [2]", [2], "`x[0]` and ```\ny[1]\n```"),
        ("[1](https://example.com) [2]", [2], "[1](https://example.com)"),
        ("", NONE, ""),
    ],
)
def test_what_is_a_citation(text: str, cited: list[int], plain: str) -> None:
    assert cited_numbers(text) == cited
    assert without_citations(text) == plain


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Ann is old [1]. Ben is not [2].", [("Ann is old.", 1), ("Ben is not.", 2)]),
        ("Ann is old. [1] Ben is not.[2][3]", [("Ann is old.", 1), ("Ben is not.", 2, 3)]),
        ("[1] says so. Really!", [("says so.", 1), ("Really!",)]),
        ("Dr. Smith lives, e.g. in the U.S. [1]", [("Dr. Smith lives, e.g. in the U.S.", 1)]),
        ("Version 2.0 is out [1]", [("Version 2.0 is out", 1)]),
        ("1. One [1].\n2. Two.\n[2]\n- Three", [("One.", 1), ("Two.", 2), ("Three",)]),
        ("Oslo\n\nSources: [1], [2]", [("Oslo", 1, 2)]),
        ("Oslo [1]\n\nSources:\n[1] a.md\n[2] b.md", [("Oslo", 1)]),
        ("Use `a. B` [1]:\n```\nx = 1. \nY\n```", [("Use `a. B`:", 1), ("```\nx = 1. \nY\n```",)]),
        ("東京です。[2]次です。", [("東京です。", 2), ("次です。",)]),
        ("[1]", []),
        ("...", []),
    ],
)  # fmt: skip
def test_sentences_with_their_citations(text: str, found: list[tuple[object, ...]]) -> None:
    assert [(each.text, *each.cited) for each in sentences(text)] == found


@pytest.mark.parametrize(
    "piece", [" ", "!", "[", "[1,", "a. ", "`", "[1]", "x[1] . ", "a/", "a.b."]
)
def test_long_answers_take_no_time(piece: str) -> None:
    text = piece * (20_000 // len(piece)) + "a"
    started = time.perf_counter()
    sentences(text)
    cited_numbers(text)
    file_names(text, ["a.py"])
    assert time.perf_counter() - started < 3


# Hand-made pairs: the passages are called by their letters, and say which sentences they support.


def both(cited: str, supporting: set[str], n: int = 3) -> tuple[float, float]:
    """Precision and recall of one sentence per group of numbers, such as ``12 3``.

    ``supporting``: the groups of passages that support their sentence together.
    """
    passages = [str(number) for number in range(1, n + 1)]
    found = [
        Sentence(f"s{place}", tuple(map(int, group.replace("-", ""))))
        for place, group in enumerate(cited.split())
    ]
    evidence = [each for sentence in found if (each := whole(sentence, passages)) is not None]
    tried = [*evidence, *(part for each in evidence for pair in parts(each) for part in pair)]
    supported = frozenset(each for each in tried if "".join(each.passages) in supporting)
    result = rated(found, passages, supported)
    return result.precision, result.recall


@pytest.mark.parametrize(
    ("cited", "supporting", "precision", "recall"),
    [
        ("1", {"1"}, 1, 1),
        ("1", set(), 0, 0),
        ("-", set(), 0, 0),
        ("1 -", {"1"}, 1, 1 / 2),
        ("12", {"12", "1"}, 1 / 2, 1),  # 2 is not needed: 1 suffices without it
        ("12", {"12", "1", "2"}, 1, 1),  # each suffices alone
        ("12", {"12"}, 1, 1),  # both are needed
        ("12", {"1", "2"}, 0, 0),  # together they contradict
        ("12 3", {"12", "1", "3"}, 2 / 3, 1),
        ("12 3", {"12", "1"}, 1 / 3, 1 / 2),
        ("9", {"9"}, 0, 0),  # there is no passage 9
        ("19", {"1"}, 0, 0),
        ("1 9", {"1"}, 1 / 2, 1 / 2),
    ],
)
def test_precision_and_recall(
    cited: str, supporting: set[str], precision: float, recall: float
) -> None:
    assert both(cited, supporting) == (precision, recall)


def test_without_sentences_there_is_neither() -> None:
    assert rated([], ["a"], frozenset()) == (0, 0)
    assert parts(Evidence("s", ("a",))) == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("See `src/flask/app.py` and app.py.", ["src/flask/app.py", "app.py"]),
        (r"In src\flask\app.py, ./a.md", ["src/flask/app.py", "a.md"]),
        ("flask.Flask, json.dumps, e.g. 3.py2 or .py", []),
        ("https://example.com/x.html", []),
        ("the Makefile of lib", ["Makefile"]),
    ],
)
def test_names_of_files(text: str, names: list[str]) -> None:
    assert file_names(text, ["tools/Makefile"]) == names


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("app.py", 1),
        ("flask/app.py and cli.py", 1 / 2),
        ("my_app.py", 0),
        ("Makefile", 1),
        ("nothing", 0),
    ],
)
def test_right_names(text: str, share: float) -> None:
    assert share_named(text, {"src/flask/app.py", "tools/Makefile"}) == share
