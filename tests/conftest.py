"""What the tests share: a small copy of the project, and Snakemake run in it as users run it."""

from __future__ import annotations

import compileall
import functools
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from filelock import FileLock

if TYPE_CHECKING:
    from batch_provider import Provider
    from local_backends import Backend
    from selenium import webdriver

    from workflow_scripts.backends.llama_cpp_client import LlamaCppClient

# The many commands that the tests start compile the code once, whatever the environment says.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# How long an example takes depends on what else the machine does; it is not what we test. A test
# that passed passes again, so its examples are the same each time; `search` draws others.
hypothesis.settings.register_profile("assay", deadline=None, derandomize=True)
hypothesis.settings.register_profile("search", deadline=None, derandomize=False)
hypothesis.settings.load_profile("assay")

pytest.register_assert_rewrite(
    *("answering", "batch_provider", "browser", "hosted_contract", "hosted_servers"),
    *("local_backends", "report_files"),
)

REPOSITORY = Path(__file__).parent.parent

# Files that take longest, begun first so that none is left alone at the end: two processes need not
# wait for the third to make `demo_run`. More than one test for each core, because many mostly wait.
_LONG = (
    *("workflow", "verify", "waves", "plan", "backends", "readme", "extending", "labels_page"),
    *("report_explorer", "arms", "workflow_kills", "gate_workflow", "judge_workflow"),
    *("structured_demo", "labels_workflow", "early_cutoff", "snakemake_command", "portability"),
    *("batch_kills", "judge_kills", "verbs", "terminal", "build", "export_workflow", "telemetry"),
    *("injections", "imported_answers", "config", "report_states", "structured_workflow"),
    *("storage", "chats", "analyses", "infer", "llama_cpp", "doctor", "export_table"),
    *("retrieval_runs", "retrieval_bytes"),
    *("report_accessibility", "code_digest", "job_records", "report_figures", "stats_contrasts"),
)

# Fixtures that make a test more than `make check` runs, and the marker of such tests.
_MARKERS = {"program": "program", "new_clone": "workflow"}

# What a fresh clone holds that a run needs.
_PARTS_OF_A_CLONE = (
    "Snakefile",
    "rules",
    "workflow_scripts",
    "config",
    "prompts",
    "envs",
    "resources",
    "profiles",
    "docs/report",
    "requirements.txt",
)


@dataclass(frozen=True)
class Project:
    """A copy of the project in a folder of its own."""

    root: Path

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the project's own snakemake command in the copy, with the copy's code."""
        return self.run("-m", "workflow_scripts.rules.snakemake_command", *arguments, check=check)

    def plan(self, *arguments: str) -> Counter[str]:
        """How many jobs of each rule a run would start now, without the target-only rule."""
        output = self.snakemake("-n", *arguments).stdout
        table = re.search(r"^job +count\n-[- ]+\n(.*?)^total", output, re.MULTILINE | re.DOTALL)
        if table is None:
            assert "Nothing to be done" in output
            return Counter()
        rows = (line.split() for line in table[1].splitlines())
        return Counter({rule: int(count) for rule, count in rows if rule != "all"})

    def last_log(self) -> str:
        """What Snakemake itself wrote about the last run; empty before the first."""
        logs = sorted((self.root / ".snakemake/log").glob("*.log"))
        return logs[-1].read_text(encoding="utf-8") if logs else ""

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Python in the copy."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=clean_environment(),
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            timeout=600,
        )
        if check and done.returncode != 0:
            pytest.fail(f"{arguments} failed:\n{done.stdout}\n{done.stderr}")
        return done

    def copy_to(self, root: Path) -> Project:
        """Another copy, with results, time stamps and Snakemake's records as they are."""
        shutil.copytree(self.root, root, dirs_exist_ok=True)
        return Project(root)

    def read(self, path: str) -> str:
        """The text of a file in the copy."""
        return (self.root / path).read_text(encoding="utf-8")

    def replace(self, path: str, old: str, new: str) -> None:
        """Edit a file in the copy."""
        text = self.read(path)
        assert old in text, f"{path} does not contain {old!r}"
        (self.root / path).write_text(text.replace(old, new), encoding="utf-8")


def clean_environment() -> dict[str, str]:
    """This process's environment without settings that a developer may have for Assay."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")}


def kills(usual: int, search: int) -> int:
    """How often a test kills a run: usually, and with the hypothesis profile `search`."""
    return search if hypothesis.settings.get_current_profile_name() == "search" else usual


@functools.cache
def compile_code() -> None:
    """Compile and parse the code in the repository, so that no copy has to do it."""
    from workflow_scripts.core.parsed_code import keep_parsed_code, parsed_code

    code = REPOSITORY / "workflow_scripts"
    compileall.compile_dir(code, quiet=1)
    for path in code.rglob("*.py"):
        parsed_code(path.read_bytes())
    keep_parsed_code()


def clone(root: Path) -> Project:
    """A copy of the project as a fresh clone would be, with its code compiled."""
    compile_code()
    for part in _PARTS_OF_A_CLONE:
        source = REPOSITORY / part
        target = root / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            # Compiled code too, but not a file that its writer is about to rename.
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.pyc.*"))
        else:
            shutil.copy2(source, target)
    return Project(root)


NewClone = Callable[[Path], Project]

DEMO_COMMAND = ("--cores", "8", "--resources", "gpu=1", "results/report.html")
"""How README.md builds the demonstration's report."""


