"""The settings files of a plan, each named after its content.

The name makes Snakemake see a changed setting as a changed input, of exactly the jobs that read
it. A plan for another config never touches the files of a running one, and a plan writes nothing:

- The settings that decide a result are inputs of jobs. One job of the rule ``settings`` makes the
  missing ones. It leaves those that are there alone, so no other job has to be judged again.
- Settings that decide nothing (time-outs, retries, the budget) are no inputs, since a change of
  them must re-run nothing. They are written when a run starts.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ..core.block import Block
from ..core.errors import UserError
from ..core.files import write_text

_DIGITS = 12


class SettingsFiles:
    """The settings files that the jobs of a plan read.

    Args:
        folder: where they are.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._texts: dict[str, str] = {}
        self._tracked: list[str] = []
        self._untracked: list[str] = []
        self._started = False

    def path(self, stage: str, settings: Block, folder: str | None = None) -> str:
        """Return the path of a stage's settings, which the rule ``settings`` writes."""
        path = self._named(stage, settings, folder or self._folder)
        self._tracked.append(path)
        return path

    def untracked(self, stage: str, settings: Block) -> str:
        """Return the path of settings that decide nothing, written as soon as a run has started."""
        path = self._named(stage, settings, self._folder)
        self._untracked.append(path)
        if self._started:
            self._write(path)
        return path

    def missing(self) -> list[str]:
        """Return the paths given out by `path` whose files are not there yet.

        Raises:
            UserError: a file is there with another content.
        """
        paths = sorted(set(self._tracked))
        for path in paths:
            file = Path(path)
            if file.is_file() and file.read_bytes() != self.text(path).encode("utf-8"):
                raise UserError(f"{path}: this file was edited. Delete it and start again.")
        return [path for path in paths if not Path(path).is_file()]

    def text(self, path: str) -> str:
        """Return the content of a settings file."""
        return self._texts[path]

    def start(self) -> None:
        """Write the untracked settings, now and from now on: a run has started, not a dry run."""
        self._started = True
        for path in self._untracked:
            self._write(path)

    def _named(self, stage: str, settings: Block, folder: str) -> str:
        text = json.dumps(settings.model_dump(mode="json"), ensure_ascii=False, indent=2) + "\n"
        digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
        path = f"{folder}/{stage}-{digest[:_DIGITS]}.json"
        self._texts[path] = text
        return path

    def _write(self, path: str) -> None:
        if not Path(path).is_file():
            write_text(Path(path), self.text(path))
