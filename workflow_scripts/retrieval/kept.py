"""Vectors that were made, kept by the digest of their text, so that no text is embedded twice.

One folder for each identity. Each process appends to a file of its own, so a kill loses at most
the vector that was being written. A line of JSON with the number of dimensions is followed by
records of one size: SHA-256 of the text, the vector, and a checksum of both.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UserError
from ..core.files import write_json
from ..core.locks import locked
from ..core.values import path_name

_DIGEST = 32
_CHECKSUM = 4
_SUFFIX = ".vectors"
_ABOUT = "identity.json"
_SYNC_EVERY_S = 1.0


def text_digest(text: str) -> bytes:
    """Return the digest of a text as it is sent."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).digest()


def take_over(root: Path, former: Mapping[str, str], identity: Mapping[str, str]) -> None:
    """Count the vectors that were kept under a former identity as those of a new one.

    That happens once: where the new one has vectors already, nothing changes.

    Args:
        root: the folder of all identities.
        former: what earlier versions of Assay called the embedder.
        identity: what it is called now.
    """
    old, new = _folder(root, former), _folder(root, identity)
    if old.is_dir() and not new.exists():
        with contextlib.suppress(OSError):  # another process was faster, or is using the folder
            old.rename(new)
            write_json(new / _ABOUT, dict(identity))


def _folder(root: Path, identity: Mapping[str, str]) -> Path:
    text = json.dumps(dict(identity), sort_keys=True, ensure_ascii=False)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return root / path_name(f"{identity.get('kind', 'embedder')}-{key}")


class KeptVectors:
    """The vectors of one identity.

    Args:
        root: the folder of all identities.
        identity: who makes the vectors.
    """

    def __init__(self, root: Path, identity: Mapping[str, str]) -> None:
        self._folder = _folder(root, identity)
        self._identity = identity
        self._stream: BinaryIO | None = None
        self._synced = 0.0

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock of the identity: what is missing now is embedded by this process alone.

        Raises:
            UserError: the file system has no locks.
        """
        with locked(self._folder / "turn.lock"):
            try:
                yield
            finally:
                self._close()

    def find(self, digests: Iterable[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """Return the vectors that are kept of these texts."""
        wanted = set(digests)
        found: dict[bytes, NDArray[np.float32]] = {}
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            for record, width in _records(path):
                digest = record[:_DIGEST]
                if digest in wanted and digest not in found and _is_whole(record):
                    found[digest] = np.frombuffer(record, np.float32, width, _DIGEST)
        return found

    def keep(self, vectors: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Append vectors. Hold `alone`.

        Raises:
            UserError: they cannot be written.
        """
        try:
            for digest, vector in vectors.items():
                stream = self._opened(len(vector))
                body = digest + vector.astype("<f4").tobytes()
                stream.write(body + zlib.crc32(body).to_bytes(_CHECKSUM, "little"))
            if self._stream is not None:
                self._stream.flush()
                if time.monotonic() - self._synced > _SYNC_EVERY_S:
                    os.fsync(self._stream.fileno())
                    self._synced = time.monotonic()
        except OSError as error:
            raise UserError(
                f"{self._folder}: vectors cannot be written ({error.strerror}). Free some space "
                "and start again; vectors that are there are not made again"
            ) from error

    def _opened(self, width: int) -> BinaryIO:
        if self._stream is None:
            about = self._folder / _ABOUT
            if not about.exists():
                write_json(about, dict(self._identity))
            name = f"{time.time_ns()}-{os.getpid()}-{uuid.uuid4().hex[:8]}{_SUFFIX}"
            self._stream = (self._folder / name).open("xb")
            self._stream.write(json.dumps({"dimensions": width}).encode() + b"\n")
        return self._stream

    def _close(self) -> None:
        if self._stream is not None:
            stream, self._stream = self._stream, None
            with contextlib.suppress(OSError):
                os.fsync(stream.fileno())
                stream.close()


def _records(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yield the records of a file, each with its number of dimensions; a torn one is left out."""
    with path.open("rb") as stream:
        try:
            width = int(json.loads(stream.readline())["dimensions"])
        except (ValueError, KeyError, TypeError):
            return  # its process was killed before the first record
        size = _DIGEST + 4 * width + _CHECKSUM
        while len(record := stream.read(size)) == size:
            yield record, width


def _is_whole(record: bytes) -> bool:
    return zlib.crc32(record[:-_CHECKSUM]).to_bytes(_CHECKSUM, "little") == record[-_CHECKSUM:]
