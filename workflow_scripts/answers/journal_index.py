"""The index of a journal: where its lines are, so that a look-up reads only those that it wants.

The index covers each journal file up to an offset. A look-up reads the lines that the index names
and all lines behind that offset. So an old index costs time, and misses nothing.

The index is a cache. Delete it at any time: it is made again. It holds no answer, and a journal
file is read whole where index and file may disagree:

- The file no longer has the size and times that it had, and has not only grown: the last bytes of
  the covered part are others. Answers are only ever appended, so somebody replaced or edited it.
- A line that the index names has another digest. Then the index is removed as well.

Processes take turns to extend the index, and replace it whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from ..core.errors import UserError
from ..core.files import atomic_path
from ..core.locks import locked

DIGEST = slice(len('{"digest":"'), len('{"digest":"') + 64)
"""Where a journal's line has the digest of its request."""

_FORMAT = f"journal index 1, {sys.byteorder} endian"

_LEAST_UNREAD = 16 * 2**20
_LARGEST_SHARE = 1 / 16
"""The index is extended when more bytes, and a larger share of the journal, are not covered."""

_SETTLED_NS = 2 * 10**9
"""A file that changed less than this ago may change again without a new time stamp."""

_END = 4096

_OFFSET_BITS = 40
_CHECKSUM = 4


class Line(NamedTuple):
    """A line of a journal: where it begins, and its bytes."""

    path: Path
    offset: int
    content: bytes


