"""A trial with all files behind its numbers and how each was made, as a Provenance Run Crate.

Run as ``python -m workflow_scripts.export.run_crate --trial trial.json --provenance provenance.json
--workflow Snakefile --output ro-crate.zip``.

An RO-Crate is a folder, here a ZIP archive, with ro-crate-metadata.json: JSON-LD that says what
each file is. Profile: https://w3id.org/ro/wfrun/provenance/0.5, over RO-Crate 1.1. The facts are
those of provenance.json, with no time or machine of this command, so equal inputs give equal bytes.
"""

from __future__ import annotations

import argparse
import json
import mimetypes
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..config.trial import Trial
from ..core.errors import UserError, command
from ..core.files import atomic_path, read_settings, sha256_of
from ..report.provenance import ANSWERING, FileDigest, Provenance, RecordedStep
from ..verify.files import require_unchanged

METADATA = "ro-crate-metadata.json"

_CRATE = "https://w3id.org/ro/crate/1.1"
_CONTEXT = [f"{_CRATE}/context", "https://w3id.org/ro/terms/workflow-run/context"]
_WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    _WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
_BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
_README = "README.md"
_SNAKEMAKE = "https://snakemake.github.io"
_NOT_PACKED = (".gguf", ".onnx", ".safetensors")
"""Models: they have gigabytes, and licences of their own. The crate has their checksums."""

_TYPES = {
    ".jsonl": "application/jsonl",
    ".csv": "text/csv",
    ".json": "application/json",
    ".txt": "text/plain",
    ".html": "text/html",
}
_NEVER = "1970-01-01T00:00:00+00:00"

Entity = dict[str, Any]


def metadata(trial: Trial, provenance: Provenance, workflow: str) -> dict[str, Any]:
    """Return the content of ro-crate-metadata.json.

    Args:
        trial: whose files they are.
        provenance: its files, and how they were made.
        workflow: the path of the Snakefile in the crate.
    """
    ids = {file.path: _id(file) for file in provenance.files}
    times = provenance.answered
    packed = [file for file in provenance.files if is_packed(file)]
    # The page is no part of provenance.json, so the step that writes it has nothing to show.
    described = [step for step in provenance.steps if _files_of(step, provenance)[1]]
    steps = list(enumerate(described, start=1))
    rules = list(dict.fromkeys(step.rule for step in described))
    made = [ids[file.path] for file in provenance.of_kind("request", "answer", "result")]
    graph: list[Entity] = [
        {
            "@id": METADATA,
            "@type": "CreativeWork",
            "conformsTo": [_ref(_CRATE), _ref(_WORKFLOW_CRATE)],
            "about": _ref("./"),
        },
        {
            "@id": "./",
            "@type": "Dataset",
            "name": _name(trial),
            "description": f"Answers of {trial.backend}/{trial.model} under the prompt set "
            f"{trial.prompt_set} ({', '.join(trial.arms)}), their scores and statistics, and how "
            "each file was made.",
            "datePublished": times.last.isoformat() if times else _NEVER,
            "license": _ref("#license"),
            "conformsTo": [_ref(profile) for profile in _PROFILES],
            "hasPart": _refs([workflow, _README, *(ids[file.path] for file in packed)]),
            "mainEntity": _ref(workflow),
            "mentions": _refs(["#run", *(f"#run-{number}" for number, _ in steps)]),
        },
        {
            "@id": "#license",
            "@type": "CreativeWork",
            "name": "No licence declared",
            "description": "Whoever publishes the crate says under which licence. Data sets in it "
            "have their own.",
        },
        *(
            {"@id": profile, "@type": "CreativeWork", "name": name, "version": version}
            for profile, (name, version) in _PROFILES.items()
        ),
        {
            "@id": workflow,
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            "name": "Assay",
            "description": "Measures whether a change to an LLM system changes accuracy and "
            "hallucination.",
            "encodingFormat": "text/x-snakemake",
            "conformsTo": _ref(_BIOSCHEMAS),
            "programmingLanguage": _ref("#snakemake-language"),
            **_version(provenance),
            "hasPart": _refs(f"#tool-{rule}" for rule in rules),
            "step": _refs(f"#step-{number}" for number, _ in steps),
        },
        {
            "@id": _README,
            "@type": "File",
            "name": "README",
            "encodingFormat": "text/markdown",
            "about": _ref("./"),
        },
        {
            "@id": "#snakemake-language",
            "@type": "ComputerLanguage",
            "name": "Snakemake",
            "identifier": _ref(_SNAKEMAKE),
            "url": _ref(_SNAKEMAKE),
        },
        {
            "@id": "#snakemake",
            "@type": "SoftwareApplication",
            "name": "Snakemake",
            "url": _SNAKEMAKE,
            "softwareVersion": provenance.packages.get("snakemake", "unknown"),
        },
        *(_tool(rule, provenance) for rule in rules),
        *(each for number, step in steps for each in _step(number, step, provenance, ids)),
        {
            "@id": "#run",
            "@type": "CreateAction",
            "name": f"Run of the workflow for {trial.backend}/{trial.model}, {trial.prompt_set}",
            "description": f"snakemake {provenance.options}".strip(),
            "instrument": _ref(workflow),
            "object": _refs(ids[file.path] for file in provenance.of_kind("source")),
            "result": _refs(made),
            **_period(provenance),
        },
        {
            "@id": "#orchestration",
            "@type": "OrganizeAction",
            "name": "Snakemake runs the steps",
            "instrument": _ref("#snakemake"),
            "object": _refs(f"#control-{number}" for number, _ in steps),
            "result": _ref("#run"),
        },
        *(_file(file) for file in provenance.files),
    ]
    return {"@context": _CONTEXT, "@graph": graph}


