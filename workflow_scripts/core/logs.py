"""Messages of a running command: to the terminal and to the job's log file."""

from __future__ import annotations

import logging
from pathlib import Path

from .errors import UserError


def log_to(path: Path | None) -> None:
    """Send log messages to standard error and, if given, to a file.

    Raises:
        UserError: the file cannot be written.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handlers.append(logging.FileHandler(path, mode="w", encoding="utf-8"))
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=handlers)
