"""Answer parts one after another: the process to which a run hands its jobs of `send`.

A line of its standard input is a job: the arguments of `send`, and the log that takes the place of
standard error. A line of its standard output says that the part is done. The process ends with its
input, or with the first part that fails, as `send` would.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core.errors import UserError, command
from . import send


@command
def main() -> None:
    """Answer the parts that standard input names. All have the settings of the first."""
    done = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    with contextlib.ExitStack() as stack:
        sender = None
        for job in _jobs():
            _log_to(Path(job["log"]))
            args, settings = send.parsed(job["arguments"])
            if sender is None:
                from .sender import Sender

                sender = stack.enter_context(Sender(settings, args.journal))
            sender.answer(args.requests, args.output, args.telemetry)
            print(file=done, flush=True)


def _jobs() -> Iterator[dict[str, Any]]:
    while line := _line():
        yield json.loads(line)


def _line() -> str:
    """Return the next line, or an empty one at the end. Ctrl+C between two jobs is an end, too."""
    with contextlib.suppress(KeyboardInterrupt):
        return sys.stdin.readline()
    return ""


def _log_to(path: Path) -> None:
    """Let all that is written to standard error, by libraries in C too, go to a file.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        with path.open("wb") as stream:
            sys.stderr.flush()
            for output in (1, 2):
                os.dup2(stream.fileno(), output)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error


if __name__ == "__main__":
    main()
