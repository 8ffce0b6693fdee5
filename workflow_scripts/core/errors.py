"""The one exception for mistakes that a user can mend."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable


class UserError(Exception):
    """Something is wrong with what the user gave: config, data, prompt, model or machine.

    The message says what is wrong, where (file, line, field) and what to do. It reaches the
    terminal as it is, never with a traceback; any other exception is a defect of Assay.
    """


def command(main: Callable[[], None]) -> Callable[[], None]:
    """Decorate a command's ``main`` so that a `UserError` ends it with its message and status 1.

    The message is also in the log file, if there is one.
    """

    @functools.wraps(main)
    def run() -> None:
        try:
            main()
        except UserError as error:
            message = f"error: {error}"
            for handler in logging.getLogger().handlers:
                if isinstance(handler, logging.FileHandler):  # the terminal gets it below
                    handler.emit(logging.makeLogRecord({"msg": message}))
            sys.exit(message)

    return run
