"""Verify a trial, and say where its numbers come from: verification.json and provenance.json.

provenance.json has files by digest, commands, settings, versions, and the machine.

Run as ``python -m workflow_scripts.report.provenance --trial trial.json … --output …``.

Both are files of their own, so that the report is made of files alone: what is looked up here (the
machine, the versions, the commit) is looked up once, when the results change, and a report made
again of the same files has the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ..answers.journal import identities, request_digest
from ..answers.parts import ParseSettings, TrialParts
from ..backends.capabilities import Sent, sent
from ..comparisons.registration import journal_files, journal_time
from ..comparisons.settings import RetestSettings
from ..config.trial import Trial
from ..core.block import Block
from ..core.checksum import file_sha256
from ..core.errors import command
from ..core.files import (
    read_csv,
    read_json,
    read_jsonl,
    read_settings,
    sha256_of,
    write_record,
)
from ..core.records import Answer, RawLine, Request
from ..core.seals import SealWriter, seal_beside
from ..scoring.verdicts import VerdictsSettings
from ..verify.problem import raise_problems
from ..verify.trial import verify_trial

SCHEMA_VERSION = 1

Kind = Literal["source", "request", "answer", "result"]

PACKAGES = (
    "snakemake",
    "numpy",
    "scipy",
    "pydantic",
    "jinja2",
    "vl-convert-python",
    "aiohttp",
    "xllamacpp",
    "llama-cpp-python",
    "onnxruntime",
)
"""Libraries whose version can change a number, a figure or an answer."""

BUILDING = ("build", "build_rewritten")
"""Rules that make the requests of arms."""

ANSWERING = ("imported", "infer", "submit", "poll", "collect")
"""Rules that make one part each."""

_SEEDS = {
    ("items", "sample_seed"): "Seed of the sample of items",
    ("build", "seed"): "Seed of sampled answers",
    ("build", "shuffle_seed"): "Seed of the order in waves",
    ("build_rewritten", "seed"): "Seed of sampled answers",
    ("build_rewritten", "shuffle_seed"): "Seed of the order in waves",
    ("stats", "stats", "random_seed"): "Seed of the statistics",
}
"""Where a seed stands in the settings (rule, then keys), and what it decides."""

_ABSOLUTE = re.compile(r"""(?<![\w.~:/\\])(?:[A-Za-z]:)?[/\\](?:[^\s'"/\\]+[/\\])*([^\s'"/\\]+)""")
_QUERY = re.compile(r"""(://[^\s'"?]+)\?[^\s'"]+""")


class Step(Block):
    """One rule as it makes files of a trial.

    ``settings`` are the settings files it reads, ``code`` is the digest of the code it runs
    (``None`` for inference, which code does not re-run), ``command`` the line that runs it.
    """

    rule: str
    inputs: list[str]
    settings: list[str]
    files: list[str]
    code: str | None
    command: str


class Steps(Block):
    """How each file of a trial is made, in the order data flows; of its answers one part.

    ``options`` are those that Snakemake needs with the trial's config.
    """

    options: str
    steps: list[Step]


class FileDigest(Block):
    """A file by its content. ``path`` is relative to the project; elsewhere it is a name only."""

    path: str
    kind: Kind
    size: int
    sha256: str


class RecordedStep(Block):
    """A `Step` with its settings read; ``after``: the rules whose files it reads."""

    rule: str
    after: list[str]
    files: list[str]
    code: str | None
    command: str
    settings: dict[str, Any]


class Commit(Block):
    """The commit that the code was at; ``changed`` when tracked files differ from it."""

    id: str
    changed: bool


class Machine(Block):
    """Where the results were put together; a hosted model ran elsewhere."""

    system: str
    cpu: str
    cores: int | None
    memory_bytes: int
    gpus: list[str]


class Answered(Block):
    """When the answers came (UTC): none came before ``first``, all were there at ``last``."""

    first: datetime
    last: datetime


class Server(Block):
    """A server that gave answers, as their ``served_by`` has it; empty if it was not recorded.

    ``asked_of``: the backend and model that were asked.
    """

    served_by: dict[str, str]
    answers: int
    asked_of: str


class SentTo(Sent):
    """What the requests of arms said about decoding, in one task and at one temperature.

    ``temp`` is the temperature by the config, ``arms`` are conditions.
    """

    arms: list[str]
    task: str
    temp: str


class Provenance(Block):
    """provenance.json of a trial."""

    schema_version: int
    options: str
    files: list[FileDigest]
    steps: list[RecordedStep]
    answered: Answered | None
    servers: list[Server] = Field(default_factory=list)
    sent: list[SentTo] = Field(default_factory=list)
    check: str | None
    commit: Commit | None
    python: str
    packages: dict[str, str]
    machine: Machine

    def of_kind(self, *kinds: Kind) -> list[FileDigest]:
        """The files of these kinds."""
        return [file for file in self.files if file.kind in kinds]

    @property
    def seeds(self) -> dict[str, int]:
        """The seeds in the settings, by what they decide."""
        found: dict[str, int] = {}
        for step in self.steps:
            for settings in step.settings.values():
                for (rule, *path), what in _SEEDS.items():
                    value: Any = settings if step.rule == rule else None
                    for key in path:
                        value = value.get(key) if isinstance(value, dict) else None
                    if isinstance(value, int):
                        found[what] = value
        return found


@command
def main() -> None:
    """Verify a trial, and look up where its numbers come from."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--trial", type=Path, required=True, help="trial.json")
    parser.add_argument("--parse-settings", type=Path, required=True, help="names the parts")
    parser.add_argument("--judges", type=Path, nargs="?", help="VerdictsSettings as JSON")
    parser.add_argument("--retest", type=Path, nargs="?", help="RetestSettings as JSON")
    parser.add_argument("--steps", type=Path, required=True, help="Steps as JSON")
    parser.add_argument("--journal", type=Path, required=True, help="folder of all journals")
    parser.add_argument("--verification", type=Path, required=True, help="verification.json")
    parser.add_argument("--output", type=Path, required=True, help="provenance.json")
    arguments = parser.parse_args()
    trial = read_settings(arguments.trial, Trial)
    parts = read_settings(arguments.parse_settings, ParseSettings).parts
    how = read_settings(arguments.steps, Steps)
    further = []
    if arguments.judges:
        asked = read_settings(arguments.judges, VerdictsSettings).asked
        further += [each.parts for each in asked.values()]
    if arguments.retest:
        again = read_settings(arguments.retest, RetestSettings).arms
        further += [each.again for each in again.values()]
    folder = arguments.output.parent
    verified = verify_trial(folder, parts, arguments.journal, further=further)
    raise_problems(verified.problems)
    seal = SealWriter(seal_beside(arguments.output, "verification"), [])
    write_record(arguments.verification, verified.verification)
    answers = partial(read_csv, arguments.output.with_name("answers.csv"), Answer)
    raw_files = [Path(name) for name in parts.raw_files()]
    asked_of = {name: f"{arm.backend}/{arm.model}" for name, arm in trial.arms.items()}
    of_models = dict.fromkeys(Path(arm.raw_folder).parents[1] for arm in trial.arms.values())
    found_out = [folder / "check.txt" for folder in of_models]
    checks = [each.read_text(encoding="utf-8").strip() for each in found_out if each.is_file()]
    found = Provenance(
        schema_version=SCHEMA_VERSION,
        options=shortened(how.options),
        files=list(digests(trial_files(how.steps, parts))),
        steps=[_recorded(step, makers(how.steps, parts)) for step in how.steps],
        answered=answered(answers(), raw_files, arguments.journal),
        servers=servers(answers(), asked_of),
        sent=decodings_sent(trial, parts, arguments.journal),
        check=shortened("\n".join(checks)) or None,
        commit=commit(Path.cwd()),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        packages=dict(packages()),
        machine=machine(),
    )
    write_record(arguments.output, found)
    seal.seal(arguments.verification, arguments.output)


def trial_files(steps: Iterable[Step], parts: TrialParts) -> dict[str, Kind]:
    """The files that a trial's page is made from, in the order data flows; not the pages."""
    found: dict[str, Kind] = {}
    made = {name for step in steps for name in step.files}
    requests, answers = parts.input_files(), parts.raw_files()
    of_parts = {*requests, *answers}
    for step in steps:
        if step.rule == "trial_report":
            continue
        if step.rule == "parse":
            found.update(dict.fromkeys(requests, "request"))
            found.update(dict.fromkeys(answers, "answer"))
        for name in step.inputs:
            if name not in made and name not in of_parts and Path(name).name != "check.txt":
                found.setdefault(name, "result" if _is_result(name) else "source")
        if step.rule not in (*BUILDING, *ANSWERING):
            found.update(dict.fromkeys(step.files, "result"))
    return found


def _is_result(name: str) -> bool:
    return name.startswith("results/") and not name.startswith("results/downloads/")


def digests(files: Mapping[str, Kind]) -> Iterator[FileDigest]:
    """The files with their digests; downloads that are not there any more are left out."""
    for name, kind in files.items():
        path = Path(name)
        if kind == "source" and not path.is_file():
            continue
        is_model = path.suffix.lower() == ".gguf"
        digest = file_sha256(path) if is_model else sha256_of(path)  # models have gigabytes
        yield FileDigest(
            path=shortened(path.as_posix()), kind=kind, size=path.stat().st_size, sha256=digest
        )


def shortened(text: str) -> str:
    """The text with absolute paths cut down to ``…/name`` and without the queries of URLs.

    A page tells nobody's folders, and a query may hold a token.
    """
    relative = text.replace(f"{Path.cwd().as_posix()}/", "")
    return _QUERY.sub(r"\1?…", _ABSOLUTE.sub(r"…/\1", relative))


def makers(steps: Iterable[Step], parts: TrialParts) -> dict[str, str]:
    """The rule that makes each file; of the answers' rules the last one."""
    found: dict[str, str] = {}
    for step in steps:
        found.update(dict.fromkeys(step.files, step.rule))
        folders = {Path(name).parent.as_posix() for name in step.files}
        for arm in parts.arms.values():
            made_by_import = arm.answers is not None
            builds = step.rule in BUILDING and str(arm.inputs_folder) in folders
            if step.rule == "imported" if made_by_import else builds:
                found.update(dict.fromkeys(arm.input_files(), step.rule))
            if step.rule in ANSWERING and made_by_import == (step.rule == "imported"):
                found.update(dict.fromkeys(arm.raw_files(), step.rule))
    return found


def _recorded(step: Step, makers: Mapping[str, str]) -> RecordedStep:
    settings: dict[str, Any] = {}
    for name in step.settings:
        content = read_json(Path(name))
        settings[Path(name).name] = without_folders(content)
    return RecordedStep(
        rule=step.rule,
        after=sorted({makers[name] for name in step.inputs if name in makers}),
        files=step.files,
        code=step.code,
        command=shortened(re.sub(r"  +", " ", step.command)),
        settings=settings,
    )


def without_folders(value: Any) -> Any:
    """A JSON value in which paths outside the project are names only."""
    if isinstance(value, dict):
        return {name: without_folders(each) for name, each in value.items()}
    if isinstance(value, list):
        return [without_folders(each) for each in value]
    if isinstance(value, str) and Path(value).is_absolute() and "\n" not in value:
        return shortened(value)
    return value


def answered(
    answers: Iterable[Answer], raw_files: Iterable[Path], journals: Path
) -> Answered | None:
    """When the answers came.

    The journal's files are named after the time of their first answer, and what was appended to
    one last is as old as its last change. Where no journal holds the answers, the raw parts' last
    changes count.
    """
    digests = {answer.request_digest for answer in answers if not answer.failed}
    if not digests:
        return None
    files = journal_files({digest for digest in digests if digest}, journals)
    starts = [journal_time(path).timestamp() for path in files]
    ends = [path.stat().st_mtime for path in files]
    if not starts:
        starts = ends = [path.stat().st_mtime for path in raw_files]
    first, last = (datetime.fromtimestamp(round(each), UTC) for each in (min(starts), max(ends)))
    return Answered(first=first, last=max(first, last))


def servers(answers: Iterable[Answer], asked_of: Mapping[str, str]) -> list[Server]:
    """Who gave the answers, each with the number of answers; ``asked_of`` by condition."""
    counted = Counter(
        (asked_of[answer.condition], answer.served_by) for answer in answers if not answer.failed
    )
    found = [
        Server(served_by=json.loads(told) if told else {}, answers=count, asked_of=asked)
        for (asked, told), count in counted.items()
    ]
    return sorted(found, key=lambda server: (server.asked_of, sorted(server.served_by.items())))


def decodings_sent(trial: Trial, parts: TrialParts, journals: Path) -> list[SentTo]:
    """What was sent of the decoding, by the first request of each part; equal arms together.

    The journal says who answered that request, and so what the server was sent because of what it
    reports about itself.
    """
    found: list[SentTo] = []
    for condition, arm in trial.arms.items():
        if arm.answers is not None:
            continue
        known = list(identities(journals, arm.engine))
        of_arm = parts.arms[condition]
        for name, raw in zip(of_arm.input_files(), of_arm.raw_files(), strict=True):
            request = next(read_jsonl(Path(name), Request), None)
            line = next(read_jsonl(Path(raw), RawLine), None)
            if request is None or line is None:
                continue
            digest = line.request_digest
            asked = (each for each in known if request_digest(each, request) == digest)
            who = next(asked, None)
            said = sent(arm.engine, arm.model_id, request.decoding, arm.shape, who)
            place = SentTo(**dict(said), arms=[condition], task=request.type, temp=request.temp)
            for other in found:
                if other == place.model_copy(update={"arms": other.arms}):
                    if condition not in other.arms:
                        other.arms.append(condition)
                    break
            else:
                found.append(place)
    return found


def commit(root: Path) -> Commit | None:
    """The commit of the code; ``None`` in a copy without git."""
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return None
    head = _output([git, "-C", str(root), "rev-parse", "HEAD"])
    status = _output([git, "-C", str(root), "status", "--porcelain", "--untracked-files=no"])
    return Commit(id=head, changed=bool(status)) if head else None


def packages() -> Iterator[tuple[str, str]]:
    """The versions of this package and of the libraries that are there."""
    for name in ("assay-workflow", *PACKAGES):
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue


def machine() -> Machine:
    """What this process runs on; neither the machine's name nor its user's is in it."""
    import psutil

    return Machine(
        system=f"{platform.system()} {platform.release()} ({platform.machine()})",
        cpu=_cpu(),
        cores=os.cpu_count(),
        memory_bytes=psutil.virtual_memory().total,
        gpus=_gpus(),
    )


def _cpu() -> str:
    """The processor's name; the standard library knows it on Windows only."""
    listed = Path("/proc/cpuinfo")
    if listed.is_file():
        found = re.search(r"^model name\s*:\s*(.+)$", listed.read_text("utf-8"), re.MULTILINE)
        if found:
            return found[1].strip()
    sysctl = shutil.which("sysctl")
    named = _output([sysctl, "-n", "machdep.cpu.brand_string"]) if sysctl else ""
    return named or platform.processor() or platform.machine()


def _gpus() -> list[str]:
    """The NVIDIA accelerators, by name and memory, as the driver tells."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = "--query-gpu=name,memory.total,driver_version"
    lines = _output([tool, query, "--format=csv,noheader"]).splitlines()
    return [", driver ".join(line.rsplit(", ", 1)) for line in lines if line.strip()]


def _output(arguments: list[str]) -> str:
    """What a program prints; nothing where it fails or hangs."""
    try:
        done = subprocess.run(
            arguments,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=True,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


if __name__ == "__main__":
    main()
