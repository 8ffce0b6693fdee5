"""Declarations: their digests, when they were made, and what came first."""

import hashlib
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError
from trial_parts import trial_parts

from workflow_scripts.answers.journal import Journal
from workflow_scripts.answers.parts import ParseSettings
from workflow_scripts.answers.predictions import answer
from workflow_scripts.comparisons.registration import (
    Declaration,
    RegistrationStatus,
    declaration,
    digest_of,
    main,
    record,
)
from workflow_scripts.config.checks import unknown_names
from workflow_scripts.config.schema import Config
from workflow_scripts.core.files import read_settings, write_csv, write_json, write_jsonl
from workflow_scripts.core.records import ANSWER_FIELDS, Answer, Completion, Failure, RawLine, Usage
from workflow_scripts.stats.settings import Registration, Stats

DECLARED = Stats(registration=Registration(primary="em", direction="increase"))
LONG_AGO, NOW = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)


def test_the_digest_is_that_of_the_content_and_of_nothing_else():
    content = declaration(DECLARED)
    assert digest_of(content) == digest_of(dict(reversed(content.items())))
    shown = DECLARED.model_copy(update={"risk_thresholds": [0.3]})
    assert digest_of(declaration(shown)) == digest_of(content)
    for change in ({"random_seed": 1}, {"registration": Registration(primary="f1")}):
        assert digest_of(declaration(DECLARED.model_copy(update=change))) != digest_of(content)
    assert declaration(Stats()) is None


def test_the_primary_metric_is_no_secondary_one():
    with pytest.raises(ValidationError, match="'em' is the primary metric already"):
        Registration(primary="em", secondary=["f1", "em"])


@pytest.mark.parametrize(
    ("declared", "key", "message"),
    [
        ({"primary": "em", "task": "open_book"}, "task", "no data set is put to 'open_book'"),
        ({"primary": "em", "temp": 1}, "temp", "temperature 1.0 is not in use"),
        ({"primary": "unsupported_rate"}, "primary", "measured in open_book and rag only"),
    ],
)
def test_what_the_run_will_not_measure_cannot_be_declared(declared, key, message):
    config = Config.model_validate(
        {
            "datasets": {"one": {"format": "jsonl", "path": "one.jsonl", "task": "closed_book"}},
            "prompt_sets": {"set": {"control": "control", "treatment": "treatment"}},
            "model_id": "some",
            "stats": {"registration": declared},
        }
    )
    (problem,) = unknown_names(config)
    assert problem[0] == ("stats", "registration", key)
    assert message in problem[1]


def test_a_declaration_is_recorded_once_and_a_changed_one_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert record("demo", Stats()) is None
    first = Path(record("demo", DECLARED))
    text = first.read_text(encoding="utf-8")
    assert record("demo", DECLARED) == first.as_posix()
    assert first.read_text(encoding="utf-8") == text
    other = Path(record("demo", Stats(registration=Registration(primary="f1"))))
    assert other != first
    declared, later = (read_settings(path, Declaration) for path in (first, other))
    assert declared.declared_at <= later.declared_at <= datetime.now(UTC)
    assert declared.content == declaration(DECLARED)


def completion(text="x"):
    """An answer of a server that gives each of its responses the same id."""
    return Completion(
        response_text=text,
        finish_reason="stop",
        request_id="chatcmpl-1",
        usage=Usage(),
        latency_s=0,
    )


def digest(name):
    return hashlib.sha256(name.encode()).hexdigest()


def raw_line(number, name, *, identified=True):
    """A line that answers the request of a name; None: an error."""
    meta = {
        "custom_id": f"one|{number}|control|0.0|0|open_book",
        "dataset": "one",
        "item_id": str(number),
        "prompt": "control",
        "temp": "0.0",
        "sample_index": 0,
        "type": "open_book",
    }
    if name is None:
        return RawLine(**meta, error=Failure(type="timeout", message="none"))
    answer = completion()
    return RawLine(
        **meta,
        request_digest=digest(name) if identified else None,
        **{field: getattr(answer, field) for field in ANSWER_FIELDS},
    )


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """A trial whose raw part was written at NOW, with an empty journal."""
    monkeypatch.chdir(tmp_path)
    parts = trial_parts("inputs", "raw", {"control": ["p.jsonl"]})
    settings = ParseSettings(parts=parts, max_failure_share=1)
    write_json(Path("parse.json"), settings.model_dump())
    write_raw(["a", "b", None])
    return tmp_path


