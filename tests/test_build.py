"""Requests: the same question under every condition, cut into parts."""

from __future__ import annotations

import shutil
import string
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY, NewClone, Project
from hypothesis import given
from hypothesis import strategies as st
from question_records import QUESTIONS, Item
from trial_parts import trial_parts

from workflow_scripts.backends.tokens import TokenizerFile
from workflow_scripts.config.load import read_config
from workflow_scripts.config.trial import DecodingSettings
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_csv, read_jsonl, write_jsonl
from workflow_scripts.core.records import Message, Prediction, Request
from workflow_scripts.core.records import TaskName as Task
from workflow_scripts.costs.audit import audit
from workflow_scripts.costs.records import Audit
from workflow_scripts.costs.settings import TrialCostSettings
from workflow_scripts.datasets.slices import cut
from workflow_scripts.requests.parts import BuildSettings, requests
from workflow_scripts.rules import stages
from workflow_scripts.rules.experiment import Experiment, Job, wildcards_of

SYSTEMS = {
    path.stem: path.read_text(encoding="utf-8").strip()
    for path in sorted((REPOSITORY / "prompts/system").glob("*.txt"))
}
DEMO = {"open_book": "demo/open_book.jsonl", "closed_book": "demo/closed_book.jsonl"}


def settings(task: Task, temp: str = "0.0", samples: int = 1, parts: int = 1) -> BuildSettings:
    return BuildSettings(
        task=task,
        temp=temp,
        samples_per_item=samples,
        decoding=DecodingSettings(
            max_new_tokens={"closed_book": 7, "open_book": 9}, top_p=None, top_k=None, stop=[]
        ),
        seed=0,
        parts=[f"{part:03d}" for part in range(parts)],
        templates={},
    )


def demo_items(task: Task) -> list[Item]:
    return list(read_jsonl(REPOSITORY / "resources" / DEMO[task], Item))


def system_turn(text: str) -> list[Message]:
    return [Message(role="system", content=text)]


SYSTEM = system_turn("s")


def templates(task: Task) -> dict[str, str]:
    text = (REPOSITORY / QUESTIONS[task].template_path).read_text(encoding="utf-8").strip()
    return defaultdict(lambda: text)


QUESTION_ALONE = defaultdict(lambda: "{question}")


@pytest.mark.parametrize("task", QUESTIONS)
def test_conditions_differ_in_the_system_prompt_alone(task: Task) -> None:
    items = demo_items(task)
    built = {
        name: list(requests(items, name, system_turn(system), templates(task), settings(task)))
        for name, system in SYSTEMS.items()
    }
    for item, control, *others in zip(items, *built.values(), strict=True):
        assert [message.role for message in control.messages] == ["system", "user"]
        user = control.messages[1].content
        assert item.question in user
        assert (item.context in user) if task == "open_book" else item.context is None
        for other in others:
            assert other.messages[1] == control.messages[1]
            assert other.messages[0] != control.messages[0]
            assert other.decoding == control.decoding


