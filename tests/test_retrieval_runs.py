"""Whole runs with retrieval: what a change makes again, what kills lose, and equal bytes.

Its servers are `servers/embeddings.py` and `servers/openai_compatible.py`.
"""

from __future__ import annotations

import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from answering import journaled
from conftest import NewClone, Project, clean_environment, kills
from servers.base import running
from servers.embeddings import MODEL, EmbeddingServer, vector_of
from servers.openai_compatible import CompatibleServer
from small_workflow import jobs_in

from workflow_scripts.retrieval.kept import KeptVectors, text_digest

N_ITEMS = 48
N_REQUESTS = 5 * N_ITEMS
"""Requests for answers; the questions of one arm are rewritten too."""

BATCH = 2
AT_ONCE = 2
"""Requests that a process has in flight; with two cores, two processes send at once."""

SEARCH = {"corpus": "people", "chunking": "lines", "embedder": "served"}
QUERY, PASSAGE = "query: ", "passage: "
REWRITING, SEARCHED = "Write a query", "home of person "
EXPERIMENT = "results/runs"
TRIAL = f"{EXPERIMENT}/openai_compatible/tiny-3m/default/search"
TARGET = f"{TRIAL}/significance.json"


@dataclass(frozen=True)
class Servers:
    """One embeds, the other answers."""

    embeds: EmbeddingServer
    answers: CompatibleServer

    def embedded(self, prefix: str = "") -> list[str]:
        """The texts with a prefix that were embedded, in the order in which they were."""
        with self.embeds.lock:
            return [text for text, _ in self.embeds.ledger if text.startswith(prefix)]

    def asked(self) -> list[str]:
        """The requests for answers that were heard."""
        return [
            json.dumps(body, sort_keys=True)
            for body in self._bodies()
            if body["messages"][0]["role"] == "system"
        ]

    def rewritten(self) -> list[str]:
        """The requests to rewrite a question that were heard."""
        contents = (body["messages"][0]["content"] for body in self._bodies())
        return [text for text in contents if text.startswith(REWRITING)]

    def _bodies(self) -> list[dict[str, Any]]:
        with self.answers.lock:
            return list(self.answers.bodies)

    def forget(self) -> None:
        """Count from here."""
        self.embeds.ledger.clear()
        self.answers.bodies.clear()


def person(text: str) -> str:
    """Who a chunk or a question is about."""
    return re.findall(r"erson (\d+)", text)[0]


def answer(asked: str) -> str:
    """The city, where a passage of the prompt names it; a search text; a judge's verdict."""
    if asked.startswith("You check whether"):
        said = re.findall(r"^Response: (\w+)", asked, re.MULTILINE)[0]
        verdict = "supported" if f"lives in {said}." in asked else "no_claim"
        return json.dumps({"verdict": verdict})
    if asked.startswith(REWRITING):
        return f"{SEARCHED}{person(asked)}"
    found = re.search(r"Person (\d+) lives in (\w+)[^?]*Where does person \1 live", asked)
    return f"{found[2]} [1]" if found else "I don't know."


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with running(EmbeddingServer()) as embeds, running(CompatibleServer()) as answers:
        embeds.vector = lambda text, width: vector_of(person(text), width)
        answers.be_vllm()
        answers.answer = answer
        yield Servers(embeds, answers)