def write_raw(names, *, identified=True):
    lines = [raw_line(number, name, identified=identified) for number, name in enumerate(names)]
    write_jsonl(Path("raw/p.jsonl"), lines)
    write_csv(Path("answers.csv"), Answer, (answer("control", line) for line in lines))
    os.utime("raw/p.jsonl", (NOW.timestamp(), NOW.timestamp()))


def journal(when, *names, torn=False):
    before = set(Path("journal/model").glob("*.jsonl"))
    with Journal(Path("journal/model")) as opened:
        for name in names:
            opened.append(digest(name), completion())
    (path,) = set(Path("journal/model").glob("*.jsonl")) - before
    name = path.name.split("-", 1)[1]
    target = path.with_name(f"{int(when.timestamp() * 1e9)}-{name}")
    path.rename(target)
    if torn:
        target.write_bytes(target.read_bytes()[:-20])


def status(monkeypatch, declared_at):
    content = declaration(DECLARED)
    declared = Declaration(digest=digest_of(content), declared_at=declared_at, content=content)
    write_json(Path("declaration.json"), declared.model_dump(mode="json"))
    arguments = {
        "--declaration": "declaration.json",
        "--answers": "answers.csv",
        "--settings": "parse.json",
        "--journal": "journal",
        "--output": "registration.json",
    }
    words = [word for pair in arguments.items() for word in pair]
    monkeypatch.setattr(sys, "argv", ["registration", *words])
    main()
    return read_settings(Path("registration.json"), RegistrationStatus)


@pytest.mark.parametrize("minutes", [-1, 1])
def test_without_a_journal_the_raw_part_is_as_old_as_its_last_change(trial, monkeypatch, minutes):
    found = status(monkeypatch, NOW + timedelta(minutes=minutes))
    assert found.before_first_answer is (minutes < 0)
    assert (found.first_answer_at, found.evidence) == (NOW, "raw/p.jsonl")


def test_an_answer_that_another_experiment_journaled_came_first(trial, monkeypatch):
    journal(LONG_AGO, "elsewhere", "b")
    journal(LONG_AGO - timedelta(days=1), "elsewhere")
    found = status(monkeypatch, LONG_AGO + timedelta(days=1))
    assert not found.before_first_answer
    assert found.first_answer_at == LONG_AGO
    assert found.evidence.startswith("journal/model/")
    assert status(monkeypatch, LONG_AGO - timedelta(hours=1)).before_first_answer


def test_answers_to_other_requests_say_nothing(trial, monkeypatch):
    journal(LONG_AGO, "elsewhere", "b", torn=True)
    found = status(monkeypatch, LONG_AGO + timedelta(days=1))
    assert found.before_first_answer
    assert found.evidence == "raw/p.jsonl"


def test_a_response_id_that_a_server_gives_twice_makes_no_declaration_late(trial, monkeypatch):
    """Vllm behind some gateways, and many small servers, give each response the same id."""
    journal(LONG_AGO, "asked by another experiment")
    found = status(monkeypatch, LONG_AGO + timedelta(days=1))
    assert found.before_first_answer
    assert found.first_answer_at == NOW


def test_answers_that_are_not_identified_leave_it_open(trial, monkeypatch):
    """Lines of versions before 0.2 have no digest, and may be older than their raw part."""
    write_raw(["a", "b"], identified=False)
    assert status(monkeypatch, NOW - timedelta(minutes=1)).before_first_answer is None
    assert status(monkeypatch, NOW + timedelta(minutes=1)).before_first_answer is False


def test_an_edited_answer_is_told_with_its_place(trial, monkeypatch):
    journal(LONG_AGO, "a")
    (path,) = Path("journal/model").glob("*.jsonl")
    path.write_text(path.read_text("utf-8").replace('"x"', '"y"'), encoding="utf-8")
    with pytest.raises(SystemExit) as refused:
        status(monkeypatch, NOW)
    assert f"{path}, line 1: this answer was changed" in str(refused.value)


def test_a_trial_without_any_answer_has_no_first_one(trial, monkeypatch):
    write_raw([None])
    found = status(monkeypatch, NOW + timedelta(days=1))
    assert (found.before_first_answer, found.first_answer_at) == (True, None)


def test_a_plan_records_the_declaration_before_any_job(project):
    project.snakemake("-n", "--config", "stats={registration: {primary: em}}")
    (path,) = (project.root / "results/demo/registration").glob("*.json")
    recorded = read_settings(path, Declaration)
    assert recorded.content["registration"]["primary"] == "em"
    assert path.stem == recorded.digest[:12] == digest_of(recorded.content)[:12]
    project.snakemake("-n")
    assert list(path.parent.glob("*.json")) == [path]
