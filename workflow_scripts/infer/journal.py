"""The journal: every answer that was ever received, found again by what was asked.

A folder of append-only JSON-lines files, one per writing process, so that writers need no lock
and a killed one leaves at most one torn last line. Nothing is ever changed or removed in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from ..records import Completion, Request

_DIGEST = slice(len('{"digest":"'), len('{"digest":"') + 64)
_SYNC_EVERY_S = 1.0


def request_digest(identity: Mapping[str, str], request: Request) -> str:
    """The digest of all that decides an answer: who is asked, what, how, and which sample.

    Names (item, data set, prompt, part) are not in it: the same question under another name has
    the same answer.
    """
    asked = {
        "identity": dict(identity),
        "messages": [message.model_dump() for message in request.messages],
        "decoding": request.decoding.model_dump(),
        "sample_index": request.sample_index,
    }
    text = json.dumps(asked, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


class Journal:
    """One folder of answers. Use as a context manager while appending."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stream: TextIO | None = None
        self._synced = 0.0

    def answers(self, digests: Collection[str]) -> dict[str, Completion]:
        """The answers to those of the given requests that the journal holds.

        Lines are told apart by their first bytes, so a journal of a million answers is read at
        the speed of the disk. A torn line (its writer was killed) holds no answer.
        """
        wanted = {digest.encode() for digest in digests}
        found: dict[str, Completion] = {}
        for path in sorted(self.folder.glob("*.jsonl")):
            with path.open("rb") as stream:
                for line in stream:
                    if line[_DIGEST] in wanted and line.endswith(b"\n"):
                        entry = json.loads(line)
                        answer = Completion.model_validate(entry["completion"])
                        found.setdefault(entry["digest"], answer)
        return found

    def append(self, digest: str, completion: Completion) -> None:
        """Record an answer. It survives a kill at once, and a power cut after a second."""
        if self._stream is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = f"{time.time_ns()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"
            self._stream = (self.folder / name).open("x", encoding="utf-8", newline="\n")
        line = {"digest": digest, "completion": completion.model_dump(exclude_none=True)}
        self._stream.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
        self._stream.flush()
        if time.monotonic() - self._synced > _SYNC_EVERY_S:
            os.fsync(self._stream.fileno())
            self._synced = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._stream is not None:
            os.fsync(self._stream.fileno())
            self._stream.close()
            self._stream = None