def configured(project: Project, servers: Servers) -> None:
    """Write documents, questions and a config into a clone."""
    folder = project.root / "people #é"
    folder.mkdir()
    rows = []
    for n in range(N_ITEMS):
        text = f"Person {n} lives in City{n}.\n"
        (folder / f"{n} ü.md").write_text(text, encoding="utf-8")
        asked = {"id": f"q{n}", "question": f"Where does person {n} live?"}
        rows.append({**asked, "answers": [f"City{n}"], "relevant": [f"{n} ü.md"]})
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (project.root / "people.jsonl").write_text(text, encoding="utf-8")
    embedder = {
        **{"kind": "openai_compatible", "base_url": f"{servers.embeds.url}/v1", "model": MODEL},
        **{"query_prefix": QUERY, "passage_prefix": PASSAGE, "batch": BATCH},
    }
    config: dict[str, Any] = {
        "experiment": "runs",
        "backend": "openai_compatible",
        "local_endpoint": servers.answers.url,
        "model_id": "tiny-3m",
        "max_concurrent_requests": AT_ONCE,
        "corpora": {"people": {"path": "people #é"}},
        "chunkings": {"lines": {"tokens": 200}},
        "embedders": {"served": embedder},
        "datasets": {"people": {"path": "people.jsonl", "format": "jsonl", "task": "rag"}},
        "arms": {
            "one": {"system": "control", "retrieval": {**SEARCH, "top_k": 1}},
            "three": {"system": "treatment", "retrieval": {**SEARCH, "top_k": 3}},
            "gold": {"system": "treatment", "retrieval": "relevant"},
            "none": {"system": "control", "retrieval": "none"},
            "rewritten": {
                **{"system": "control", "retrieval": {**SEARCH, "top_k": 2}, "query": "rewrite"}
            },
        },
        "prompt_sets": {
            "search": {"control": "none", "treatment": ["one", "three", "gold", "rewritten"]}
        },
        "stats": {"bootstrap_samples": 100, "permutation_samples": 100},
    }
    (project.root / "config/config.yaml").write_text(
        yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8"
    )