@pytest.fixture(scope="session")
def new_clone() -> NewClone:
    """Make a fresh clone in a folder; tests in which Snakemake runs get theirs from here."""
    return clone


@pytest.fixture
def project(new_clone: NewClone, tmp_path: Path) -> Project:
    """A fresh clone."""
    return new_clone(tmp_path / "clone")


@pytest.fixture(scope="session")
def demo_run(new_clone: NewClone, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone in which the demo was run on 40 items per data set, to be read and copied.

    The first test process that needs it makes it, and all others of this call of pytest share it.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    shared = Project(folder / "demo_run")
    with FileLock(folder / "demo_run.lock"):
        if not shared.root.exists():
            made = new_clone(tmp_path_factory.mktemp("demo_run"))
            made.replace(
                "config/config.yaml", "parts_per_dataset", "limit_items: 40\nparts_per_dataset"
            )
            made.snakemake(*DEMO_COMMAND)
            made.root.rename(shared.root)
    return shared


@pytest.fixture(scope="session")
def program() -> Callable[..., str]:
    """Find a program that is not Python's; `make check` leaves out all tests with this fixture."""
    return find_program


def find_program(*names: str) -> str:
    """The path of the first of these programs; a missing one fails the test, never skips it."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.fail(f"{' or '.join(names)} is not on the PATH; run: sh tests/install_programs.sh")
    return found


@pytest.fixture(scope="session")
def demo_model() -> Path:
    """The embedded model."""
    return REPOSITORY / "resources/models/assay-demo.gguf"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests by their fixtures, and put the files with long tests first."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        for fixture, marker in _MARKERS.items():
            if fixture in fixtures:
                item.add_marker(marker)
        if os.name == "nt" and (lacking := item.get_closest_marker("not_on_windows")):
            item.add_marker(pytest.mark.skip(reason=lacking.args[0]))
    ranks = {f"test_{name}": rank for rank, name in enumerate(_LONG)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))


@pytest.fixture(params=["xllamacpp", "llama_cpp_python"])
def demo(
    request: pytest.FixtureRequest,
    demo_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> LlamaCppClient:
    """A client of the embedded model, by each library that runs llama.cpp."""
    from answering import demo_settings

    from workflow_scripts.backends.llama_cpp_client import LlamaCppClient

    monkeypatch.chdir(tmp_path)  # model checksums are remembered below results/
    return LlamaCppClient(demo_settings(demo_model, request.param))


@pytest.fixture
def of_ollama() -> Iterator[Backend]:
    """Ollama's test server and the settings of its client."""
    import local_backends

    with local_backends.of_ollama() as backend:
        yield backend


@pytest.fixture
def of_openai() -> Iterator[Backend]:
    """The test server of OpenAI-compatible servers and the settings of its client."""
    import local_backends

    with local_backends.of_openai() as backend:
        yield backend


@pytest.fixture(params=["of_ollama", "of_openai"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each of the two."""
    made: Backend = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A scripted provider of batches, which all commands of a part ask."""
    from batch_provider import asked_by_all_commands

    with asked_by_all_commands() as made:
        yield made


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys for all hosted test servers, which list a job as soon as it is there."""
    from backends import HOSTED_BATCH

    from workflow_scripts.backends import hosted

    monkeypatch.setattr(hosted, "LISTING_LAG_S", 0.0)
    monkeypatch.setattr(hosted, "UNSEEN_WAITS_S", (0.0, 0.0))
    for backend in HOSTED_BATCH:
        for name, value in backend.keys.items():
            monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def browser(program: Callable[..., str]) -> Iterator[webdriver.Chrome]:
    """One headless Chromium for all tests of pages."""
    from browser import chromium

    with chromium(program) as chrome:
        yield chrome


@pytest.fixture(scope="session")
def trial_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trial with its report; every text in it that others wrote tries to break out."""
    from report_files import UNTRUSTED, make_report, write_trial

    made = tmp_path_factory.mktemp("results") / "trial #1 (50%)"
    write_trial(made, injected=UNTRUSTED)
    make_report(made)
    return made


@pytest.fixture
def page(browser: webdriver.Chrome, trial_folder: Path) -> webdriver.Chrome:
    """The trial's report, freshly opened."""
    from browser import opened

    return opened(browser, trial_folder / "report.html")
