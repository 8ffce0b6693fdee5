"""The one exception for mistakes that a user can fix."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable


class UserError(Exception):
    """Something is wrong with what the user gave: config, data, prompt, model or machine.

    The message says what is wrong, where (file, line, field) and what to do. It reaches the
    terminal as it is, never with a traceback; any other exception is a defect of Assay.
    """


INTERRUPTED = "interrupted"
"""What a command says last when Ctrl+C ends it."""

_INTERRUPTED_STATUS = 130  # 128 + SIGINT, as shells report it


def command(main: Callable[[], None]) -> Callable[[], None]:
    """Decorate a command's ``main``: errors that people can fix end it without a traceback.

    A `UserError` ends it with its message and status 1, Ctrl+C with `INTERRUPTED` and status 130.
    """

    @functools.wraps(main)
    def run() -> None:
        try:
            main()
        except UserError as error:
            sys.exit(f"error: {error}")
        except KeyboardInterrupt:
            print(INTERRUPTED, file=sys.stderr)
            sys.exit(_INTERRUPTED_STATUS)

    return run
