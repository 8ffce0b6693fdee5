"""Chunks: they cover their document, in its own words, and none lies inside another."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from conftest import REPOSITORY
from encoder_gguf import write_encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.backends.llama_cpp import BindingName
from workflow_scripts.backends.tokens import TokenizerFile
from workflow_scripts.retrieval.chunk import ChunkSettings, chunks, token_counter
from workflow_scripts.retrieval.code_boundaries import python_boundaries
from workflow_scripts.retrieval.cutting import cut
from workflow_scripts.retrieval.records import Chunk
from workflow_scripts.retrieval.settings import ChunkingSettings
from workflow_scripts.retrieval.texts import document
from workflow_scripts.retrieval.tokens import Estimate, TokenCounter, Tokenizer, line_ends

WORDS = Tokenizer("words", lambda texts: [len(re.findall(r"\w+|[^\w\s]", each)) for each in texts])
JOINING = Tokenizer(  # needs more tokens for lines together than for each of them
    "pairs", lambda texts: [len(each.split()) + each.count("\n") // 2 for each in texts]
)

LINES = st.lists(
    st.sampled_from(
        [
            *("", "def f():", "    return 1", "class A:", "    x = 2", "# a comment", "word " * 30),
            *("@decorated", "\tif x:", "é ü ß", "漢字かな", "a" * 200, "\r", "\u2028", "'''", "😀"),
        ]
    ),
    max_size=40,
)
TEXTS = st.one_of(st.text(max_size=300), st.builds("\n".join, LINES))
CHUNKINGS = st.builds(
    ChunkingSettings,
    tokens=st.integers(1, 60),
    overlap=st.sampled_from([0.0, 0.15, 0.5, 0.9]),
    by=st.sampled_from(["lines", "code", "document"]),
)


def chunks_of(
    text: str,
    *,
    path: str = "a b/#é.py",
    tokens: int = 800,
    overlap: float = 0.15,
    by: str = "lines",
) -> list[Chunk]:
    chunking = ChunkingSettings.model_validate({"tokens": tokens, "overlap": overlap, "by": by})
    return list(chunks([document(path, text)], ChunkSettings(chunking=chunking)))


@settings(max_examples=50)
@given(TEXTS, CHUNKINGS, st.sampled_from([Estimate(), WORDS, JOINING]))
def test_chunks_cover_a_text_and_none_lies_inside_another(
    text: str, chunking: ChunkingSettings, counter: TokenCounter
) -> None:
    boundaries = python_boundaries if chunking.by == "code" else None
    found = cut(text, counter, chunking, boundaries)
    assert [found[0].start, found[-1].end] == [0, len(text)] if text else not found
    for before, after in itertools.pairwise(found):
        assert before.start < after.start <= before.end < after.end
    for each in found:
        piece = text[each.start : each.end]
        assert each.tokens == counter.count(piece, np.array([len(piece)]))[0]
        fits = each.tokens <= chunking.tokens or len(piece) == 1 or counter is JOINING
        assert fits or chunking.by == "document"
        assert each.first_line == text.count("\n", 0, each.start) + 1
        assert each.last_line == text.count("\n", 0, each.end - 1) + 1


@settings(max_examples=50)
@given(TEXTS.filter(str.strip), CHUNKINGS)
def test_a_chunk_is_the_documents_own_text(text: str, chunking: ChunkingSettings) -> None:
    found = list(chunks([document("x.py", text)], ChunkSettings(chunking=chunking)))
    assert all(each.text == text[each.start : each.end] for each in found)
    assert [each.id for each in found] == [f"x.py:{each.start}-{each.end}" for each in found]


@settings(max_examples=50)
@given(TEXTS)
def test_the_estimate_counts_pieces_by_themselves(text: str) -> None:
    ends = line_ends(text)
    alone = [
        int(Estimate().count(line, np.array([len(line)]))[0])
        for line in re.findall(r"[^\n]*\n|[^\n]+", text)
    ]
    assert Estimate().count(text, ends).tolist() == alone


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Hello, world!\n", 5),
        ("getUserName(42)", 6),
        ("a  b\t\n\n\n", 5),
        ("=====", 1),
        ("漢字", 2),
        ("Überraschung naïve", 2),
        ("   ", 0),
    ],
)
def test_the_estimate(text: str, tokens: int) -> None:
    assert Estimate().count(text, np.array([len(text)])).tolist() == [tokens]


def test_lines_are_kept_whole_and_repeated() -> None:
    text = "".join(f"line number {n}\n" for n in range(20))
    found = chunks_of(text, tokens=20, overlap=0.25)
    assert [(each.first_line, each.last_line) for each in found[:3]] == [(1, 5), (5, 9), (9, 13)]
    assert all(each.text.endswith("\n") for each in found)


def test_a_line_longer_than_a_chunk_is_cut() -> None:
    text = "short\n" + "word " * 500 + "\nend\n"
    found = chunks_of(text, tokens=100)
    assert max(each.tokens for each in found) <= 100
    assert {each.first_line for each in found} == {1, 2}


def test_a_line_of_ten_megabytes_is_cut_in_time() -> None:
    found = chunks_of("x=1;" * 2_500_000, path="a.py", tokens=800, by="code")
    assert 12_000 < len(found) < 14_000


CODE = '''\
import os


def first():
    """A text
