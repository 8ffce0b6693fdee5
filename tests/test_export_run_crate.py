"""Provenance Run Crates: valid by roc-validator, and what they say is what provenance.json says."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import REPOSITORY
from report_files import run_main, write_provenance, write_trial

from workflow_scripts.config.trial import Trial
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_settings, write_json
from workflow_scripts.export import run_crate
from workflow_scripts.export.run_crate import METADATA, metadata, write_crate
from workflow_scripts.report.provenance import FileDigest, Provenance, RecordedStep

VENDOR = REPOSITORY / "tests/vendor/ro-crate"
CONTEXTS = {
    "https://w3id.org/ro/crate/1.1/context": "crate-1.1.jsonld",
    "https://w3id.org/ro/terms/workflow-run/context": "workflow-run.jsonld",
}

FILES = {
    "data/my questions.jsonl": "source",
    "models/big.gguf": "source",
    "results/x/items/open_book.jsonl": "result",
    "results/x/inputs/a.p000.jsonl": "request",
    "results/x/inputs/a.p001.jsonl": "request",
    "results/x/raw/a.p000.jsonl": "answer",
    "results/x/raw/a.p001.jsonl": "answer",
    "results/x/answers.csv": "result",
    "results/x/significance.json": "result",
}
STEPS = {
    "items": (
        "python -m workflow_scripts.datasets.items --source 'q=data/my questions.jsonl' "
        "--output results/x/items/open_book.jsonl",
        ["results/x/items/open_book.jsonl"],
    ),
    "build": (
        "python -m workflow_scripts.requests.parts --items results/x/items/open_book.jsonl",
        ["results/x/inputs/a.p000.jsonl", "results/x/inputs/a.p001.jsonl"],
    ),
    "infer": (
        "python -m workflow_scripts.answers.send --requests results/x/inputs/a.p000.jsonl",
        ["results/x/raw/a.p000.jsonl"],
    ),
    "parse": ("python -m workflow_scripts.answers.predictions", ["results/x/answers.csv"]),
    "stats": (
        "python -m workflow_scripts.comparisons.contrasts --scores results/x/answers.csv",
        ["results/x/significance.json"],
    ),
    "trial_report": ("python -m workflow_scripts.report.trial", ["results/x/report.html"]),
}


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return write_trial(tmp_path_factory.mktemp("crate") / "trial", n=10)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with all files of `FILES`."""
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"the content of {name}\n", encoding="utf-8")
    (tmp_path / "Snakefile").write_text("rule all:\n", encoding="utf-8")
    return tmp_path


def provenance(project: Path) -> Provenance:
    digests = {name: hashlib.sha256((project / name).read_bytes()).hexdigest() for name in FILES}
    files = [
        FileDigest(path=name, kind=kind, size=(project / name).stat().st_size, sha256=digests[name])
        for name, kind in FILES.items()
    ]
    files.append(FileDigest(path="…/secret.csv", kind="source", size=7, sha256="cd" * 32))
    steps = [
        RecordedStep(
            rule=rule, after=[], files=made, code="0123456789abcdef", command=command, settings={}
        )
        for rule, (command, made) in STEPS.items()
    ]
    return write_provenance(project).model_copy(update={"files": files, "steps": steps})


