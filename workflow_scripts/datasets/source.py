"""The file of a data set, opened whatever it is packed in: plain, gzipped or inside an archive."""

from __future__ import annotations

import contextlib
import difflib
import gzip
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, cast

from ..core.errors import UserError

_GZIP_MAGIC = b"\x1f\x8b"
_NAMES_SHOWN = 5
_DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, tarfile.TarError, zipfile.BadZipFile)


@dataclass(frozen=True)
class Source:
    """Where the items of one data set come from.

    ``dataset`` is the configured name; ``member`` is the path inside ``path`` when that is an
    archive (.zip, .tar, .tar.gz …). What a file is packed in is told by its content, not its name.
    ``columns``: by our name, the file's name of a column. ``where``: which of the records of a
    file count, by column or label. ``used_by``: what of the config reads it, for messages.
    """

    dataset: str
    path: Path
    member: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    where: Mapping[str, str] = field(default_factory=dict)
    used_by: str = "data set"

    def __str__(self) -> str:
        """The file as messages name it."""
        return str(self.path) if self.member is None else f"{self.path} ({self.member})"

    @property
    def context(self) -> dict[str, Path]:
        """What the validators of records may need: ``beside`` is the folder of a plain file."""
        return {} if self.member else {"beside": self.path.parent}

    def error(self, place: str, problem: str) -> UserError:
        """The error that ``problem`` was found at ``place`` of this file."""
        return UserError(f"{self}, {place}: {problem}")

    @contextlib.contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open the unpacked bytes. Archives are read in place; nothing is extracted to disk."""
        if not self.path.is_file():
            raise UserError(f"{self.path}: there is no such file ({self.used_by} '{self.dataset}')")
        try:
            with contextlib.ExitStack() as stack:
                yield _gunzipped(self._unpacked(stack))
        except _DAMAGED as error:
            raise UserError(
                f"{self}: the file is damaged or cut off ({error}); get a fresh copy of it"
            ) from error
        except OSError as error:
            raise UserError(f"{self}: cannot be read ({error.strerror or error})") from error

    def _unpacked(self, stack: contextlib.ExitStack) -> IO[bytes]:
        if zipfile.is_zipfile(self.path):
            return self._from_zip(stack.enter_context(zipfile.ZipFile(self.path)))
        if tarfile.is_tarfile(self.path):
            return self._from_tar(stack.enter_context(tarfile.open(self.path)))
        if self.member is not None:
            raise UserError(
                f"{self.path}: not a .zip or .tar archive (or a damaged one), so it has no member "
                f"'{self.member}'; remove 'member' from {self.used_by} '{self.dataset}', or "
                "fix the file"
            )
        return stack.enter_context(self.path.open("rb"))

    def _from_zip(self, archive: zipfile.ZipFile) -> IO[bytes]:
        names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
        if self.member not in names:
            raise self._no_such_member(names)
        return archive.open(self.member)

    def _from_tar(self, archive: tarfile.TarFile) -> IO[bytes]:
        # A compressed tar has no directory: it is read up to the member and no further.
        files = (entry for entry in archive if entry.isfile())
        if self.member is None:
            raise self._no_such_member(entry.name for entry in files)
        passed = []
        for entry in files:
            if entry.name.removeprefix("./") == self.member:
                return cast(IO[bytes], archive.extractfile(entry))
            passed.append(entry.name.removeprefix("./"))
        raise self._no_such_member(passed)

    def _no_such_member(self, names: Iterable[str]) -> UserError:
        if self.member is None:
            shown = list(islice(names, _NAMES_SHOWN))
            return UserError(
                f"{self.path}: an archive; name the file inside as 'member' of "
                f"{self.used_by} '{self.dataset}', such as {shown}"
            )
        known = list(names)
        near = difflib.get_close_matches(self.member, known, n=_NAMES_SHOWN, cutoff=0.5)
        return UserError(
            f"{self.path}: no member '{self.member}' among {len(known)} files; "
            f"there are {near or known[:_NAMES_SHOWN]}"
        )


def _gunzipped(stream: IO[bytes]) -> IO[bytes]:
    # All streams that `Source` opens are buffered, so they can look ahead.
    if stream.peek(2)[:2] == _GZIP_MAGIC:  # type: ignore[attr-defined]
        return cast(IO[bytes], gzip.GzipFile(fileobj=stream))
    return stream