def not_a_function(): pass
    """
    return 1


# About the second.
@decorated
def second():
    return 2


class Third:
    x = 1

    def one(self):
        return 1

    def two(self):
        return 2
'''


def test_python_is_cut_at_functions_and_classes() -> None:
    def starts(tokens: int, path: str) -> list[str]:
        found = chunks_of(CODE, path=path, tokens=tokens, by="code")
        return [chunk.text.lstrip().splitlines()[0] for chunk in found]

    assert starts(40, "a.py") == ["import os", "# About the second.", "class Third:"]
    assert starts(25, "a.py")[-2:] == ["class Third:", "def two(self):"]
    assert starts(40, "a.txt") != starts(40, "a.py")


def parsed_boundaries(text: str) -> dict[int, int]:
    """The boundaries of a text by Python's own parser."""
    offsets = [0, *line_ends(text).tolist()]
    lines = text.split("\n")
    found: dict[int, int] = {}

    def definitions(node: ast.AST, level: int) -> Iterator[tuple[ast.AST, int]]:
        for child in ast.iter_child_nodes(node):
            is_one = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            if is_one:
                yield child, level
            yield from definitions(child, level + is_one)

    for node, level in definitions(ast.parse(text), 0):
        decorators = [each.lineno for each in node.decorator_list]  # type: ignore[attr-defined]
        first = min([node.lineno, *decorators]) - 1  # type: ignore[attr-defined]
        while first and lines[first - 1].lstrip().startswith("#"):
            first -= 1
        for line in (first, node.end_lineno):  # type: ignore[attr-defined]
            if line < len(offsets):
                found[offsets[line]] = min(level, found.get(offsets[line], level))
    return found


HARD = r'''
if True:
    # Not about the function.

    # About it.
    @decorated(
        "def x(): #",
)
    # More.
    async def f(a="""
def g(): pass
""", b='\'',  # " (
):
        x = "a \
class B:"
        return [
a, "]",
] # )

        # Behind it.
    class C: y = 1; z = 2
    def one(): return 1
    x = 1 + \
  2
else:
	def tabs():
		if x:
			def é(): pass
        # a comment
		return r"\""
match x:
    case 1:
        def g(): """漢"""; return f"{x}"
try:
    pass
except E:
    def h():

        pass
class_ = 1
define = 2'''


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_functions_and_classes_are_found_as_python_finds_them(ends: str) -> None:
    paths = sorted(REPOSITORY.glob("*/*/*.py"))[::8]
    texts = [path.read_text(encoding="utf-8") for path in paths]
    for text in (HARD, HARD + "\n", *(texts if ends == "\n" else ())):
        with_ends = text.replace("\n", ends)
        assert dict(python_boundaries(with_ends)) == parsed_boundaries(with_ends)


@pytest.mark.parametrize("end", ['"""', "(", "]", "'", 'x = "\\'])
def test_where_a_string_or_a_bracket_does_not_end_code_is_cut_at_lines(end: str) -> None:
    text = "def f(): pass\n" * 50 + end
    assert chunks_of(text, tokens=20, by="code") == chunks_of(text, tokens=20)


def test_quotes_without_end_are_read_in_time() -> None:
    text = "def f():\n" + 'x = """' + r'\"""' * 200_000
    assert python_boundaries(text) == []


@pytest.mark.parametrize("binding", get_args(BindingName))
def test_an_encoder_counts_the_tokens_of_many_texts(binding: BindingName, tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "encoder.gguf")
    counter = token_counter(TokenizerFile(path=str(path), is_own=True, binding=binding))
    text = "ship\nthe ice\n\nship\n" + "light of the house\n"
    assert counter.count(text, line_ends(text)).tolist() == [1, 2, 0, 1, 4]


def test_documents_that_are_not_cut() -> None:
    assert [chunk.text for chunk in chunks_of(CODE, tokens=5, by="document")] == [CODE]