def is_packed(file: FileDigest) -> bool:
    """Whether the crate holds a file itself: neither a model nor a file outside of the project."""
    path = Path(file.path)
    outside = path.is_absolute() or file.path.startswith("…") or ".." in path.parts
    return not outside and path.suffix.lower() not in _NOT_PACKED


def write_crate(path: Path, trial: Trial, provenance: Provenance, workflow: Path) -> None:
    """Write the archive.

    Raises:
        UserError: a file is not there any more, or not as provenance.json has it.
    """
    text = json.dumps(metadata(trial, provenance, workflow.name), ensure_ascii=False, indent=2)
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        archive.writestr(_member(METADATA), text.encode("utf-8"))
        archive.writestr(_member(_README), _readme(trial).encode("utf-8"))
        archive.writestr(_member(workflow.name), workflow.read_bytes())
        for file in filter(is_packed, provenance.files):
            source = Path(file.path)
            if sha256_of(source) != file.sha256:
                raise UserError(
                    f"{source}: this file is not the one that provenance.json describes. Run "
                    "again: what was changed is made again."
                )
            member = _member(_path_in(file.path))
            member.file_size = file.size  # tells the archive whether it needs 64 bits
            with source.open("rb") as content, archive.open(member, "w") as packed:
                shutil.copyfileobj(content, packed)


def _step(
    number: int, step: RecordedStep, provenance: Provenance, ids: Mapping[str, str]
) -> Iterator[Entity]:
    """A step of the plan, its run, and that the engine ran it."""
    read, written = _files_of(step, provenance)
    yield {
        "@id": f"#step-{number}",
        "@type": "HowToStep",
        "name": step.rule,
        "position": str(number),
        "workExample": _ref(f"#tool-{step.rule}"),
    }
    yield {
        "@id": f"#run-{number}",
        "@type": "CreateAction",
        "name": f"Run of the rule {step.rule}",
        "description": step.command,
        "instrument": _ref(f"#tool-{step.rule}"),
        "object": _refs(ids[name] for name in read),
        "result": _refs(ids[name] for name in written),
        **(_period(provenance) if step.rule in ANSWERING else {}),
    }
    yield {
        "@id": f"#control-{number}",
        "@type": "ControlAction",
        "name": f"Start of the rule {step.rule}",
        "instrument": _ref(f"#step-{number}"),
        "object": _ref(f"#run-{number}"),
    }


