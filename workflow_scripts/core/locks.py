"""Locks between processes, which the operating system frees when their holder ends or is killed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import UserError

if TYPE_CHECKING:
    from filelock import FileLock


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock, after waiting for the process that has it.

    Raises:
        UserError: the file system has no locks, or the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock(path)
    try:
        lock.acquire()
    except OSError as error:
        raise _no_lock(path, error) from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def try_locked(path: Path) -> Iterator[bool]:
    """Hold a lock if no other process has it; yield whether it is held.

    Raises:
        UserError: as `locked`.
    """
    from filelock import Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    except OSError as error:
        raise _no_lock(path, error) from error
    try:
        yield True
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Return whether a living process holds a lock. Makes the lock's file if there is none.

    Raises:
        UserError: as `locked`.
    """
    with try_locked(path) as is_ours:
        return not is_ours


def _lock(path: Path) -> FileLock:
    from filelock import FileLock

    # A soft lock is no substitute: it outlives a killed process.
    return FileLock(path, fallback_to_soft=False)


def _no_lock(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path}: this file cannot be locked ({error.strerror or error}), so equal requests of two "
        "processes might both be sent. Put the folder results/ on a disk with file locks (a local "
        "one, or a network share mounted with locking) and start again."
    )
