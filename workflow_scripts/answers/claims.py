"""Claims: which process sends which requests, so that equal ones are sent once.

A process claims requests before it looks them up in the journal, and leaves out requests that
others have claimed. It sends the rest, gives up its claim, and only then waits for the others.
Nobody waits while it has a claim, so no two processes wait for each other.

A claim is a file of digests beside a lock that its process holds. The operating system frees the
lock of a killed process, and so ends its claim.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import uuid
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from ..core.files import write_text
from ..core.locks import is_locked, locked

_LOOK_EVERY_S = 0.2
_TURN = "turn.lock"


class Claims:
    """The claims on the requests of one identity.

    Args:
        folder: the `journal_folder` of the identity.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "claims"

    @contextlib.contextmanager
    def claim(self, digests: Collection[str]) -> Iterator[Mapping[str, Path]]:
        """Claim the requests that no other process has claimed, for as long as the block runs.

        An answer that came before the block is in the journal once the block has begun, and one
        that comes within it has to be there before the block ends.

        Yields:
            The requests that other processes have claimed, each with that process's lock.

        Raises:
            UserError: the file system has no locks.
        """
        name = f"{time.time_ns()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        lock = self._folder / f"{name}.lock"
        with contextlib.ExitStack() as stack:
            with locked(self._folder / _TURN):
                others = self._others()
                claimed = {digest: others[digest] for digest in digests if digest in others}
                stack.callback(_remove, lock)
                stack.enter_context(locked(lock))
                stack.callback(_remove, _keys(lock))
                own = (digest for digest in digests if digest not in claimed)
                write_text(_keys(lock), "".join(f"{digest}\n" for digest in own))
            yield claimed

    def _others(self) -> dict[str, Path]:
        """Return all claimed requests, each with its lock; remove the claims of dead processes."""
        others: dict[str, Path] = {}
        for lock in self._folder.glob("*.lock"):
            if lock.name == _TURN:
                continue
            if is_locked(lock):
                # Given up just now; on Windows a file that is being removed denies access.
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    keys = _keys(lock).read_text(encoding="ascii")
                    others.update(dict.fromkeys(keys.split(), lock))
            else:
                _remove(_keys(lock))
                _remove(lock)
        return others


async def given_up(locks: Collection[Path]) -> None:
    """Wait until the processes that hold these locks have given up their claims, or have died."""
    for lock in locks:
        while lock.exists() and is_locked(lock):
            await asyncio.sleep(_LOOK_EVERY_S)


def _keys(lock: Path) -> Path:
    """Return the file of digests; a locked file itself cannot be read on Windows."""
    return lock.with_suffix(".keys")


def _remove(path: Path) -> None:
    # On Windows it stays while somebody looks at it; the next process that claims removes it.
    with contextlib.suppress(OSError):
        path.unlink()