@given(st.text(alphabet=string.printable), st.text(alphabet=string.printable))
def test_braces_in_an_item_are_left_alone(question: str, context: str) -> None:
    item = Item(
        id="1", dataset="d", question="?" + question, answers=["a"], context=context, cluster_id="c"
    )
    user = QUESTIONS["open_book"].messages(item, "P {context} Q {question}", SYSTEM)[1].content
    assert user == f"P {context} Q ?{question}"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{question}", r"the fields are \{question\}; task open_book needs each of \{context\}"),
        ("{context} {question} {question}", "exactly once"),
        ("{context} {question} {answer}", r"\{answer\}"),
        ("none", "the fields are none"),
    ],
)
def test_a_template_without_its_fields_is_refused(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "open_book.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=complaint):
        QUESTIONS["open_book"].read_template(path)


ITEMS = st.lists(st.sampled_from("ab"), min_size=1, max_size=40).map(
    lambda datasets: [
        Item(id=str(n), dataset=dataset, question="?", answers=["a"], cluster_id="c")
        for n, dataset in enumerate(sorted(datasets))
    ]
)


@given(ITEMS, st.integers(1, 10))
def test_parts_hold_every_item_once_and_are_even(items: list[Item], parts: int) -> None:
    slices = cut(items, parts)
    assert len(slices) == parts
    assert sorted((item for part in slices for item in part), key=items.index) == items
    for dataset in {item.dataset for item in items}:
        sizes = [sum(item.dataset == dataset for item in part) for part in slices]
        assert max(sizes) - min(sizes) <= 1


def test_custom_ids_name_all_that_identifies_a_sample() -> None:
    (item, *_) = demo_items("closed_book")
    ids = [
        each.custom_id
        for each in requests(
            [item], "calm", SYSTEM, QUESTION_ALONE, settings("closed_book", "0.7", 2)
        )
    ]
    assert ids == [f"demo_closed|{item.id}|calm|0.7|{k}|closed_book" for k in (0, 1)]


def test_sampled_answers_have_seeds_of_their_own_shared_by_the_arms() -> None:
    items = demo_items("closed_book")[:5]
    arms = [
        [
            each.decoding.seed
            for each in requests(
                items, name, system_turn(name), QUESTION_ALONE, settings("closed_book", "0.7", 3)
            )
        ]
        for name in ("control", "treatment")
    ]
    assert arms[0] == arms[1]
    assert len(set(arms[0])) == 15
    greedy = requests(items, "control", SYSTEM, QUESTION_ALONE, settings("closed_book", "0.0", 1))
    assert {each.decoding.seed for each in greedy} == {0}


def test_a_byte_order_mark_is_not_sent(project: Project) -> None:
    expected = {}
    for name in ("prompts/system/treatment.txt", "prompts/tasks/open_book.txt"):
        path = project.root / name
        expected[name] = path.read_text(encoding="utf-8").strip()
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    part = "results/demo/inputs/default/open_book.treatment.t0.0.p000.jsonl"
    project.snakemake("--cores", "1", part)
    (system, user), *_ = (each.messages for each in read_jsonl(project.root / part, Request))
    assert system.content == expected["prompts/system/treatment.txt"]
    assert user.content.startswith(expected["prompts/tasks/open_book.txt"].split("{")[0])
    assert "\r" not in user.content


ODD = "it's a (new) & $HOME; folder, 100%"
"""A name of a folder that every system allows and no shell takes as it is."""


def test_a_run_copes_with_odd_paths_and_parts_without_requests(
    new_clone: NewClone, tmp_path: Path
) -> None:
    """A single item in two parts, and no path is safe in a shell.

    The project's folder has blanks, letters beyond ASCII, and what patterns take for something
    else; the user's own files are in a folder like that.
    """
    project = new_clone(tmp_path / "Größe & Qualität (neu) #1 100% 'x' 质量")
    folder = project.root / ODD
    folder.mkdir()
    (folder / "one item.csv").write_text(
        "id,question,answers,context\n1,Where does Mira Holt live?,Oslo,Mira Holt lives in Oslo.\n",
        encoding="utf-8",
    )
    shutil.copy2(project.root / "prompts/system/control.txt", folder / "plain.txt")
    shutil.copy2(
        project.root / "resources/models/assay-demo.gguf", folder / "Demo (v1) & 'x';.gguf"
    )
    config = {
        "experiment": "odd",
        "backend": "local",
        "local_engine": "llama_cpp",
        "local_model": f"./{ODD}/Demo (v1) & 'x';.gguf",
        "n_ctx": 1024,
        "n_threads": 1,
        "parts_per_dataset": 2,
        # A data set may have any legal name, also one that means something to Snakemake.
        "datasets": {"sort": {"format": "csv", "path": f"{ODD}/one item.csv", "task": "open_book"}},
        "prompt_sets": {"abstention": {"control": f"{ODD}/plain.txt", "treatment": "treatment"}},
    }
    (project.root / ODD / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    run = project.snakemake("--cores", "2", "--configfile", f"{ODD}/config.yaml")
    assert "Report: " in run.stderr
    inputs = project.root / "results/odd/inputs/default"
    sizes = {path.name: path.stat().st_size > 0 for path in inputs.glob("*.jsonl")}
    assert sizes == {
        f"open_book.{prompt}.t0.0.p{part}.jsonl": part == "001"
        for prompt in ("plain", "treatment")
        for part in ("000", "001")
    }
    trial = project.root / "results/odd/llama_cpp/Demo-v1-x/default/abstention"
    rows = list(read_csv(trial / "predictions.csv", Prediction))
    assert [row.condition for row in rows] == ["control", "treatment"]
    again = project.snakemake("-n", "--configfile", f"{ODD}/config.yaml")
    assert "Nothing to be done" in again.stdout + again.stderr


@pytest.fixture
def audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrialCostSettings:
    """The demo's first trial with its first items, built into ``tmp_path``."""
    monkeypatch.chdir(REPOSITORY)
    config = read_config(Path("config/config.yaml"))
    experiment = Experiment(config)
    trial, *_ = experiment.trials
    whole = stages.costs(Job(experiment, wildcards_of(trial)))
    arms = {condition: [f"{condition}.jsonl"] for condition in trial.arms}
    parts = trial_parts(tmp_path, "raw", arms).arms
    items = demo_items("open_book")[:10]
    for condition, arm in trial.arms.items():
        lines = requests(
            items, arm.prompt, system_turn(arm.text), templates("open_book"), settings("open_book")
        )
        write_jsonl(tmp_path / f"{condition}.jsonl", lines)
    return whole.model_copy(
        update={
            "arms": {
                condition: arm.model_copy(update={"parts": parts[condition]})
                for condition, arm in whole.arms.items()
            }
        }
    )


def changed(settings: TrialCostSettings, **changes: Any) -> TrialCostSettings:
    """The same in each arm with other settings."""
    arms = {name: arm.model_copy(update=changes) for name, arm in settings.arms.items()}
    return settings.model_copy(update={"arms": arms})


def too_long(report: Audit) -> list[int | None]:
    return [arm.exceeds_context for arm in report.arms.values()]


def test_prompts_are_measured_with_the_models_own_tokenizer(audited: TrialCostSettings) -> None:
    measured = audit(audited).prompts["open_book"]
    longer = measured["treatment"].system_tokens - measured["control"].system_tokens
    assert longer > 5
    lengths = {name: arm.prompt_tokens for name, arm in measured.items()}
    assert lengths["treatment"].mean == pytest.approx(lengths["control"].mean + longer)
    assert lengths["control"].max >= lengths["control"].p95 >= lengths["control"].p50
    assert too_long(audit(audited)) == [0, 0]


def test_prompts_that_do_not_fit_are_counted(audited: TrialCostSettings) -> None:
    assert too_long(audit(changed(audited, n_ctx=30))) == [10, 10]


def test_without_a_tokenizer_nothing_is_made_up(audited: TrialCostSettings) -> None:
    report = audit(changed(audited, tokenizer=TokenizerFile(path=None, is_own=False)))
    assert [arm.tokenizer for arm in report.arms.values()] == [None, None]
    assert report.prompts == {}
    assert too_long(report) == [None, None]


def test_written_parts_are_read_back_as_requests(project: Project) -> None:
    project.snakemake(
        "--cores", "1", "--config", "limit_items=6", "--until", "build",
    )  # fmt: skip
    paths = sorted((project.root / "results/demo/inputs/default").glob("*.jsonl"))
    assert len(paths) == 12
    assert all(len(list(read_jsonl(path, Request))) == 3 for path in paths)
