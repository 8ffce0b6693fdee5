"""A workflow of a few files, run by the real Snakemake with what Assay adds to it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from conftest import REPOSITORY, clean_environment

OLD = 978_307_200.0
"""A time stamp older than any file that a test makes: the first second of 2001."""

_ADDED = """\
from workflow_scripts.rules import early_cutoff, job_records

job_records.keep_with_results()
early_cutoff.install()
"""

_UPPER = """\
import pathlib, sys
text = "".join(pathlib.Path(each).read_text() for each in sys.argv[2:])
pathlib.Path(sys.argv[1]).write_text(text.upper())
"""
"""All rules of the tests run it: OUTPUT INPUT … become one text in capitals."""


@dataclass(frozen=True)
class Workflow:
    """A Snakefile in a folder of its own."""

    root: Path

    @classmethod
    def of(cls, root: Path, rules: str) -> Workflow:
        """Write a workflow with these rules; ``{UPPER}`` in them is the start of a command."""
        root.mkdir(exist_ok=True)
        (root / "upper.py").write_text(_UPPER, encoding="utf-8")
        made = cls(root)
        made.write("Snakefile", _ADDED + rules.replace("{UPPER}", "python upper.py {output}"))
        return made

    def write(self, path: str, text: str, time: float | None = None) -> None:
        """Write a file, as if at another time."""
        file = self.root / path
        file.write_text(text, encoding="utf-8")
        if time is not None:
            os.utime(file, (time, time))

    def copy_to(self, root: Path) -> Workflow:
        """Another copy, with all time stamps as they are."""
        shutil.copytree(self.root, root, dirs_exist_ok=True)
        return Workflow(root)

    def read(self, path: str) -> str:
        """The text of a file."""
        return (self.root / path).read_text(encoding="utf-8")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Snakemake in a process group of its own."""
        python = Path(sys.executable).parent
        environment = {**clean_environment(), "PYTHONPATH": str(REPOSITORY)}
        environment["PATH"] = os.pathsep.join([str(python), environment["PATH"]])
        triggers = ("--rerun-triggers", "mtime", "params", "input", "software-env")
        return subprocess.Popen(
            [sys.executable, "-m", "snakemake", *triggers, "--cores", "1", *arguments],
            cwd=self.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, encoding="utf-8", start_new_session=True,
        )  # fmt: skip

    def run(self, *arguments: str) -> str:
        """Run Snakemake and return its log."""
        with self.start(*arguments) as process:
            output, log = process.communicate(timeout=600)
        assert process.returncode == 0, log
        return log + output

    def jobs(self, *arguments: str) -> Counter[str]:
        """How many jobs of each rule a run starts, without the target-only rule."""
        return jobs_in(self.run(*arguments))

    def is_done(self) -> bool:
        """Whether Snakemake finds nothing to do."""
        return "Nothing to be done" in self.run("-n")


def jobs_in(log: str) -> Counter[str]:
    """How many jobs of each rule have run, without the target-only rule."""
    return Counter(re.findall(r"^Finished jobid: \d+ \(Rule: (?!all\))(\w+)\)", log, re.MULTILINE))


def incomplete_marker(path: str) -> Path:
    """The file by which Snakemake knows that a file may be cut off."""
    return Path("results/job_records/incomplete") / urlsafe_b64encode(path.encode()).decode()
