"""The files of a corpus, from a folder or an archive: each with how to read it, or why not."""

from __future__ import annotations

import hashlib
import os
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..core.errors import UserError
from ..core.files import unreadable
from .generated import FOREIGN, VERSION_CONTROL, generated_by_name
from .patterns import Ignored, Selection
from .settings import CorpusSettings

_FOREIGN = "generated: packages and compiled files of others"
_LINK_OUT = "a link that leads out of the corpus"
_LINK_TO_FOLDER = "a link to a folder"
_BROKEN_LINK = "a link that leads nowhere"
_IGNORED = "ignored by .gitignore"
_NO_UTF8 = "its name is not UTF-8"
_CONTROLS = "its name has a control character"
_DAMAGED = (EOFError, tarfile.TarError, zipfile.BadZipFile)


class SourceFile(NamedTuple):
    """One file: its path in the corpus, its size, and how to read it or why it is left out."""

    path: str
    size: int = 0
    read: Callable[[], bytes] = bytes
    left_out: str | None = None


def is_archive(path: Path) -> bool:
    """Whether a file is a .zip or .tar archive, by its content."""
    try:
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except EOFError:  # one that is cut off
        return True


def source_files(source: Path, settings: CorpusSettings) -> Iterator[SourceFile]:
    """Yield the files of a folder or an archive in no particular order.

    Those that the settings do not include are not yielded. The others are read while they are
    yielded, at the latest.

    Raises:
        UserError: the source cannot be read.
    """
    selection = Selection(settings.include, settings.exclude)
    try:
        if source.is_dir():
            found = _of_folder(source, selection)
        else:
            found = (f for f in _of_archive(source) if f.left_out or f.path in selection)
        for file in found:
            yield _checked(file, settings)
    except _DAMAGED as error:
        raise UserError(
            f"{source}: the archive is damaged or cut off ({error}); get a fresh copy of it"
        ) from error
    except OSError as error:
        raise unreadable(Path(error.filename or source), error) from error


def folder_digest(folder: Path, settings: CorpusSettings) -> str:
    """Return a digest of what a corpus takes from a folder: paths, contents, what is left out."""
    digest = hashlib.sha256()
    for file in sorted(source_files(folder, settings), key=lambda file: file.path):
        content = file.left_out or hashlib.sha256(file.read()).hexdigest()
        digest.update(f"{file.path}\0{content}\0".encode())
    return digest.hexdigest()


def _checked(file: SourceFile, settings: CorpusSettings) -> SourceFile:
    reason = file.left_out or generated_by_name(file.path)
    path = file.path
    if reason is None and file.size > settings.max_bytes:
        reason = f"larger than max_bytes ({file.size:,} bytes)"
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        path, reason = path.encode("utf-8", "backslashreplace").decode(), _NO_UTF8
    if not path.isprintable() and any(ord(each) < 0x20 or ord(each) == 0x7F for each in path):
        path, reason = path.encode("unicode_escape").decode(), _CONTROLS
    return file._replace(path=path, left_out=reason)


def _of_folder(root: Path, selection: Selection) -> Iterator[SourceFile]:
    place = _long(root)
    inside = Path(os.path.realpath(place))
    ignored = Ignored(root)
    waiting = [("", place)]
    while waiting:
        folder, at = waiting.pop()
        ignored.enter(folder, Path(at))
        with os.scandir(at) as entries:
            for entry in entries:
                path = folder + entry.name
                if entry.name in VERSION_CONTROL:
                    continue
                if _is_link(entry):
                    if path in selection:
                        yield _linked(path, entry, inside)
                elif entry.is_dir():
                    path += "/"
                    if path in ignored:
                        yield SourceFile(path, left_out=_IGNORED)
                    elif entry.name in FOREIGN or Path(entry.path, "pyvenv.cfg").exists():
                        yield SourceFile(path, left_out=_FOREIGN)
                    else:
                        waiting.append((path, entry.path))
                elif path in selection:
                    yield _file(path, entry, ignored)


def _file(path: str, entry: os.DirEntry[str], ignored: Ignored) -> SourceFile:
    if path in ignored:
        return SourceFile(path, left_out=_IGNORED)
    if not entry.is_file():
        return SourceFile(path, left_out="not a file")
    return SourceFile(path, entry.stat().st_size, Path(entry.path).read_bytes)


def _is_link(entry: os.DirEntry[str]) -> bool:
    """Whether an entry leads elsewhere; on Windows, a junction does so too."""
    if sys.platform == "win32":
        return entry.is_symlink() or entry.stat(follow_symlinks=False).st_reparse_tag != 0
    return entry.is_symlink()


def _linked(path: str, entry: os.DirEntry[str], inside: Path) -> SourceFile:
    target = Path(os.path.realpath(entry.path))
    if not target.exists():
        return SourceFile(path, left_out=_BROKEN_LINK)
    if not target.is_relative_to(inside):
        return SourceFile(path, left_out=_LINK_OUT)
    if target.is_dir():
        return SourceFile(path, left_out=_LINK_TO_FOLDER)
    return SourceFile(path, target.stat().st_size, target.read_bytes)


def _long(root: Path) -> str:
    """The path of a folder in which Windows, too, finds paths of over 260 characters."""
    if sys.platform == "win32":
        return "\\\\?\\" + str(root.resolve())
    return str(root)


def _of_archive(path: Path) -> Iterator[SourceFile]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if not entry.is_dir():
                    yield _of_zip(archive, entry)
        return
    with tarfile.open(path) as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if member.isfile():
                stream = tar.extractfile(member)
                if stream is not None:
                    yield SourceFile(name, member.size, stream.read)
            elif not member.isdir():
                yield SourceFile(name, left_out="a link" if member.issym() else "not a file")


def _of_zip(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> SourceFile:
    if (entry.external_attr >> 16) & 0o170000 == 0o120000:
        return SourceFile(entry.filename, left_out="a link")
    if entry.flag_bits & 1:
        return SourceFile(entry.filename, left_out="encrypted")
    return SourceFile(entry.filename, entry.file_size, lambda: archive.read(entry))
