"""Probes of this machine: Python, packages, disk, locks, compiler, GPU.

Packages are imported inside of the probes that need them, because they may be missing.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from ..core.errors import UserError
from .findings import Finding, Probe, project_verb

_OLDEST_PYTHON = (3, 11)
_LOW_DISK_GB = 2.0
_SHOWN = 5
_LONGEST_PATH = 260
"""Characters that Windows allows in a path, if long paths are not enabled."""

LONGEST_BELOW_PROJECT = 160
"""Characters of the longest paths of a usual experiment; the demonstration has some of 158."""

RESULTS = Path("results")
_SNAKEMAKE = {"snakemake", "snakemake.exe", "workflow_scripts.rules.snakemake_command"}
_WRITTEN = (RESULTS, Path(".snakemake"))


def probes(wants_gpu: Callable[[], bool]) -> dict[str, Probe]:
    """Return the probes of the machine by name.

    Args:
        wants_gpu: whether the config puts layers of a model on a GPU.
    """
    return {
        "python": python,
        "packages": packages,
        "disk": disk,
        "write access": write_access,
        "file locks": file_locks,
        "snakemake lock": snakemake_lock,
        "compiler": compiler,
        "gpu": lambda: gpu(wants_gpu()),
    }


def python() -> Iterator[Finding]:
    """The interpreter, and whether the ``snakemake`` that people type is its own."""
    is_old = sys.version_info < _OLDEST_PYTHON
    oldest = ".".join(map(str, _OLDEST_PYTHON))
    yield Finding(
        "to do" if is_old else "ok",
        f"Python {platform.python_version()} ({sys.executable})"
        + (f" is too old; Assay needs {oldest} or newer" if is_old else ""),
        f"install Python {oldest} or newer, then: {project_verb('bootstrap')}" if is_old else None,
    )
    typed = shutil.which("snakemake")
    if typed is None or Path(typed).parent.resolve() != Path(sys.executable).parent.resolve():
        activate = r".venv\Scripts\activate" if os.name == "nt" else ". .venv/bin/activate"
        where = "not on the PATH" if typed is None else f"{typed}, another one"
        yield Finding("note", f"the command snakemake is {where}", activate)


def packages() -> Iterator[Finding]:
    """Installed packages and those that requirements.txt pins."""
    from packaging.requirements import Requirement

    pinned = Path("requirements.txt")
    if not pinned.is_file():
        yield Finding(
            "to do", f"{Path.cwd()} has no requirements.txt: start in the project's folder"
        )
        return
    missing, other, count = [], [], 0
    for line in pinned.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        count += 1
        try:
            installed = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            missing.append(requirement.name)
        else:
            if installed not in requirement.specifier:
                other.append(f"{requirement.name} {installed}")
    if missing:
        yield Finding("to do", f"not installed: {_some(missing)}", project_verb("bootstrap"))
    if other:
        yield Finding("note", f"not the pinned versions: {_some(other)}", project_verb("bootstrap"))
    if not missing and not other:
        yield Finding("ok", f"all {count} as pinned in requirements.txt; {_own_versions()}")


def _own_versions() -> str:
    return ", ".join(f"{name} {metadata.version(name)}" for name in ("assay-workflow", "snakemake"))


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def disk() -> Iterator[Finding]:
    """The free space where results are written, and the room that Windows leaves for paths."""
    free = shutil.disk_usage(RESULTS if RESULTS.is_dir() else Path.cwd()).free / 1e9
    if free < _LOW_DISK_GB:
        yield Finding(
            "to do",
            f"only {free:.1f} GB free where results/ is",
            "free some space, or move the project to another disk",
        )
    else:
        yield Finding("ok", f"{free:.1f} GB free where results/ is")
    if os.name == "nt":
        yield from path_length(Path.cwd())


def path_length(folder: Path) -> Iterator[Finding]:
    """Whether Windows can name all files of a project in ``folder``."""
    if len(str(folder)) + LONGEST_BELOW_PROJECT > _LONGEST_PATH:
        yield Finding(
            "note",
            f"{folder} is long: paths below it may exceed {_LONGEST_PATH} characters",
            "move the project to a shorter path, or enable long paths in Windows",
        )


def write_access() -> Iterator[Finding]:
    """Whether this user can write where a run writes."""
    for folder in _WRITTEN:
        problem = _write_problem(folder)
        if problem:
            yield Finding(
                "to do",
                f"{folder.as_posix()}/ cannot be written ({problem})",
                f"make {folder.resolve()} a folder in which you may write",
            )
        else:
            yield Finding("ok", f"{folder.as_posix()}/ can be written")


def _write_problem(folder: Path) -> str:
    """Why nothing can be written to a folder; a folder that a run would make is not made."""
    nearest = folder if folder.exists() or folder.is_symlink() else Path.cwd()
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def file_locks() -> Iterator[Finding]:
    """Whether the file system has the locks that keep two processes from sending one request."""
    if _write_problem(RESULTS):
        return
    from ..core.locks import locked

    nearest = RESULTS if RESULTS.is_dir() else Path.cwd()
    with tempfile.TemporaryDirectory(dir=nearest) as folder, locked(Path(folder) / "lock"):
        pass
    yield Finding("ok", "the disk of results/ has file locks")


def snakemake_lock() -> Iterator[Finding]:
    """The lock that a run holds on the folder, and whether that run is alive."""
    folder = Path(".snakemake/locks")
    if not folder.is_dir() or not any(folder.iterdir()):
        yield Finding("ok", "no run holds the folder")
        return
    runs = _runs_here()
    if runs:
        yield Finding("note", f"a run is at work here (process {', '.join(map(str, runs))})")
    else:
        yield Finding("to do", "the lock of a run that was killed is left", "snakemake --unlock")


def _runs_here() -> list[int]:
    """The processes of Snakemake that work in this folder."""
    import psutil

    here, found = Path.cwd().resolve(), []
    for process in psutil.process_iter():
        try:
            if (
                process.pid != os.getpid()
                and any(Path(each).name in _SNAKEMAKE for each in process.cmdline())
                and Path(process.cwd()).resolve() == here
            ):
                found.append(process.pid)
        except (psutil.Error, OSError):  # ended meanwhile, or another user's
            continue
    return found


def compiler() -> Iterator[Finding]:
    """A C++ compiler. Only compiling llama-cpp-python needs one."""
    found = next(filter(None, map(shutil.which, ("c++", "g++", "clang++", "cl"))), None)
    found = found or _visual_studio()
    if found:
        yield Finding("ok", f"a C++ compiler is there: {found}")
    else:
        yield Finding(
            "note", "no C++ compiler was found; only compiling llama-cpp-python needs one"
        )


def _visual_studio() -> str | None:
    """The folder of Visual Studio with its compiler, which is not on the PATH."""
    programs = os.environ.get("ProgramFiles(x86)")  # noqa: SIM112 - its name on Windows
    finder = Path(programs or "") / "Microsoft Visual Studio/Installer/vswhere.exe"
    if programs is None or not finder.is_file():
        return None
    component = "Microsoft.VisualStudio.Component.VC.Tools.x86.x64"
    arguments = ["-latest", "-products", "*", "-requires", component]
    done = _run([str(finder), *arguments, "-property", "installationPath"])
    return done.stdout.strip() or None


def gpu(is_wanted: bool) -> Iterator[Finding]:
    """The NVIDIA GPUs and their driver; ``is_wanted`` if the config puts layers on a GPU."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        if platform.system() == "Darwin":
            yield Finding("ok", f"{platform.machine()} Mac: llama.cpp uses Metal")
        else:
            yield Finding(
                "to do" if is_wanted else "note",
                "no NVIDIA driver (nvidia-smi) was found"
                + (", but n_gpu_layers puts layers on a GPU" if is_wanted else ""),
                "install the driver, or set n_gpu_layers: 0" if is_wanted else None,
            )
        return
    query = "--query-gpu=name,memory.total,driver_version"
    done = _run([tool, query, "--format=csv,noheader"])
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        yield Finding(
            "to do" if is_wanted else "note",
            f"the NVIDIA driver does not answer: {said[0] if said else 'no message'}",
            "restart the machine or reinstall the driver; nvidia-smi must list the GPU",
        )
        return
    for line in done.stdout.splitlines():
        name, memory, driver = (each.strip() for each in line.rsplit(",", 2))
        yield Finding("ok", f"{name}, {memory}, driver {driver}")


def _run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a program of the system.

    Raises:
        UserError: it cannot be started, or hangs.
    """
    try:
        return subprocess.run(
            arguments,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(f"{arguments[0]} cannot be run ({error})") from error
