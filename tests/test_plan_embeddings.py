"""The plan of a run with embedders that cost something: nothing is embedded to count it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import NewClone, Project
from servers.base import running
from servers.embeddings import MODEL, EmbeddingServer
from small_workflow import jobs_in
from test_retrieval_searches import CONFIG, FRUIT, write_farm

from workflow_scripts.backends.prices import Quote, Rates
from workflow_scripts.core.files import write_jsonl
from workflow_scripts.costs.embeddings import plan_embeddings
from workflow_scripts.costs.plan import make_plan
from workflow_scripts.costs.plan_settings import PlannedEmbedder, PlanSettings
from workflow_scripts.costs.plan_table import table
from workflow_scripts.retrieval.chunk import ChunkSettings, chunks
from workflow_scripts.retrieval.embed import embeddings
from workflow_scripts.retrieval.embedders.settings import (
    OpenAICompatibleEmbedderSettings,
    index_settings,
)
from workflow_scripts.retrieval.settings import ChunkingSettings
from workflow_scripts.retrieval.texts import document

PRICE = Quote(
    rates=Rates(input_per_million=4.0, output_per_million=0.0), source="a page", date="2026-12"
)
TEXTS = ["The apples are picked late.\n", "Pears are picked early, says Zoë.\n"]
QUESTIONS = ["When are apples picked?", "Who says so?", "Who says so?"]


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with running(EmbeddingServer()) as made:
        assert isinstance(made, EmbeddingServer)
        yield made


def embedded(server: EmbeddingServer) -> list[str]:
    return [text for text, _ in server.ledger]


def tokens(*texts: str) -> int:
    return sum(-(-len(text.encode()) // 4) for text in texts)


def planned(folder: Path, url: str, price: Quote | None = PRICE, note: str | None = None) -> Any:
    documents = [document(f"{n}.txt", text) for n, text in enumerate(TEXTS)]
    made = list(chunks(documents, ChunkSettings(chunking=ChunkingSettings())))
    write_jsonl(folder / "chunks.jsonl", made)
    rows = [
        {"id": f"q{n}", "dataset": "d", "cluster_id": f"q{n}", "question": text}
        for n, text in enumerate(QUESTIONS)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "questions.jsonl").write_text(lines, encoding="utf-8")
    own = OpenAICompatibleEmbedderSettings(
        kind="openai_compatible", base_url=f"{url}/v1", model=MODEL, query_prefix="query: "
    )
    settings = PlanSettings(
        experiment="x",
        spending_folder=(folder / "spending").as_posix(),
        budget_usd=0.001,
        models=[],
        trials=[],
        embedders=[
            PlannedEmbedder(
                embedder="e", model=MODEL, quote=price, note=note, settings=own,
                chunks=[str(folder / "chunks.jsonl")],
                questions=[("rag", str(folder / "questions.jsonl"))],
            )
        ],
    )  # fmt: skip
    return settings, made, index_settings("e", {"e": own})


def test_texts_without_a_vector_by_hand(server: EmbeddingServer, tmp_path: Path) -> None:
    settings, made, index = planned(tmp_path, server.url)
    sent = [*TEXTS, f"query: {QUESTIONS[0]}", f"query: {QUESTIONS[1]}"]  # one question is equal
    found = plan_embeddings(settings, tmp_path / "kept")
    (one,) = found.embedders
    assert (one.texts, one.kept, one.chunks, one.questions) == (4, 0, 2, 2)
    assert one.tokens == tokens(*sent)
    assert one.cost_usd == pytest.approx(tokens(*sent) * 4e-6)
    assert one.at_most_usd == pytest.approx(sum(len(text.encode()) + 2 for text in sent) * 4e-6)
    assert found.waiting == {"e"}
    assert embedded(server) == []

    plan = make_plan(settings, tmp_path / "journal", embeddings=found)
    assert plan.total.cost_usd == pytest.approx(one.cost_usd, abs=1e-6)
    assert plan.total.to_send == 4
    assert plan.budget.expected_usd == pytest.approx(one.cost_usd, abs=1e-6)
    assert plan.budget.is_enough is True
    text = table(plan)
    assert "2 chunks and 2 questions to embed; $4 per million tokens (a page, 2026-12)" in text
    assert "| embedder e " in text

    embeddings(made, index, tmp_path / "kept")
    (one,) = plan_embeddings(settings, tmp_path / "kept").embedders
    assert (one.texts, one.kept, one.chunks, one.questions) == (4, 2, 0, 2)
    assert embedded(server) == TEXTS


def test_an_embedder_that_is_away_and_has_no_price(tmp_path: Path) -> None:
    settings, *_ = planned(tmp_path, "http://127.0.0.1:9", None, "add a price, like this")
    found = plan_embeddings(settings, tmp_path / "kept")
    (one,) = found.embedders
    assert (one.kept, one.chunks, one.questions, one.cost_usd) == (None, 2, 2, None)
    plan = make_plan(settings, tmp_path / "journal", embeddings=found)
    assert plan.total.cost_usd is None
    text = table(plan)
    assert "    - add a price, like this" in text
    assert "    - what is embedded already cannot be told: " in text


FARM = ("--cores", "2", "--configfile", "farm.yaml")


@pytest.fixture
def farm(server: EmbeddingServer, new_clone: NewClone, tmp_path: Path) -> Project:
    """A clone with a config whose embedder costs something."""
    project = new_clone(tmp_path / "clone")
    write_farm(project.root)
    config = json.loads(json.dumps(CONFIG).replace('"bm25"', '"small"'))
    config["embedders"] = {
        "small": {"kind": "openai_compatible", "base_url": f"{server.url}/v1", "model": MODEL}
    }
    config["pricing"] = {MODEL: {"input_per_million": 1000, "output_per_million": 0}}
    (project.root / "farm.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return project


def test_a_mistake_is_found_before_anything_is_embedded(
    server: EmbeddingServer, farm: Project
) -> None:
    def refused(*target: str) -> str:
        ended = farm.snakemake(*FARM, *target, check=False)
        assert ended.returncode != 0
        assert "Traceback" not in ended.stderr
        return ended.stderr

    message = "error: --until and --omit-from do not go with a plan of embedders that cost someth"
    farm.replace("farm.yaml", "experiment: farm", "experiment: farm\nbudget_usd: 9")
    assert message in refused("--until", "plan")
    farm.replace("farm.yaml", "top_k: 2", "top_k: 99")
    n = len(FRUIT)
    assert f"top_k is 99, but corpus 'farm' has {n} chunks" in refused("stage_build")
    farm.replace("farm.yaml", "top_k: 99", "top_k: 2")
    path = f"{FRUIT[0]} #1.md"
    farm.replace("farm.jsonl", path, path.replace("#", "%"))
    told = f"corpus 'farm' does not have these gold passages: {path.replace('#', '%')!r} of item"
    assert told in refused("stage_build")
    assert told in refused("plan")
    assert embedded(server) == []
    farm.replace("farm.jsonl", path.replace("#", "%"), path)
    farm.snakemake(*FARM, "stage_build")
    assert len(embedded(server)) == 2 * n

    # What the check reads may change; while nothing is wrong, nothing is made again behind it.
    farm.replace("farm.jsonl", '"answers": ["late"]', '"answers": ["late", "later"]')
    farm.snakemake(*FARM, "stage_build")
    made = jobs_in(farm.last_log())
    assert (made["check_searches"], made["embed"], made["retrieve"]) == (1, 0, 3)
    assert len(embedded(server)) == 2 * n


def test_snakemake_plan_embeds_nothing(server: EmbeddingServer, farm: Project) -> None:
    project = farm

    def plan(target: str = "plan") -> tuple[dict[str, Any], dict[str, Any], int]:
        """The plan's embedder, its rows by arm, and how many texts were embedded so far."""
        project.snakemake(*FARM, target)
        made = json.loads(project.read("results/farm/plan.json"))
        (trial,) = made["trials"]
        (embedder,) = made["embedders"]
        return embedder, trial["arms"], len(server.ledger)

    def to_embed(embedder: dict[str, Any]) -> tuple[int, int, int]:
        return embedder["chunks"], embedder["questions"], embedder["kept"]

    n = len(FRUIT)
    embedder, arms, sent = plan("results/farm/plan.md")
    assert (to_embed(embedder), sent) == ((n, n, 0), 0)
    assert not list(project.root.glob("results/corpora/farm/lines/small/*"))
    estimated = arms["two"]
    assert (estimated["requests"], estimated["to_send"]) == (n, n)
    assert "requests with such passages are estimated" in project.read("results/farm/plan.md")

    project.snakemake(*FARM, "stage_build")
    embedder, arms, sent = plan()
    assert (to_embed(embedder), sent) == ((0, 0, 2 * n), 2 * n)
    found = arms["two"]
    assert found["prompt_tokens"] == pytest.approx(estimated["prompt_tokens"], rel=0.1)
    assert "estimated, with" not in project.read("results/farm/plan.md")

    (project.root / "farm" / f"{FRUIT[0]} #1.md").write_text("Early.\n", encoding="utf-8")
    embedder, _, sent = plan()
    assert (to_embed(embedder), sent) == ((1, 0, 2 * n - 1), 2 * n)
