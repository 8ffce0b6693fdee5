"""Write the files of a commit as an archive, in the order of their paths.

    python -m workflow_scripts.retrieval.checkout --settings settings.json --output source.tar

The repository lies on this machine, bare or with its files, or is cloned. The archive depends on
the commit alone. Needs the program git.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..core.errors import UserError, command
from ..core.files import atomic_path, read_settings
from ..core.logs import log_to
from .settings import CorpusSettings

LOG = logging.getLogger(__name__)

_LINK, _REPOSITORY = "120000", "160000"
_WHOLE = re.compile("[0-9a-f]{40}")


class Entry(NamedTuple):
    """A file of a commit: Git's mode, the digest of its content, and its path."""

    mode: str
    blob: str
    path: str


def git(*arguments: str, cwd: Path, content: bytes = b"") -> bytes:
    """Run git and return what it writes.

    Raises:
        UserError: git is not installed, or it fails; the message has its own words.
    """
    program = shutil.which("git")
    if program is None:
        raise UserError("a corpus with commit needs the program git, which is not on the PATH")
    done = subprocess.run(
        [program, *arguments], cwd=cwd, input=content, capture_output=True, check=False,
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},  # nobody is there to type a password
    )  # fmt: skip
    if done.returncode:
        said = done.stderr.decode("utf-8", errors="replace").strip()
        raise UserError(f"git {arguments[0]}: {said.splitlines()[-1] if said else 'failed'}")
    return done.stdout


def fetch(address: str, commit: str, folder: Path) -> None:
    """Clone a repository without its files: the commit alone where the server gives it.

    Raises:
        UserError: it cannot be cloned.
    """
    git("init", "--bare", "--quiet", ".", cwd=folder)
    if _WHOLE.fullmatch(commit):
        try:
            git("fetch", "--quiet", "--depth=1", "--", address, commit, cwd=folder)
        except UserError:
            LOG.info("%s does not give single commits; cloning all of it", address)
        else:
            return
    git("fetch", "--quiet", "--", address, "+refs/*:refs/*", cwd=folder)


def entries(repository: Path, commit: str) -> list[Entry]:
    """Return the files of a commit, by path.

    Raises:
        UserError: the repository does not have it.
    """
    listed = git("ls-tree", "-r", "-z", "--full-tree", f"{commit}^{{commit}}", cwd=repository)
    found = []
    for line in listed.split(b"\0")[:-1]:
        about, _, path = line.partition(b"\t")
        mode, _, blob = about.decode().split(" ")
        found.append(Entry(mode, blob, path.decode("utf-8", errors="surrogateescape")))
    return sorted(found, key=lambda each: each.path)


def write_archive(repository: Path, commit: str, output: Path) -> None:
    """Write the files of a commit as an archive.

    Raises:
        UserError: the repository does not have the commit, or the archive cannot be written.
    """
    found = entries(repository, commit)
    with (
        atomic_path(output) as temporary,
        tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for entry, content in _contents(repository, found):
            member = tarfile.TarInfo(entry.path)
            if entry.mode == _LINK:
                member.type, member.linkname = tarfile.SYMTYPE, content.decode("utf-8", "replace")
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def _contents(repository: Path, found: list[Entry]) -> Iterator[tuple[Entry, bytes]]:
    files = [each for each in found if each.mode != _REPOSITORY]
    asked = "".join(f"{each.blob}\n" for each in files).encode()
    stream = io.BytesIO(git("cat-file", "--batch", cwd=repository, content=asked))
    for entry in files:
        size = int(stream.readline().split()[2])
        yield entry, stream.read(size)
        stream.read(1)


@command
def main() -> None:
    """Write the files of a commit."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="JSON file: CorpusSettings")
    parser.add_argument("--output", type=Path, required=True, help="source.tar")
    args = parser.parse_args()

    log_to(None)
    settings = read_settings(args.settings, CorpusSettings)
    commit = str(settings.commit)
    if settings.path is not None:
        if not Path(settings.path).is_dir():
            raise UserError(f"{settings.path}: no such folder")
        write_archive(Path(settings.path), commit, args.output)
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        fetch(str(settings.git), commit, Path(folder))
        write_archive(Path(folder), commit, args.output)


if __name__ == "__main__":
    main()
