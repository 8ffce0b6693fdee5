"""Asking in waves: what settles the primary question ends the asking."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from answering import journaled
from conftest import REPOSITORY, NewClone, Project
from hypothesis import given
from hypothesis import strategies as st
from question_records import Item

from workflow_scripts.config import trials
from workflow_scripts.config.load import read_config
from workflow_scripts.config.schema import Config
from workflow_scripts.datasets.slices import shuffled
from workflow_scripts.rules import stages
from workflow_scripts.rules.experiment import Experiment, Job
from workflow_scripts.stats.settings import Registration

TRIALS = "results/demo/llama_cpp/assay-demo/default"
WAVES = 3
ITEMS = 150
DEMO = read_config(REPOSITORY / "config/config.yaml")
REGISTRATION = (
    "stats:\n  registration:\n    primary: false_answer_rate\n    direction: decrease\n"
    f"    task: open_book\n    waves: {WAVES}\n"
)


def demo_config(waves: int | None, parts: int) -> Config:
    registration = Registration(primary="em", waves=waves)
    stats = DEMO.stats.model_copy(update={"registration": registration})
    return DEMO.model_copy(update={"stats": stats, "parts_per_dataset": parts})


@given(st.integers(2, 40), st.data())
def test_waves_are_all_parts_in_order_and_none_is_empty(parts: int, data: st.DataObject) -> None:
    waves = data.draw(st.integers(2, parts))
    found = trials.waves(demo_config(waves, parts))
    assert len(found) == waves
    assert all(found)
    assert [part for wave in found for part in wave] == [f"{n:03d}" for n in range(parts)]
    sizes = {len(wave) for wave in found}
    assert max(sizes) - min(sizes) <= 1


def test_without_waves_all_parts_are_asked_at_once() -> None:
    config = demo_config(None, 4)
    assert len(trials.waves(config)) == 1
    names = {"decoding": "default", "task": "open_book", "temp": "0.0", "prompt": "control"}
    assert stages.build(Job(Experiment(config), names)).shuffle_seed is None


items = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 9)), max_size=40
).map(
    lambda places: [
        Item(id=str(n), dataset=name, question="?", answers=["x"], cluster_id=f"p{cluster}")
        for n, (name, cluster) in enumerate(places)
    ]
)  # fmt: skip


@given(items, st.integers(0, 3))
def test_shuffling_keeps_clusters_together_and_loses_nothing(given: list[Item], seed: int) -> None:
    found = shuffled(given, seed)
    assert sorted(each.id for each in found) == sorted(each.id for each in given)
    places = [(each.dataset, each.cluster_id) for each in found]
    starts = [place for n, place in enumerate(places) if n == 0 or places[n - 1] != place]
    assert len(starts) == len(set(starts))
    names = [each.dataset for each in found]
    assert names == sorted(names)
    fewer = [each for each in given if each.cluster_id != "p3"]
    assert shuffled(fewer, seed) == [each for each in found if each.cluster_id != "p3"]


def test_another_seed_gives_another_order() -> None:
    of_clusters = [
        Item(id=str(n), dataset="a", question="?", answers=["x"], cluster_id=str(n))
        for n in range(30)
    ]
    orders = {tuple(each.id for each in shuffled(of_clusters, seed)) for seed in range(5)}
    assert len(orders) == 5


@pytest.fixture(scope="module")
def built(new_clone: NewClone, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The demo in waves: one treatment with an effect, and one with none."""
    project = new_clone(tmp_path_factory.mktemp("waves"))
    project.replace(
        "config/config.yaml",
        "parts_per_dataset: 2",
        f"limit_items: {ITEMS}\nparts_per_dataset: {WAVES}\n{REGISTRATION}",
    )
    project.snakemake("--cores", "2", "--resources", "gpu=1")
    return project


def decision(project: Project, prompt_set: str, wave: int) -> dict[str, object]:
    path = f"{TRIALS}/{prompt_set}/waves/{wave}/decision.json"
    found: dict[str, object] = json.loads(project.read(path))
    return found


