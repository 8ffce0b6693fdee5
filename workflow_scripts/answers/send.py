"""Answer the requests of one part."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..core.errors import command
from .arguments import begin
from .settings import InferSettings


def parsed(arguments: Sequence[str] | None = None) -> tuple[argparse.Namespace, InferSettings]:
    """Return the arguments and settings of this command.

    Raises:
        UserError: the settings cannot be read.
    """
    return begin(main.__doc__, "requests", optional="telemetry", arguments=arguments)


@command
def main() -> None:
    """Answer one batch-input part: journaled answers first, the rest from the backend."""
    args, settings = parsed()

    from .sender import Sender

    with Sender(settings, args.journal) as sender:
        sender.answer(args.requests, args.output, args.telemetry)


if __name__ == "__main__":
    main()