@pytest.fixture(scope="module")
def whole(
    new_clone: NewClone, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """A run from documents to the report that nothing disturbed."""
    made = new_clone(tmp_path_factory.mktemp("whole") / "clone")
    configured(made, servers)
    made.snakemake("--cores", "2", "results/report.html")
    assert Counter(servers.embedded()).most_common(1)[0][1] == 1
    assert len(servers.embedded()) == 3 * N_ITEMS
    assert len(set(servers.rewritten())) == len(servers.rewritten()) == N_ITEMS
    assert Counter(servers.asked()).most_common(1)[0][1] == 1
    assert len(servers.asked()) == N_REQUESTS
    return made


AFTER_SCORE = Counter(
    score=1, unsupported_sensitivity=1, stats=1, cost_effectiveness=1, verification=1,
    trial_report=1, comparisons=1, front_page=1, index=1,
)  # fmt: skip
AFTER_INDEX = Counter(retrieve=3, retrieve_rewritten=1, build=3, build_rewritten=1)
SENT = Counter(differences=1, parse=1)
"""The jobs before and behind requests that are sent."""


def test_a_change_makes_again_exactly_what_depends_on_it_and_asks_only_that(
    whole: Project, servers: Servers, tmp_path: Path
) -> None:
    copy = whole.copy_to(tmp_path / "copy")

    def run() -> tuple[Counter[str], list[str], list[str]]:
        """Return the jobs of a run, the texts that it embeds, and the messages that it sends."""
        servers.forget()
        copy.snakemake("--cores", "2", f"{TRIAL}/predictions.csv")
        assert servers.rewritten() == []
        jobs = jobs_in(copy.last_log())
        del jobs["settings"]
        return jobs, servers.embedded(), servers.asked()

    earlier = {each for each in servers.asked() if "City3." in each}
    copy.replace("people #é/3 ü.md", "City3", "Town3")
    jobs, embedded, asked = run()
    made = Counter(ingest=1, chunk=1, check_searches=1, embed=1, index_vectors=1)
    assert jobs == made + AFTER_INDEX + Counter(retrieve=1, build=1, infer=4) + SENT
    assert embedded == ["passage: Person 3 lives in Town3.\n"]
    assert sorted(asked) == sorted(each.replace("City3.", "Town3.") for each in earlier)

    copy.replace("config/config.yaml", "top_k: 3", "top_k: 4")
    jobs, embedded, asked = run()
    assert jobs == Counter(check_searches=1, retrieve=1, build=1, infer=1) + SENT
    assert (embedded, len(asked)) == ([], N_ITEMS)
    assert all("[4]" in each for each in asked)

    copy.replace("prompts/system/treatment.txt", "careful", "very careful")
    jobs, embedded, asked = run()
    assert jobs == Counter(build=2, infer=2) + SENT
    assert (embedded, len(asked)) == ([], 2 * N_ITEMS)
    assert all("very careful" in each for each in asked)

    # Documents are shorter than a chunk, so that the chunks come out equal.
    copy.replace("config/config.yaml", "tokens: 200", "tokens: 100")
    assert run() == (Counter(chunk=1), [], [])

    copy.snakemake("--cores", "2", "results/report.html")
    scorer = "workflow_scripts/tasks/rag_scorer.py"
    (copy.root / scorer).write_text(copy.read(scorer) + "\nEDITED = True\n", encoding="utf-8")
    assert copy.plan("results/report.html") == AFTER_SCORE


def test_judges_labels_and_exports_see_the_passages_of_each_arm(
    whole: Project, servers: Servers, tmp_path: Path
) -> None:
    """In a finished run only the judge is asked: once about equal answers from equal passages."""
    copy = whole.copy_to(tmp_path / "copy")
    servers.forget()
    config = copy.root / "config/config.yaml"
    grader = "\njudges:\n  grader: {measures: supported}\nlabelling: {items: 2}\n"
    config.write_text(config.read_text(encoding="utf-8") + grader, encoding="utf-8")
    log = f"{TRIAL}/inspect/rag.three.t0.0.eval"
    records = f"{TRIAL}/every_eval_ever/rag.three.t0.0"
    copy.snakemake("--cores", "2", f"{TRIAL}/verdicts.csv", f"{TRIAL}/predictions.parquet", log,
                   records, "label")  # fmt: skip
    assert servers.asked() == servers.embedded() == []

    with servers.answers.lock:
        asked = [body["messages"][0]["content"] for body in servers.answers.bodies]
    shown = Counter(text.count(" lives in City") for text in asked if text.startswith("You check"))
    assert [shown[n] for n in (0, 1, 3)] == [N_ITEMS] * 3  # of `one` and `gold` they are equal
    rows = csv.DictReader(copy.read(f"{TRIAL}/verdicts.csv").splitlines())
    said = Counter((row["custom_id"].split("|")[2], row["verdict"]) for row in rows)
    arms = {"one": "supported", "three": "supported", "gold": "supported", "control": "no_claim"}
    assert {said[arm] for arm in arms.items()} == {N_ITEMS}

    table = pq.read_table(copy.root / TRIAL / "predictions.parquet").to_pylist()
    given = Counter((row["condition"], (row["passages"] or "").count(" lives in")) for row in table)
    assert {given[arm] for arm in zip(arms, (1, 3, 1, 0), strict=True)} == {N_ITEMS}
    with zipfile.ZipFile(copy.root / log) as archive:
        sample = json.loads(archive.read("samples/people|q7_epoch_1.json"))
    passages = sample["metadata"]["passages"]
    assert len(passages) == 3
    assert passages[0].startswith("7 ü.md:")
    [path] = (copy.root / records).rglob("*_samples.jsonl")
    instances = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert {each["metadata"]["passages"] for each in instances if each["sample_id"] == "q7"} == {
        json.dumps(passages, ensure_ascii=False)
    }

    page = copy.read(f"{TRIAL}/labels/page.html")
    data = json.loads(re.findall(r'id="data">(.*?)</script>', page)[0])
    for response in data["responses"]:
        cited = [data["passages"][index] for index, numbers in response["passages"] if numbers]
        (city,) = response["answers"]
        assert len(response["passages"]) == 3
        assert [city in text for _, text in cited] == [True] * response["response"].count("[1]")


def kept(project: Project, texts: set[str]) -> set[str]:
    """Those of some texts whose vectors are kept."""
    folder = project.root / "results/embeddings"
    found: set[bytes] = set()
    for about in folder.glob("*/identity.json"):
        identity = json.loads(about.read_text(encoding="utf-8"))
        found |= KeptVectors(folder, identity).find(map(text_digest, texts)).keys()
    return {text for text in texts if text_digest(text) in found}


def rewritten_in_journal(project: Project) -> set[str]:
    """The people whose questions have a search text in the journal."""
    lines = journaled(project.root / "results/journal")
    texts = (line["completion"]["response_text"] for line in lines)
    return {person(text) for text in texts if text.startswith(SEARCHED)}


def results(project: Project) -> dict[str, bytes]:
    """What a run makes, without times, and numbers that the server gave in its own order."""
    root = project.root
    paths = [
        *(path for path in (root / "results/corpora").rglob("*") if path.is_file()),
        *(root / EXPERIMENT).glob("retrievals/*.jsonl"),
        *(root / EXPERIMENT).glob("inputs/*/*.jsonl"),
        *(root / EXPERIMENT).glob("openai_compatible/*/inputs/*/*.jsonl"),
        *(root / EXPERIMENT).glob("openai_compatible/*/rewrite/search_texts/*.jsonl"),
        *(root / EXPERIMENT).glob("openai_compatible/*/rewrite/retrievals/*.jsonl"),
        *(root / TRIAL / name for name in TABLES),
    ]
    names = {path.relative_to(root).as_posix(): path for path in paths if "seals" not in path.parts}
    return {
        name: re.sub(rb",chatcmpl-\d+,", b",", path.read_bytes()) for name, path in names.items()
    }


TABLES = (
    "predictions.csv", "errors.csv", "per_item_scores.csv", "outcomes.csv", "significance.json",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.not_on_windows("process groups are killed the POSIX way")
def test_kills_lose_nothing_and_nothing_is_embedded_or_asked_twice(
    whole: Project,
    new_clone: NewClone,
    servers: Servers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``kill -9`` of runs while they embed, retrieve, rewrite and answer, then the same command."""
    killed = new_clone(tmp_path / "killed")
    configured(killed, servers)
    servers.forget()
    quick = servers.embeds.vector

    def slow(text: str, width: int) -> list[float]:
        time.sleep(0.02)
        return quick(text, width)

    monkeypatch.setattr(servers.embeds, "vector", slow)
    monkeypatch.setattr(servers.answers, "latency_s", 0.05)
    # Rewriting is held back until texts are embedded, with `gpu=2` so that both run at once.
    may_rewrite = threading.Event()

    def answered(asked: str) -> str:
        if asked.startswith(REWRITING):
            may_rewrite.wait(timeout=300)
        return answer(asked)

    monkeypatch.setattr(servers.answers, "answer", answered)
    chance = random.Random(20)
    phases = (
        (lambda: len(set(servers.embedded(PASSAGE))), N_ITEMS),
        (lambda: len(set(servers.embedded(f"{QUERY}Where"))), N_ITEMS),
        (lambda: len(set(servers.rewritten())), N_ITEMS),
        (lambda: len(set(servers.asked())), N_REQUESTS),
    )
    n_each = kills(usual=4, search=20) // len(phases)
    for number, (done, total) in enumerate(phases):
        if number == 2:
            may_rewrite.set()
        for left in range(n_each, 0, -1):
            before, known = servers.embedded(), kept(killed, set(servers.embedded()))
            asked_before, held = servers.rewritten(), rewritten_in_journal(killed)
            wanted = done() + chance.randint(1, (total - done()) // (left + 1))
            run = subprocess.Popen(
                [sys.executable, "-m", "workflow_scripts.rules.snakemake_command", "--cores", "2",
                 "--resources", "gpu=2", "--nolock", TARGET],
                cwd=killed.root, env=clean_environment(), start_new_session=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            while done() < wanted and run.poll() is None:
                time.sleep(chance.uniform(0.005, 0.02))
            os.killpg(run.pid, signal.SIGKILL)
            assert run.wait() == -signal.SIGKILL, "finished before it was killed"
            assert not known & set(servers.embedded()[len(before) :])
            assert not held & set(map(person, servers.rewritten()[len(asked_before) :]))
    killed.snakemake("--cores", "2", TARGET)
    n_kills = n_each * len(phases)
    for texts, n, in_flight in (
        (servers.embedded(), 3 * N_ITEMS, BATCH),
        (servers.rewritten(), N_ITEMS, AT_ONCE),
        (servers.asked(), N_REQUESTS, 2 * AT_ONCE),
    ):
        assert len(set(texts)) == n
        assert len(texts) <= n + n_kills * in_flight
    digests = [line["digest"] for line in journaled(killed.root / "results/journal")]
    assert len(digests) == len(set(digests)) == N_REQUESTS + N_ITEMS
    assert results(killed) == results(whole)
    assert killed.plan(TARGET) == Counter()