def test_a_settled_question_ends_the_asking(built: Project) -> None:
    first = decision(built, "abstention", 1)
    assert first["settled"]
    assert not (built.root / TRIALS / "abstention/waves/2").exists()
    raw = {path.name for path in (built.root / TRIALS / "raw").glob("open_book.treatment.*")}
    assert raw == {"open_book.treatment.t0.0.p000.jsonl"}
    # Each part has a third of the items of both tasks; both arms.
    asked, planned = 2 * 2 * ITEMS // WAVES, 2 * 2 * ITEMS
    assert (first["requests"], first["requests_planned"]) == (asked, planned)
    rows = built.read(f"{TRIALS}/abstention/predictions.csv").splitlines()
    assert len(rows) == 1 + asked
    significance = json.loads(built.read(f"{TRIALS}/abstention/significance.json"))
    assert significance["sequential"] == first
    result = significance["results"]["treatment"]["0.0"]["open_book"]
    assert "stopped_early" in {each["code"] for each in result["meta"]["warnings"]}
    report = built.read(f"{TRIALS}/abstention/report.html")
    assert "settled after wave 1 of 3" in report
    assert f"<strong>{planned - asked} were saved</strong>" in report
    assert "median-unbiased" in report


def test_a_question_that_stays_open_is_asked_to_the_end(built: Project) -> None:
    last = decision(built, "placebo", WAVES)
    assert not last["settled"]
    assert last["requests"] == last["requests_planned"] == 2 * 2 * ITEMS
    assert len(built.read(f"{TRIALS}/placebo/predictions.csv").splitlines()) == 1 + 2 * 2 * ITEMS
    assert "All 3 waves were asked" in built.read(f"{TRIALS}/placebo/report.html")


def test_a_second_run_in_waves_has_nothing_to_do(built: Project) -> None:
    assert not built.plan()


def test_waves_are_verified_too(built: Project, tmp_path: Path) -> None:
    command = ("-m", "workflow_scripts.verify.results", "--results", "results")
    assert "not checked" not in built.run(*command).stderr
    copy = built.copy_to(tmp_path / "copy")
    name = f"{TRIALS}/abstention/waves/1/decision.json"
    copy.replace(name, f'"requests": {2 * 2 * ITEMS // WAVES}', '"requests": 7')
    found = copy.run(*command, check=False)
    assert found.returncode == 1
    assert f"{Path(name)}, line " in found.stderr


def test_a_lost_decision_is_made_again_and_asks_nothing(built: Project, tmp_path: Path) -> None:
    copy = built.copy_to(tmp_path / "copy")
    (copy.root / TRIALS / "abstention/waves/1/decision.json").unlink()
    journals = sorted((copy.root / "results/journal").rglob("*.jsonl"))
    copy.snakemake("--cores", "2", "--resources", "gpu=1")
    assert decision(copy, "abstention", 1) == decision(built, "abstention", 1)
    assert sorted((copy.root / "results/journal").rglob("*.jsonl")) == journals
    assert not copy.plan()


def test_without_waves_the_rest_is_asked_and_nothing_again(built: Project, tmp_path: Path) -> None:
    copy = built.copy_to(tmp_path / "copy")
    copy.replace("config/config.yaml", f"    waves: {WAVES}\n", "")
    copy.snakemake("--cores", "2", f"{TRIALS}/abstention/predictions.csv")
    assert len(copy.read(f"{TRIALS}/abstention/predictions.csv").splitlines()) == 1 + 2 * 2 * ITEMS
    digests = [line["digest"] for line in journaled(copy.root / "results/journal")]
    assert len(digests) == len(set(digests)) == 3 * 2 * ITEMS


def test_parts_must_be_enough_for_the_waves(new_clone: NewClone, tmp_path: Path) -> None:
    project = new_clone(tmp_path)
    project.replace("config/config.yaml", "parts_per_dataset: 2\n", f"{REGISTRATION}")
    done = project.snakemake("-n", check=False)
    assert done.returncode != 0
    assert "3 waves need as many parts at least; parts_per_dataset is 1" in done.stderr
    assert "Traceback" not in done.stderr


def test_until_would_forget_the_waves(built: Project) -> None:
    done = built.snakemake("-n", "--until", "parse", check=False)
    assert "--until and --omit-from do not go with stats.registration.waves" in done.stderr