def _files_of(step: RecordedStep, provenance: Provenance) -> tuple[list[str], list[str]]:
    """The files that a step read and wrote, as far as provenance.json has them.

    Of the rules that send requests it has one step as an example, and `parse` gets its parts from
    its settings: these read and write all requests and answers.
    """
    if step.rule in ANSWERING:
        asked, answers = provenance.of_kind("request"), provenance.of_kind("answer")
        return [file.path for file in asked], [file.path for file in answers]
    paths, written = [file.path for file in provenance.files], set(step.files)
    read = [path for path in paths if path not in written and _names(step.command, path)]
    if step.rule == "parse":
        read += [file.path for file in provenance.of_kind("answer") if file.path not in read]
    return read, [path for path in paths if path in written]


def _names(command_line: str, path: str) -> bool:
    """Whether a command line has a path as an argument, or as the value in ``NAME=PATH``."""
    pattern = rf"""(?:^|[\s"'=]){re.escape(path)}(?:$|[\s"'])"""
    return re.search(pattern, command_line) is not None


def _tool(rule: str, provenance: Provenance) -> Entity:
    step = next(each for each in provenance.steps if each.rule == rule)
    module = step.command.partition("-m ")[2].split(" ")[0]
    return {
        "@id": f"#tool-{rule}",
        "@type": "SoftwareApplication",
        "name": f"python -m {module}" if module else rule,
        "description": f"What the rule {rule} runs.",
        "softwareVersion": step.code or provenance.packages.get("assay-workflow", "unknown"),
    }


def _file(file: FileDigest) -> Entity:
    path = Path(file.path)
    kind = _TYPES.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0]
    facts: Entity = {
        "name": file.path,
        "description": f"{file.kind.capitalize()} of the trial.",
        "contentSize": str(file.size),
        "sha256": file.sha256,
        "encodingFormat": kind or "application/octet-stream",
    }
    if is_packed(file):
        return {"@id": _id(file), "@type": "File", **facts}
    return {"@id": _id(file), "@type": "MediaObject", **facts}


def _id(file: FileDigest) -> str:
    """A file of the crate by its path, another one by its content."""
    return quote(_path_in(file.path)) if is_packed(file) else f"#file-{file.sha256[:16]}"


def _path_in(path: str) -> str:
    """The place of a file of the project in the crate."""
    return Path(path).as_posix()


def _version(provenance: Provenance) -> Entity:
    version = provenance.packages.get("assay-workflow")
    commit = provenance.commit
    named = [version or "", f"commit {commit.id}" if commit else ""]
    if commit and commit.changed:
        named.append("with changes")
    text = ", ".join(filter(None, named))
    return {"version": text} if text else {}


def _period(provenance: Provenance) -> Entity:
    """When the answers came; other times of a run are not recorded."""
    times = provenance.answered
    if times is None:
        return {}
    return {"startTime": times.first.isoformat(), "endTime": times.last.isoformat()}


def _readme(trial: Trial) -> str:
    return (
        f"# {_name(trial)}\n\nThe files behind the results of one trial, and how each was made: an "
        f"RO-Crate. `{METADATA}` describes them. Models are not in it; their checksums are.\n"
    )


def _name(trial: Trial) -> str:
    return trial.title or f"Experiment {trial.experiment}, prompt set {trial.prompt_set}"


def _ref(identifier: str) -> dict[str, str]:
    return {"@id": identifier}


def _refs(identifiers: Iterable[str]) -> list[dict[str, str]] | dict[str, str]:
    """References; a single one stands without a list, as RO-Crate recommends."""
    found = [_ref(each) for each in identifiers]
    return found[0] if len(found) == 1 else found


def _member(name: str) -> zipfile.ZipInfo:
    """A member without a time stamp, so that equal inputs give equal bytes."""
    member = zipfile.ZipInfo(name)
    member.compress_type = zipfile.ZIP_DEFLATED
    return member


@command
def main() -> None:
    """Write a trial as a Provenance Run Crate."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--trial", type=Path, required=True, help="Trial as JSON")
    parser.add_argument("--provenance", type=Path, required=True, help="provenance.json")
    parser.add_argument("--workflow", type=Path, required=True, help="the Snakefile")
    parser.add_argument("--output", type=Path, required=True, help="the ZIP archive to write")
    arguments = parser.parse_args()
    require_unchanged([arguments.provenance])
    trial = read_settings(arguments.trial, Trial)
    provenance = read_settings(arguments.provenance, Provenance)
    write_crate(arguments.output, trial, provenance, arguments.workflow)


if __name__ == "__main__":
    main()
