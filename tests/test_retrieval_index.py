"""Words, vectors and indexes: what is found, in which order, and which files are refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from workflow_scripts.core.errors import UserError
from workflow_scripts.retrieval import dense
from workflow_scripts.retrieval.embed import embeddings
from workflow_scripts.retrieval.embedders.embedder import unit
from workflow_scripts.retrieval.embedders.settings import (
    Bm25Settings,
    HybridSettings,
    IndexSettings,
    LsaSettings,
    index_settings,
)
from workflow_scripts.retrieval.embedders.words import count, terms_of, words
from workflow_scripts.retrieval.hits import Hit, fused, places
from workflow_scripts.retrieval.index import open_index, write_index
from workflow_scripts.retrieval.index_files import index_files, search_files
from workflow_scripts.retrieval.records import Chunk
from workflow_scripts.retrieval.vectors import write_embeddings

TEXTS = {
    "cookies.py": "def sign_session_cookie(secretKey): return hmac(secretKey, cookie)",
    "parser.py": "class JSONParser: def parseText(text): return json.loads(text)",
    "same_b.md": "The harbour freezes in winter.",
    "same_a.md": "The harbour freezes in winter.",
    "ships.md": "Ships wait outside the harbour until the ice breaks in spring.",
    "empty.md": "---",
    "lighthouse.md": "A lighthouse keeper writes down the weather, the ice and the ships.",
}
EMBEDDERS = {"both": HybridSettings(kind="hybrid", parts=("bm25", "lsa"))}


def chunk(path: str, text: str) -> Chunk:
    return Chunk(
        id=f"{path}:0-{len(text)}",
        path=path,
        first_line=1,
        last_line=1,
        start=0,
        end=len(text),
        tokens=1,
        text=text,
    )


CHUNKS = [chunk(path, text) for path, text in TEXTS.items()]


def make(folder: Path, name: str, chunks: list[Chunk] = CHUNKS) -> IndexSettings:
    settings = index_settings(name, EMBEDDERS)
    own = settings.settings
    if isinstance(own, HybridSettings):
        for part in own.parts:
            make(folder, part, chunks)
        return settings
    vectors = folder / name / "embeddings.npy"
    if isinstance(own, LsaSettings):
        write_embeddings(vectors, embeddings(chunks, settings))
    write_index(chunks, vectors, settings, folder / name / "index.json")
    return settings


def found(folder: Path, name: str, *queries: str, top_k: int = 3) -> list[list[str]]:
    index = open_index(folder / name, index_settings(name, EMBEDDERS), CHUNKS)
    hits = index.search(queries, top_k)
    return [[CHUNKS[hit.row].path for hit in of_query] for of_query in hits]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("indexes")
    make(folder, "both")
    return folder


@pytest.mark.parametrize(
    ("word", "terms"),
    [
        ("getUserName", {"getusername", "get", "user", "name"}),
        ("get_user_name", {"get_user_name", "get", "user", "name"}),
        ("HTTPServer2", {"httpserver2", "http", "server", "2"}),
        ("plain", {"plain"}),
        ("Größe", {"grösse"}),
        ("東京都", {"東京都", "東", "京", "都", "東京", "京都"}),
        ("__", {"__"}),
    ],
)
def test_an_identifier_counts_whole_and_by_its_parts(word: str, terms: set[str]) -> None:
    assert set(terms_of(word)) == terms


def test_spellings_of_one_word_are_one() -> None:
    assert words("Cafe\u0301") == words("Café")
    assert words("ﬁle") == ["file"]
    assert words("हिन्दी भाषा") == ["हिन्दी", "भाषा"]  # vowel signs do not split a word


def test_terms_are_counted_by_text() -> None:
    terms, counts = count(["a a b", "", "userName user"])
    assert terms == ["a", "b", "name", "user", "username"]
    assert counts.toarray().tolist() == [[2, 1, 0, 0, 0], [0] * 5, [0, 0, 1, 2, 1]]


@pytest.mark.parametrize("name", ["bm25", "lsa", "both"])
def test_what_a_question_is_about_comes_first(made: Path, name: str) -> None:
    asked = "where is the session cookie signed", "parse text as JSON", "lighthouse weather"
    first = [paths[0] for paths in found(made, name, *asked)]
    assert first == ["cookies.py", "parser.py", "lighthouse.md"]


@pytest.mark.parametrize("name", ["bm25", "lsa", "both"])
def test_equal_scores_are_in_the_order_of_ids(made: Path, name: str) -> None:
    for top_k in (1, 2):
        assert found(made, name, "the harbour freezes in winter", top_k=top_k) == [
            ["same_a.md", "same_b.md"][:top_k]
        ]


@pytest.mark.parametrize("name", ["bm25", "lsa", "both"])
def test_together_and_one_by_one_find_the_same(made: Path, name: str) -> None:
    index = open_index(made / name, index_settings(name, EMBEDDERS), CHUNKS)
    queries = [*TEXTS.values(), "qzx", ""]
    together = index.search(queries, 4)
    assert together == [index.search([each], 4)[0] for each in queries]
    assert together[-2:] == [[], []]
    assert index.search([], 4) == []


def test_bm25_is_lucenes(made: Path) -> None:
    """The formula by hand, for a term in two chunks."""
    index = open_index(made / "bm25", index_settings("bm25", {}), CHUNKS)
    lengths = [sum(len(terms_of(word)) for word in words(each)) for each in TEXTS.values()]
    idf = math.log(1 + (len(CHUNKS) - 2 + 0.5) / (2 + 0.5))
    expected = {}
    for path in ("ships.md", "lighthouse.md"):
        length = lengths[list(TEXTS).index(path)]
        expected[path] = idf / (1 + 1.2 * (0.25 + 0.75 * length / np.mean(lengths)))
    ((one, other),) = index.search(["ice"], 3)
    assert {CHUNKS[hit.row].path: hit.score for hit in (one, other)} == {
        path: pytest.approx(score, abs=1e-4) for path, score in expected.items()
    }


def test_lsa_is_the_truncated_decomposition(made: Path) -> None:
    """With all dimensions it keeps the cosines of tf-idf."""
    settings = index_settings("lsa", {})
    made_of = embeddings(CHUNKS, settings)
    _, counts = count(list(TEXTS.values()))
    tf = counts.toarray().astype(float)
    idf = np.log((1 + len(CHUNKS)) / (tf > 0).sum(axis=0))
    weighted = np.where(tf > 0, 1 + np.log(np.maximum(tf, 1)), 0) * idf
    lengths = np.linalg.norm(weighted, axis=1, keepdims=True)
    weighted /= np.where(lengths > 0, lengths, 1)
    assert np.allclose(made_of.vectors @ made_of.vectors.T, weighted @ weighted.T, atol=1e-3)
    two = {"two": LsaSettings(kind="lsa", dimensions=2)}
    small = embeddings(CHUNKS, index_settings("two", two))
    left, sizes, _ = np.linalg.svd(weighted, full_matrices=False)
    best = left[:, :2] * sizes[:2]
    best /= np.maximum(np.linalg.norm(best, axis=1, keepdims=True), 1e-9)
    signs = np.sign((best * small.vectors).sum(axis=0))
    assert np.allclose(small.vectors, best * signs, atol=1e-3)


def test_rankings_are_fused_by_ranks_alone() -> None:
    one = [Hit(0, 9.0), Hit(1, 8.0), Hit(2, 7.0)]
    other = [Hit(2, 0.3), Hit(0, 0.2)]
    order = places(["a", "b", "c"])
    assert fused([one, other], order, 60, 3) == [
        Hit(0, round(1 / 61 + 1 / 62, 12)),
        Hit(2, round(1 / 63 + 1 / 61, 12)),
        Hit(1, round(1 / 62, 12)),
    ]
    assert [hit.row for hit in fused([one[1:2], other[:1]], order, 60, 2)] == [1, 2]


class Fixed:
    """An embedder whose questions are vectors already."""

    def __init__(self, vectors: np.ndarray) -> None:
        self._vectors = vectors

    def identity(self) -> dict[str, str]:
        return {}

    def queries(self, texts: object) -> np.ndarray:
        return self._vectors


@pytest.mark.parametrize("exact", [True, False])
def test_many_equal_scores_at_the_end_of_the_hits(exact: bool) -> None:
    """More chunks are equally good than there are candidates: the first ids are found."""
    random = np.random.default_rng(1)
    names = [f"row{number}" for number in range(200)]
    vectors = unit(random.standard_normal((200, 8)).astype(np.float32), names, "x")
    vectors[50:150] = vectors[50]
    ids = [f"{(number * 37) % 200:03d}" for number in range(200)]
    content = dense.build(vectors, exact=exact)
    index = dense.DenseIndex(content, places(ids), Fixed(vectors[50:51]))
    ((*hits,),) = index.search(["?"], 5)
    expected = sorted(range(50, 150), key=ids.__getitem__)[:5]
    assert [hit.row for hit in hits] == expected
    assert {hit.score for hit in hits} == {1.0}


def cut(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:-9])


def other_k1(folder: Path, name: str) -> None:
    path = folder / "index.json"
    about = json.loads(path.read_text(encoding="utf-8"))
    about["identity"]["k1"] = "2"
    path.write_text(json.dumps(about), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "file", "damage", "message"),
    [
        ("bm25", "index.bm25.npz", cut, "index.bm25.npz: the index is cut off or was changed"),
        ("lsa", "index.faiss", cut, "index.faiss: the index is cut off or was changed"),
        ("lsa", "embeddings.npy", cut, "embeddings.npy: the index is cut off or was changed"),
        ("bm25", "index.json", cut, "index.json, line "),
        ("bm25", "index.bm25.npz", lambda f, n: (f / n).unlink(), "index.bm25.npz: no such file"),
        (
            "bm25",
            "",
            other_k1,
            r"another embedder \(k1 '2', now '1.2'\).*delete the folder .*bm25 and",
        ),
    ],
)
def test_damaged_indexes_are_refused(
    tmp_path: Path, name: str, file: str, damage: Callable[[Path, str], None], message: str
) -> None:
    settings = make(tmp_path, name)
    damage(tmp_path / name, file)
    with pytest.raises(UserError, match=message):
        open_index(tmp_path / name, settings, CHUNKS)


def test_an_index_of_other_chunks_or_dimensions_is_refused(made: Path) -> None:
    settings = index_settings("bm25", {})
    with pytest.raises(UserError, match="this index is of other chunks"):
        open_index(made / "bm25", settings, CHUNKS[1:])
    fewer = {"lsa": LsaSettings(kind="lsa", dimensions=3)}
    with pytest.raises(UserError, match=r"made by another embedder \(dimensions '256', now '3'\)"):
        open_index(made / "lsa", index_settings("lsa", fewer), CHUNKS)
    with pytest.raises(UserError, match="its vectors are of other chunks"):
        write_index(
            CHUNKS[1:],
            made / "lsa" / "embeddings.npy",
            index_settings("lsa", {}),
            made / "no" / "index.json",
        )


@pytest.mark.parametrize(
    ("vector", "kind"),
    [([0.0, 0.0], "a zero vector"), ([float("nan"), 1.0], "a vector with NaN")],
)
def test_a_vector_that_cannot_be_searched_names_its_chunk(vector: list[float], kind: str) -> None:
    vectors = np.array([[1, 2], vector, vector], np.float32)
    with pytest.raises(UserError, match=f"m made {kind}.* of b.py:3-9 and 1 others"):
        unit(vectors, ["a.py:0-9", "b.py:3-9", "c"], "m")


@pytest.mark.parametrize(
    ("name", "embedders", "message"),
    [
        ("bm26", {}, "there is no embedder 'bm26'; there are bm25, lsa"),
        ("h", {"h": HybridSettings(kind="hybrid", parts=("bm25", "x"))}, "no embedder 'x'"),
        ("h", {"h": HybridSettings(kind="hybrid", parts=("lsa", "lsa"))}, "two different"),
        (
            "h",
            {"h": HybridSettings(kind="hybrid", parts=("both", "lsa")), **EMBEDDERS},
            "its part 'both' is a hybrid itself",
        ),
    ],
)
def test_embedders_that_cannot_be(name: str, embedders: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        index_settings(name, embedders)


def test_files_of_an_embedder() -> None:
    assert index_files(Bm25Settings(kind="bm25")) == ("index.json", "index.bm25.npz")
    assert search_files(index_settings("both", EMBEDDERS)) == [
        "bm25/index.json",
        "bm25/index.bm25.npz",
        "lsa/index.json",
        "lsa/index.faiss",
        "lsa/embeddings.npy",
    ]