def entities(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {each["@id"]: each for each in content["@graph"]}
    assert len(found) == len(content["@graph"])  # no id twice
    return found


def ids(value: Any) -> list[str]:
    return [each["@id"] for each in (value if isinstance(value, list) else [value])]


@pytest.fixture
def written(trial: Trial, project: Path) -> Path:
    path = project / "ro-crate.zip"
    write_crate(path, trial, provenance(project), Path("Snakefile"))
    return path


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The contexts that a validator fetches, from files."""
    from rocrate_validator.utils.http import HttpRequester

    def get(_self: object, url: str, **_options: Any) -> SimpleNamespace:
        text = (VENDOR / CONTEXTS[url]).read_text(encoding="utf-8")
        return SimpleNamespace(
            status_code=200,
            text=text,
            content=text.encode("utf-8"),
            headers={"Content-Type": "application/ld+json"},
            url=url,
            links={},
            json=lambda: json.loads(text),
        )

    monkeypatch.setattr(HttpRequester, "get", get, raising=False)


def issues(crate: Path, cache: Path) -> list[str]:
    """What roc-validator finds against the requirements of the profile and all it builds on."""
    from rocrate_validator import models, services

    settings = services.ValidationSettings(
        rocrate_uri=str(crate),
        profile_identifier="provenance-run-crate",
        requirement_severity=models.Severity.REQUIRED,
        cache_path=cache,
    )
    result = services.validate(settings)
    found = [f"{each.check.identifier}: {each.message}" for each in result.get_issues()]
    assert result.passed() == (not found)
    return found


@pytest.mark.usefixtures("offline")
def test_a_crate_is_valid_by_roc_validator(written: Path, tmp_path: Path) -> None:
    assert issues(written, tmp_path / "cache") == []


@pytest.mark.usefixtures("offline")
def test_the_validator_finds_what_is_missing(written: Path, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    with zipfile.ZipFile(written) as archive:
        archive.extractall(folder)
    path = folder / METADATA
    content = json.loads(path.read_text(encoding="utf-8"))
    content["@graph"] = [each for each in content["@graph"] if each["@id"] != "#control-1"]
    path.write_text(json.dumps(content), encoding="utf-8")
    assert issues(folder, tmp_path / "cache")


def test_the_archive_has_each_file_once_and_no_model(written: Path, project: Path) -> None:
    with zipfile.ZipFile(written) as archive:
        names = archive.namelist()
        packed = set(FILES) - {"models/big.gguf"}
        assert sorted(names) == sorted([METADATA, "README.md", "Snakefile", *packed])
        for name in packed:
            assert archive.read(name) == (project / name).read_bytes()


def test_steps_read_and_write_what_their_commands_name(trial: Trial, project: Path) -> None:
    found = entities(metadata(trial, provenance(project), "Snakefile"))
    runs = [each for name, each in found.items() if name.startswith("#run-")]
    by_rule = {each["instrument"]["@id"].removeprefix("#tool-"): each for each in runs}
    assert list(by_rule) == ["items", "build", "infer", "parse", "stats"]  # no page
    answers = [f"results/x/raw/a.p00{number}.jsonl" for number in range(2)]
    assert ids(by_rule["items"]["object"]) == ["data/my%20questions.jsonl"]
    assert ids(by_rule["build"]["object"]) == ["results/x/items/open_book.jsonl"]
    assert ids(by_rule["infer"]["result"]) == answers
    assert ids(by_rule["parse"]["object"]) == answers
    assert ids(by_rule["stats"]["object"]) == ["results/x/answers.csv"]
    assert ids(by_rule["stats"]["result"]) == ["results/x/significance.json"]
    assert by_rule["stats"]["description"] == STEPS["stats"][0]
    assert by_rule["infer"]["endTime"].startswith("2026-11-21")
    assert "endTime" not in by_rule["stats"]  # not recorded


def test_all_references_lead_somewhere(trial: Trial, project: Path) -> None:
    found = entities(metadata(trial, provenance(project), "Snakefile"))

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            named = [value["@id"]] if set(value) == {"@id"} else []
            return named + [each for part in value.values() for each in references(part)]
        return [each for part in value for each in references(part)] if type(value) is list else []

    used = {each for entity in found.values() for each in references(entity)}
    assert {each for each in used - found.keys() if not each.startswith("https://")} == set()


def test_what_is_not_packed_is_known_by_its_checksum(trial: Trial, project: Path) -> None:
    found = entities(metadata(trial, provenance(project), "Snakefile"))
    others = [each for each in found.values() if each["@type"] == "MediaObject"]
    assert [each["name"] for each in others] == ["models/big.gguf", "…/secret.csv"]
    assert others[1]["sha256"] == "cd" * 32
    assert found["data/my%20questions.jsonl"]["@type"] == "File"  # an id is a URI


def test_equal_inputs_give_equal_bytes(trial: Trial, project: Path, written: Path) -> None:
    again = project / "again.zip"
    write_crate(again, trial, provenance(project), Path("Snakefile"))
    assert again.read_bytes() == written.read_bytes()


def test_a_changed_file_is_refused(trial: Trial, project: Path) -> None:
    made = provenance(project)
    (project / "results/x/answers.csv").write_text("edited\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"answers\.csv: this file is not the one that"):
        write_crate(project / "ro-crate.zip", trial, made, Path("Snakefile"))
    assert not (project / "ro-crate.zip").exists()


def test_the_command_writes_the_archive(trial: Trial, project: Path) -> None:
    write_json(project / "trial.json", trial.model_dump(mode="json"))
    write_json(project / "provenance.json", provenance(project).model_dump(mode="json"))
    names = {
        "--trial": "trial.json",
        "--provenance": "provenance.json",
        "--workflow": "Snakefile",
        "--output": "ro-crate.zip",
    }
    run_main(run_crate, [part for pair in names.items() for part in pair])
    with zipfile.ZipFile(project / "ro-crate.zip") as archive:
        content = json.loads(archive.read(METADATA))
    assert entities(content)["./"]["mainEntity"] == {"@id": "Snakefile"}
    assert read_settings(project / "provenance.json", Provenance).files
