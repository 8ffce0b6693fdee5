"""From chunks to the passages of requests: what is found, what fits, and what a config may say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY, NewClone, Project

from workflow_scripts.config.load import parse_config, problems
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.records import Question
from workflow_scripts.datasets.passages import PassagesSettings, passages
from workflow_scripts.requests.parts import with_passages
from workflow_scripts.requests.retrieve import RetrieveSettings, Window, retrievals
from workflow_scripts.retrieval.chunk import ChunkSettings, chunks
from workflow_scripts.retrieval.embedders.settings import index_settings
from workflow_scripts.retrieval.index import write_index
from workflow_scripts.retrieval.records import Retrieval
from workflow_scripts.retrieval.settings import ChunkingSettings
from workflow_scripts.retrieval.texts import document, passage_path
from workflow_scripts.tasks.registry import TASKS

FRUIT = ("apples", "pears", "plums", "cherries")
CHUNKS = list(
    chunks(
        [document(f"d #/{each}.md", f"The {each} are picked late.\n") for each in FRUIT],
        ChunkSettings(chunking=ChunkingSettings()),
    )
)
EACH = CHUNKS[0].tokens
TASK = TASKS["rag"]


def item(number: int, *relevant: str) -> Any:
    return TASK.item.model_validate(
        {
            "id": f"q{number}",
            "dataset": "farm",
            "cluster_id": f"q{number}",
            "question": f"When are the {FRUIT[number]} picked?",
            "answers": ["late"],
            "relevant": list(relevant),
        }
    )


def settings(*, windows: tuple[Window, ...] = (), **search: Any) -> RetrieveSettings:
    given = {"corpus": "farm", "chunking": "lines", "embedder": "bm25", **search}
    index = None if given["embedder"] == "relevant" else index_settings("bm25", {})
    return RetrieveSettings.model_validate(
        {"task": TASK.name, "search": given, "index": index, "windows": windows}
    )


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    write_index(CHUNKS, None, index_settings("bm25", {}), folder / "index.json")
    return folder


def shown(found: Retrieval) -> list[tuple[str, bool]]:
    return [(each.path, each.given) for each in found.passages]


def test_the_best_passages_come_first(index: Path) -> None:
    found = retrievals([item(1), item(0)], CHUNKS, settings(top_k=2), index)
    assert [each.passages[0].path for each in found] == ["d #/pears.md", "d #/apples.md"]
    assert [each.item_id for each in found] == ["q1", "q0"]
    first = found[0].passages[0]
    assert (first.rank, first.text, first.id) == (1, CHUNKS[1].text, CHUNKS[1].id)
    assert found[0].query == "When are the pears picked?"


def test_what_does_not_fit_is_left_out_whole_from_the_end(index: Path) -> None:
    [found] = retrievals([item(1)], CHUNKS, settings(top_k=4, max_tokens=2 * EACH + 1), index)
    assert [given for _, given in shown(found)] == [True, True, False, False]
    [found] = retrievals([item(1)], CHUNKS, settings(top_k=4, max_tokens=EACH - 1), index)
    assert not any(given for _, given in shown(found))


def test_what_the_smallest_context_does_not_hold_is_left_out(index: Path) -> None:
    windows = (Window(tokens=2048, text="system"), Window(tokens=100, text="system"))
    [found] = retrievals([item(1)], CHUNKS, settings(top_k=4, windows=windows), index)
    assert [given for _, given in shown(found)] == [True, False, False, False]


def test_gold_passages_are_found_as_they_are_named() -> None:
    asked = [item(0, "d #/plums.md", CHUNKS[0].id), item(1)]
    found = retrievals(asked, CHUNKS, settings(embedder="relevant"), None)
    assert [shown(each) for each in found] == [
        [("d #/plums.md", True), ("d #/apples.md", True)],
        [],
    ]


def test_a_gold_passage_that_the_corpus_does_not_have(index: Path) -> None:
    asked = [item(0, "d #/aples.md", "d #/plums.md:L9")]
    with pytest.raises(UserError, match=r"'d #/aples\.md' of item 'q0', did you mean 'd #/apples"):
        retrievals(asked, CHUNKS, settings(), index)


def test_more_passages_than_chunks(index: Path) -> None:
    with pytest.raises(UserError, match="top_k is 5, but corpus 'farm' has 4 chunks"):
        retrievals([item(0)], CHUNKS, settings(top_k=5), index)


def test_requests_are_given_what_fits(tmp_path: Path, index: Path) -> None:
    found = retrievals([item(1)], CHUNKS, settings(top_k=4, max_tokens=2 * EACH), index)
    path = tmp_path / "rag.jsonl"
    path.write_text("".join(each.model_dump_json() + "\n" for each in found), encoding="utf-8")
    question = TASK.questions_of(item(1))
    [filled] = with_passages([question], TASK, path)
    text = TASK.messages(filled, TASK.template, [])[0].content
    assert [each.rank for each in filled.passages] == [1, 2]  # type: ignore[attr-defined]
    assert CHUNKS[1].text.strip() in text
    other: Question = TASK.questions_of(item(0))
    with pytest.raises(UserError, match=r"rag\.jsonl: item 'farm\|q0' is missing"):
        with_passages([other], TASK, path)


def test_the_passages_of_a_data_set(tmp_path: Path) -> None:
    rows = [
        {"id": f"q{n}", "question": "?", "answers": ["a"], "context": context}
        for n, context in enumerate(["one", "two", "one"])
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    given = {"name": "a", "dataset": {"format": "jsonl"}, "corpus": {"dataset": "a"}}
    of = PassagesSettings.model_validate({**given, "task": "open_book"})
    assert {each.path: each.text for each in passages(path, of)} == {
        passage_path("one"): "one",
        passage_path("two"): "two",
    }
    path.write_text(path.read_text("utf-8").replace('"context": "one"', '"context": null'))
    of = PassagesSettings.model_validate({**given, "task": "closed_book"})
    with pytest.raises(UserError, match="item 'q0' has no passage"):
        list(passages(path, of))


CONFIG: dict[str, Any] = {
    "experiment": "farm",
    "backend": "local",
    "local_engine": "llama_cpp",
    "local_model": "resources/models/assay-demo.gguf",
    "corpora": {"farm": {"path": "farm"}},
    "chunkings": {"lines": {"tokens": 200}},
    "datasets": {"farm": {"path": "farm.jsonl", "format": "jsonl", "task": "rag"}},
    "arms": {
        "none": {"system": "control", "retrieval": "none"},
        "two": {
            "system": "control",
            "retrieval": {"corpus": "farm", "chunking": "lines", "embedder": "bm25", "top_k": 2},
        },
        "gold": {"system": "control", "retrieval": "relevant"},
    },
    "prompt_sets": {"search": {"control": "none", "treatment": ["two", "gold"]}},
}


def write_farm(root: Path) -> None:
    (root / "farm").mkdir()
    rows = []
    for number, each in enumerate(FRUIT):
        (root / "farm" / f"{each} #1.md").write_text(f"The {each} are picked late.\n", "utf-8")
        gold = item(number, f"{each} #1.md").model_dump(include={"id", "question", "relevant"})
        rows.append({**gold, "answers": ["late"]})
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (root / "farm.jsonl").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda c: c["corpora"]["farm"].update(path="frm"), "no folder or file 'frm'"),
        (lambda c: c["corpora"].update(more={"dataset": "frm"}), "no data set 'frm'.*'farm'"),
        (lambda c: c["arms"]["two"]["retrieval"].update(corpus="Farm"), "no corpus 'Farm'.*'farm'"),
        (lambda c: c["arms"]["two"]["retrieval"].update(chunking="x"), "no chunking 'x'"),
        (lambda c: c["arms"]["two"]["retrieval"].update(embedder="bm52"), "mean 'bm25'"),
        (
            lambda c: c["chunkings"].update(more={"tokens": 9}),
            "chunkings has 2.*embedder: relevant",
        ),
    ],
)
def test_a_config_that_cannot_search(
    change: Callable[[dict[str, Any]], None],
    problem: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_farm(tmp_path)
    monkeypatch.chdir(REPOSITORY)
    given = json.loads(json.dumps(CONFIG))
    given["corpora"]["farm"]["path"] = str(tmp_path / "farm")
    given["datasets"]["farm"]["path"] = str(tmp_path / "farm.jsonl")
    config, _ = parse_config(given, [], {})
    assert problems(config) == []
    change(given)
    config, _ = parse_config(given, [], {})
    found = "; ".join(text for _, text in problems(config))
    assert re.search(problem, found), found


@pytest.fixture(scope="module")
def farm(new_clone: NewClone, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone in which the requests of `CONFIG` were built."""
    made = new_clone(tmp_path_factory.mktemp("farm") / "clone")
    write_farm(made.root)
    (made.root / "farm.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    made.snakemake("--cores", "2", "--configfile", "farm.yaml", "stage_build")
    return made


def test_a_change_makes_again_what_depends_on_it(farm: Project) -> None:
    def plan() -> dict[str, int]:
        found = farm.plan("--configfile", "farm.yaml", "stage_build")
        return {rule: n for rule, n in found.items() if rule not in ("settings", "stage_build")}

    assert plan() == {}
    document = farm.root / "farm" / f"{FRUIT[0]} #1.md"
    before = document.read_text("utf-8")
    document.write_text("They are picked early.\n", encoding="utf-8")
    assert plan() == {"ingest": 1, "chunk": 1, "index_words": 1, "retrieve": 2, "build": 2}
    document.write_text(before, encoding="utf-8")
    farm.replace("farm.yaml", "top_k: 2", "top_k: 3")
    assert plan() == {"retrieve": 1, "build": 1}
    farm.replace("farm.yaml", "top_k: 3", "top_k: 2")
    farm.replace("farm.yaml", "tokens: 200", "tokens: 100")
    assert plan() == {"chunk": 1, "index_words": 1, "retrieve": 2, "build": 2}