class _Stamp(NamedTuple):
    """What an unchanged file keeps. On Windows, ``changed_ns`` is the time of its creation."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, stream: BinaryIO) -> Self:
        stat = os.fstat(stream.fileno())
        return cls(stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    def settled(self, now_ns: int) -> Self:
        """Return the stamp, or one that no file has if a change might not show in it."""
        if all(abs(now_ns - each) > _SETTLED_NS for each in (self.modified_ns, self.changed_ns)):
            return self
        return self._replace(modified_ns=-1, changed_ns=-1)


class _Covered(NamedTuple):
    """The part of a journal file that the index covers.

    ``stamp``: of the file when it was read. ``end``: checksum of the part's last bytes.
    """

    length: int
    stamp: _Stamp
    end: int

    def length_now(self, stream: BinaryIO, stamp: _Stamp) -> int:
        """Return how much of the file is still covered: all of the part, or nothing."""
        if stamp == self.stamp:
            return self.length
        may_have_grown = stamp.inode == self.stamp.inode and stamp.size > self.stamp.size
        return self.length if may_have_grown and _end_of(stream, self.length) == self.end else 0


class _Index(NamedTuple):
    """The covered files, and for each of their lines a key, in order, and a place.

    A key is the checksum of a digest: other lines may have the same. A place is the file's number
    and the line's offset in it.
    """

    files: dict[str, _Covered]
    keys: memoryview
    places: memoryview

    def places_of(self, keys: Set[int]) -> dict[str, list[tuple[int, int]]]:
        """Return offset and key of each line that has one of the keys, by file."""
        names = list(self.files)
        found: dict[str, list[tuple[int, int]]] = {}
        for key in keys:
            at = bisect_left(self.keys, key)
            while at < len(self.keys) and self.keys[at] == key:
                number, offset = divmod(self.places[at], 1 << _OFFSET_BITS)
                found.setdefault(names[number], []).append((offset, key))
                at += 1
        return found


_NOTHING = _Index({}, memoryview(array("I")), memoryview(array("Q")))


class _Extent(NamedTuple):
    """How many bytes of a journal file the index covers, and how many there are."""

    covered: int
    size: int


def lines_with(folder: Path, digests: Set[bytes]) -> Iterator[Line]:
    """Yield the lines of a journal that have one of the digests, in the order of files and lines.

    Args:
        folder: the journal's.
        digests: of requests.
    """
    if not digests:
        return
    index, extents = _up_to_date(folder)
    places = index.places_of({zlib.crc32(digest) for digest in digests})
    for path, extent in extents.items():
        start = extent.covered
        named = sorted(places.get(path.name, ())) if start else []
        if not named and start == extent.size:
            continue
        with path.open("rb") as stream:
            if not all(_key_at(stream, offset) == key for offset, key in named):
                start, named = 0, []
                with contextlib.suppress(OSError):
                    _index_of(folder).unlink()
            for offset, _ in named:
                stream.seek(offset)
                content = stream.readline()
                if content[DIGEST] in digests:
                    yield Line(path, offset, content)
            for offset, content in _lines_from(stream, start):
                if content[DIGEST] in digests:
                    yield Line(path, offset, content)


def line_number(path: Path, offset: int) -> int:
    """Return the number, from 1, of the line that begins at an offset."""
    with path.open("rb") as stream:
        return stream.read(offset).count(b"\n") + 1


def _index_of(folder: Path) -> Path:
    return folder / "index" / "lines"


def _up_to_date(folder: Path) -> tuple[_Index, dict[Path, _Extent]]:
    """Return the index, extended if much of the journal is not in it, and what it covers."""
    path = _index_of(folder)
    index, extents = _survey(folder)
    if _is_much_uncovered(extents):
        # Where it cannot be written (no locks, no permission, a full disk), the journal is read.
        with contextlib.suppress(OSError, UserError), locked(path.with_suffix(".lock")):
            index, extents = _survey(folder)  # another process may have extended it meanwhile
            if _is_much_uncovered(extents):
                _extend(path, index, extents)
                index, extents = _survey(folder)
    return index, extents


def _survey(folder: Path) -> tuple[_Index, dict[Path, _Extent]]:
    """Return the index, and how much it covers of each file of the journal."""
    index = _read(_index_of(folder))
    extents = {}
    for path in sorted(folder.glob("*.jsonl")):
        # Opened in any case: only then does a network file system look for what others appended.
        with path.open("rb", buffering=0) as stream:
            stamp = _Stamp.of(stream)
            covered = index.files.get(path.name)
            length = covered.length_now(stream, stamp) if covered else 0
            extents[path] = _Extent(length, stamp.size)
    return index, extents


def _is_much_uncovered(extents: Mapping[Path, _Extent]) -> bool:
    size = sum(extent.size for extent in extents.values())
    covered = sum(extent.covered for extent in extents.values())
    return size - covered > max(_LEAST_UNREAD, _LARGEST_SHARE * size)


def _extend(path: Path, index: _Index, files: Iterable[Path]) -> None:
    """Write an index of the files that takes over what an earlier one still covers of them."""
    import numpy as np  # as slow to import as a look-up is

    for left in path.parent.glob(".*.tmp"):  # of a process that was killed: nobody else writes now
        left.unlink()
    with atomic_path(path) as temporary, temporary.open("wb") as output:
        now_ns = _Stamp.of(output).modified_ns  # by the clock that stamps the journal's files
        former = {name: number for number, name in enumerate(index.files)}
        renumbered = np.full(len(former), -1, np.int64)
        covered: dict[str, _Covered] = {}
        keys, places = array("I"), array("Q")
        for number, file in enumerate(files):
            with file.open("rb") as stream:
                stamp = _Stamp.of(stream)
                before = index.files.get(file.name)
                end = before.length_now(stream, stamp) if before else 0
                if end:
                    renumbered[former[file.name]] = number
                for offset, content in _lines_from(stream, end):
                    # Zeros are what a network file system shows of bytes that are on their way.
                    if not content.endswith(b"\n") or b"\0" in content:
                        break
                    keys.append(zlib.crc32(content[DIGEST]))
                    places.append(number << _OFFSET_BITS | offset)
                    end = offset + len(content)
                covered[file.name] = _Covered(end, stamp.settled(now_ns), _end_of(stream, end))
        old = np.asarray(index.places).astype(np.int64)
        numbers = renumbered[old >> _OFFSET_BITS]
        kept = numbers >= 0
        old = numbers[kept] << _OFFSET_BITS | old[kept] & (1 << _OFFSET_BITS) - 1
        all_keys = np.concatenate([np.asarray(index.keys)[kept], np.asarray(keys)])
        all_places = np.concatenate([old.astype(np.uint64), np.asarray(places)])
        order = np.argsort(all_keys)
        _write(output, _Index(covered, all_keys[order].data, all_places[order].data))


def _write(output: BinaryIO, index: _Index) -> None:
    """Write an index: its files as a line of JSON, keys, places, and the checksum of all that."""
    header = {"format": _FORMAT, "lines": len(index.keys), "files": index.files}
    checksum = 0
    for block in (json.dumps(header).encode() + b"\n", index.keys, index.places):
        output.write(block)
        checksum = zlib.crc32(block, checksum)
    output.write(checksum.to_bytes(_CHECKSUM))


def _read(path: Path) -> _Index:
    """Return the index; an empty one if there is none, it is damaged, or of another version."""
    try:
        content = path.read_bytes()
        body, checksum = memoryview(content)[:-_CHECKSUM], content[-_CHECKSUM:]
        if zlib.crc32(body).to_bytes(_CHECKSUM) != checksum:
            return _NOTHING
        start = content.index(b"\n") + 1
        header = json.loads(content[:start])
        if header["format"] != _FORMAT:
            return _NOTHING
        files = {
            name: _Covered(length, _Stamp(*stamp), end)
            for name, (length, stamp, end) in header["files"].items()
        }
        middle = start + header["lines"] * array("I").itemsize
        return _Index(files, body[start:middle].cast("I"), body[middle:].cast("Q"))
    except (OSError, ValueError, KeyError, TypeError):
        return _NOTHING


def _lines_from(stream: BinaryIO, offset: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file from one of them on, with their offsets."""
    stream.seek(offset)
    for line in stream:
        yield offset, line
        offset += len(line)


def _key_at(stream: BinaryIO, offset: int) -> int:
    """Return the key of the line at an offset."""
    stream.seek(offset)
    return zlib.crc32(stream.read(DIGEST.stop)[DIGEST])


def _end_of(stream: BinaryIO, length: int) -> int:
    """Return the checksum of the last bytes of the first part of a file."""
    start = max(0, length - _END)
    stream.seek(start)
    return zlib.crc32(stream.read(length - start))
