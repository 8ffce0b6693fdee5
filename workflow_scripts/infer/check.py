"""See whether the configured backends can answer, before anything is sent or paid."""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path

from ..config.schema import BackendSettings, Block
from ..errors import UserError, command
from ..files import read_settings, write_text
from ..logs import log_to

log = logging.getLogger(__name__)


class CheckSettings(Block):
    """The backends to look at, by the name that stands in paths."""

    backends: dict[str, BackendSettings]


async def findings(settings: CheckSettings) -> dict[str, str | UserError]:
    """What is fine with each backend, or the error that says what to do."""
    from .client import make_client

    found: dict[str, str | UserError] = {}
    for name, backend in settings.backends.items():
        try:
            client = make_client(backend)
            try:
                found[name] = await client.check()
            finally:
                await client.close()
        except UserError as error:
            found[name] = error
    return found


@command
def main() -> None:
    """Check keys, servers and models. Nothing is asked that costs anything."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--log", type=Path, help="file for the messages shown in the terminal")
    parser.add_argument("--output", type=Path, help="file for what was found, if all is fine")
    args = parser.parse_args()

    log_to(args.log)
    found = asyncio.run(findings(read_settings(args.settings, CheckSettings)))
    lines = [
        f"{'to do' if isinstance(what, UserError) else 'fine'}: {name}: {what}"
        for name, what in found.items()
    ]
    log.info("%s", "\n".join(lines))
    bad = [name for name, what in found.items() if isinstance(what, UserError)]
    if bad:
        raise UserError(f"not ready: {', '.join(bad)}; see above. No job that needs it was started")
    if args.output is not None:
        write_text(args.output, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
