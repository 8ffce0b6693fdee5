"""What is really sent of a decoding: recorded, called by its name, and asked once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Project

from workflow_scripts.answers.part import Part
from workflow_scripts.answers.parts import ArmParts, TrialParts
from workflow_scripts.config.load import read_config
from workflow_scripts.config.trial import OWN_TEMPERATURE, Trial
from workflow_scripts.config.trials import left_out, trials
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_jsonl, write_jsonl
from workflow_scripts.core.records import Completion, Message, RawLine, Request, Usage
from workflow_scripts.report.arms import sources
from workflow_scripts.report.overview import sent_facts
from workflow_scripts.report.provenance import decodings_sent

CONFIG: dict[str, Any] = {
    "experiment": "sent",
    "backend": "openai",
    "model_id": "gpt-5.5",
    "datasets": {
        "demo": {
            "format": "jsonl",
            "path": "resources/demo/closed_book.jsonl",
            "task": "closed_book",
        }
    },
    "prompt_sets": {"care": {"control": "control", "treatment": "treatment"}},
    "temps": [0.0, 0.7],
}


@pytest.fixture
def read(project: Project, monkeypatch: pytest.MonkeyPatch) -> Any:
    def made(**changes: Any) -> Any:
        monkeypatch.chdir(project.root)
        path = Path("config/sent.yaml")
        path.write_text(yaml.safe_dump({**CONFIG, **changes}), encoding="utf-8")
        return read_config(path)

    return made


def answered(trial: Trial, temp: str) -> TrialParts:
    """The parts of the trial's arms at a temperature, each with one request and its answer."""
    parts = {}
    for condition, arm in trial.arms.items():
        name = f"closed_book.{arm.prompt}.t{temp}.p000.jsonl"
        request = Request(
            custom_id=f"demo|1|{arm.prompt}|{temp}|0|closed_book", dataset="demo", item_id="1",
            prompt=arm.prompt, temp=temp, sample_index=0, type="closed_book",
            messages=[Message(role="user", content="?")],
            decoding=arm.decoding.request("closed_book", temp, seed=3),
        )  # fmt: skip
        write_jsonl(Path(arm.inputs_folder, name), [request])
        identity = {"engine": arm.engine, "model": arm.model_id}
        part = Part(Path(arm.inputs_folder, name), identity, Path("results/journal"))
        ((digest, _),) = part.unanswered()
        usage = Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2)
        part.answer(
            digest,
            Completion(response_text="x", finish_reason="stop", request_id="r", usage=usage),
        )
        part.write(Path(arm.raw_folder, name))
        parts[condition] = ArmParts(
            inputs_folder=arm.inputs_folder, raw_folder=arm.raw_folder, names=[name]
        )
    return TrialParts(arms=parts)


def test_what_is_not_sent_is_in_raw_lines_provenance_and_on_the_first_screen(read: Any) -> None:
    (trial,) = trials(read())
    assert trial.temps == ["0.0"]
    parts = answered(trial, "0.0")
    line = next(read_jsonl(Path(parts.raw_files()[0]), RawLine))
    assert line.not_sent == ["temperature"]
    assert line.completion().checksum(line.request_digest or "") == line.answer_checksum
    (found,) = decodings_sent(trial, parts, Path("results/journal"))
    assert found.arms == ["control", "treatment"]
    longest = trial.decoding.max_new_tokens["closed_book"]
    assert found.parameters == {"max_completion_tokens": longest, "reasoning_effort": "none"}
    assert sent_facts([found], trial) == {
        "Sent": f"max_completion_tokens {longest}, reasoning_effort none",
        "Not sent": "temperature",
    }
    assert sources(trial)["Temperature"] == OWN_TEMPERATURE


def test_a_model_that_takes_everything_has_the_lines_it_always_had(read: Any) -> None:
    both = trials(read(model_id="gpt-4o"))
    assert [each.temps for each in both] == [["0.0", "0.7"]]
    assert both[0].temperature("0.7") == "0.7"
    text = Path(answered(both[0], "0.7").raw_files()[0]).read_text("utf-8")
    assert "not_sent" not in text
    assert left_out(read(model_id="gpt-4o")) == []


def test_settings_that_send_the_same_are_one_and_told(read: Any) -> None:
    config = read(
        sweep={"models": ["gpt-4o", "gpt-5.5"], "top_p": [0.5, 0.9]},
        samples_per_item={"0.7": 4},
    )
    made = {(each.model, each.decoding_name): each.temps for each in trials(config)}
    assert made == {
        ("gpt-4o", "top_p0.5"): ["0.0", "0.7"],
        ("gpt-4o", "top_p0.9"): ["0.0", "0.7"],
        ("gpt-5.5", "top_p0.5"): ["0.7"],  # it has more samples
    }
    temperature, decoding = left_out(config)
    assert temperature == (
        "openai, gpt-5.5: temperatures 0.0 and 0.7 cannot be compared, because the model takes no "
        "temperature. They send the same, so 0.7 alone is asked"
    )
    assert "the decodings top_p0.5 and top_p0.9 send the same" in decoding


def test_an_arm_that_sends_what_its_control_sends_is_refused(read: Any) -> None:
    arms = {"narrow": {"system": "control", "decoding": {"top_p": 0.5}}}
    sets = {"care": {"control": "control", "treatment": "narrow"}}
    with pytest.raises(UserError, match="nothing that is sent differs"):
        read(arms=arms, prompt_sets=sets)
    assert trials(read(arms=arms, prompt_sets=sets, model_id="gpt-4o"))


def test_a_trial_of_two_models_says_whose_temperature_is_not_sent(read: Any) -> None:
    arms = {"new": {"system": "control", "model": "gpt-5.5"}}
    sets = {"care": {"control": "control", "treatment": "new"}}
    (trial,) = trials(read(arms=arms, prompt_sets=sets, model_id="gpt-4o"))
    assert trial.temps == ["0.0", "0.7"]
    assert trial.temperature("0.7") == f"0.7 (“new”: {OWN_TEMPERATURE})"


def test_a_study_of_temperature_on_a_model_without_one_is_told_as_none(read: Any) -> None:
    room = {"max_new_tokens": {"closed_book": 2000}}
    for backend, model, takes in (
        ("anthropic", "claude-opus-4-6", True), ("anthropic", "claude-opus-4-7", False),
        ("anthropic", "claude-opus-5-5", False), ("gemini", "gemini-3.5-flash", True),
        ("gemini", "gemini-3.5-flash-lite", False), ("gemini", "gemini-3.6-flash", False),
        ("openai", "gpt-5.1", True), ("openai", "o4-mini", False),
    ):  # fmt: skip
        notes = left_out(read(backend=backend, model_id=model, **room))
        said = f"{backend}, {model}: temperatures 0.0 and 0.7 cannot be compared, because"
        assert [note.startswith(said) for note in notes] == ([] if takes else [True])


def test_it_is_told_for_one_arm_alone_and_while_a_model_thinks(read: Any) -> None:
    arms = {"new": {"system": "control", "model": "gpt-5.5"}}
    sets = {"care": {"control": "control", "treatment": "new"}}
    assert left_out(read(arms=arms, prompt_sets=sets, model_id="gpt-4o")) == [
        "openai, gpt-4o: temperatures 0.0 and 0.7 cannot be compared in “new”, because gpt-5.5 "
        "takes no temperature"
    ]
    (thinking,) = left_out(read(model_id="gpt-5.1", reasoning="high"))
    assert "openai, gpt-5.1: temperatures 0.0 and 0.7 cannot be compared" in thinking
