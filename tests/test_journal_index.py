"""A look-up by the index of a journal finds what a scan finds, whatever happens to the files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from answering import IDENTITY, completion
from conftest import REPOSITORY, clean_environment
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.answers import journal_index
from workflow_scripts.answers.journal import Journal
from workflow_scripts.comparisons.registration import journal_files
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.records import Completion

DIGESTS = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(4)]


def counts(_: str, answer: Completion) -> bool:
    return "short" not in answer.response_text


class Found(NamedTuple):
    """What a look-up finds: answers, kept replies, or why it refuses."""

    answers: dict[str, tuple[str, int]] | str
    replies: dict[str, tuple[str, int]] | str


def looked_up(folder: Path, digests: list[str]) -> Found:
    def outcome(places: Any) -> dict[str, tuple[str, int]] | str:
        try:
            found = places()
        except UserError as error:
            return str(error).split(": ")[0]
        return {digest: (place.path.name, place.offset) for digest, place in found.items()}

    journal = Journal(folder)
    return Found(
        outcome(lambda: journal.find(digests, counts)), outcome(lambda: journal.kept(digests))
    )


def scanned(folder: Path, digests: list[str]) -> Found:
    """The same, from all lines of all files, as the journal's docstring describes them."""

    def lines() -> Iterator[tuple[str, Path, int, int, dict[str, Any]]]:
        for path in sorted(folder.glob("*.jsonl")):
            offset = 0
            for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
                for digest in digests:
                    if line[11:75] == digest.encode():
                        with contextlib.suppress(ValueError):
                            yield digest, path, number, offset, json.loads(line)
                offset += len(line) + 1

    def answers() -> dict[str, tuple[str, int]] | str:
        found: dict[str, tuple[str, int]] = {}
        for digest, path, number, offset, record in lines():
            if "completion" not in record:
                continue
            try:
                answer = Completion.model_validate(record["completion"])
            except ValueError:
                continue
            if record.get("checksum") not in (None, answer.checksum(digest)):
                return f"{path}, line {number}"
            if counts(digest, answer):
                found.setdefault(digest, (path.name, offset))
        return found

    def replies() -> dict[str, tuple[str, int]] | str:
        found: dict[str, tuple[str, int]] = {}
        for digest, path, number, offset, record in lines():
            if list(record) != ["digest", "unread", "latency_s", "checksum"]:
                continue
            text = f"{digest}\n{record['latency_s']}\n{record['unread']}"
            if record["checksum"] != hashlib.sha256(text.encode()).hexdigest():
                return f"{path}, line {number}"
            found[digest] = (path.name, offset)
        return found

    return Found(answers(), replies())


class Folder:
    """A journal's folder, and what people and processes do to it.

    Each file has the times and the inode that a file system would give it, by a clock that only
    moves when it is told.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 10**18
        self.stamps: dict[str, tuple[int, int, int]] = {}
        self.grows: dict[str, bool] = {}
        self.earlier: list[tuple[str, bytes, int]] = []
        self.indices: list[bytes] = []
        self.inodes = 0

    def stamp(self, stream: Any) -> journal_index._Stamp:
        size = Path(stream.name).stat().st_size
        inode, *times = self.stamps.get(Path(stream.name).name, (0, self.now, self.now))
        return journal_index._Stamp(inode, size, *times)

    def file(self, number: int) -> Path | None:
        paths = sorted(self.path.glob("*.jsonl"))
        return paths[number % len(paths)] if paths else None

    def changed(self, path: Path, *, modified: int | None = None, is_new: bool = False) -> None:
        self.inodes += is_new
        inode = self.inodes if is_new else self.stamps[path.name][0]
        modified = self.now if modified is None else modified
        self.stamps[path.name] = (inode, modified, self.now)

    # What happens

    def wait(self) -> None:
        self.now += 10 * 10**9

    def append(self, file: int, digest: int, text: str, *, kept: bool, checksum: bool) -> None:
        """An answer or a reply arrives, in a new file or in one whose process lives."""
        with Journal(self.path, IDENTITY if checksum else None) as journal:
            if kept:
                place = journal.keep(DIGESTS[digest], text, 0.5)
            else:
                place = journal.append(DIGESTS[digest], completion(text))
        content = place.path.read_bytes()[place.offset :]
        place.path.unlink()
        if not checksum and not kept:  # as versions before 0.2 wrote it
            record = json.loads(content)
            del record["checksum"]
            content = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        self.write(file, content)

    def answer(self, file: int, digest: int) -> None:
        self.append(file, digest, f"Answer {digest}", kept=False, checksum=True)

    def write(self, file: int, content: bytes) -> None:
        """A process appends something."""
        path = self.path / f"{file}.jsonl"
        is_new = not path.exists()
        if is_new or self.grows[path.name]:
            with path.open("ab") as stream:
                stream.write(content)
            self.grows[path.name] = True
            self.changed(path, is_new=is_new)

    def edit(self, file: int, start: float, length: int, content: bytes) -> None:
        """Somebody edits a file in place. Its process is gone, or it must be gone by then."""
        if path := self.file(file):
            self.remember(path)
            old = path.read_bytes()
            at = int(start * len(old))
            path.write_bytes(old[:at] + content + old[at + length :])
            self.grows[path.name] = False
            self.changed(path)

    def swap(self, file: int, one: int, other: int) -> None:
        """Somebody gives two requests each other's answers."""
        if path := self.file(file):
            self.remember(path)
            first, second = (DIGESTS[each].encode() for each in (one, other))
            content = path.read_bytes().replace(first, b"\0" * 64)
            path.write_bytes(content.replace(second, first).replace(b"\0" * 64, second))
            self.grows[path.name] = False
            self.changed(path)

    def cut(self, file: int, length: int) -> None:
        """A file loses its end; what is appended later begins there."""
        if path := self.file(file):
            self.remember(path)
            path.write_bytes(path.read_bytes()[:-length])
            self.grows[path.name] = False
            self.changed(path)

    def remember(self, path: Path) -> None:
        self.earlier.append((path.name, path.read_bytes(), self.stamps[path.name][1]))

    def replace(self, earlier: int, name: str | None, *, keep_time: bool) -> None:
        """An earlier version of a file comes back, or lands at another file's name."""
        if self.earlier:
            own_name, content, modified = self.earlier[earlier % len(self.earlier)]
            path = self.path / (name or own_name)
            path.write_bytes(content)
            self.grows[path.name] = True
            self.changed(path, modified=modified if keep_time else None, is_new=True)

    def remove(self, file: int) -> None:
        if path := self.file(file):
            self.remember(path)
            path.unlink()

    @property
    def index(self) -> Path:
        return self.path / "index" / "lines"

    def remove_index(self) -> None:
        if self.index.exists():
            self.indices.append(self.index.read_bytes())
            shutil.rmtree(self.index.parent)

    def replace_index(self, number: int) -> None:
        """A slow process writes the index of what it saw a while ago."""
        if self.index.exists():
            self.indices.append(self.index.read_bytes())
        if self.indices:
            self.index.parent.mkdir(exist_ok=True)
            self.index.write_bytes(self.indices[number % len(self.indices)])

    def damage_index(self, start: float, length: int, content: bytes) -> None:
        if self.index.exists():
            old = self.index.read_bytes()
            at = int(start * len(old))
            self.index.write_bytes(old[:at] + content + old[at + length :])


FILE = st.integers(0, 2)
DIGEST = st.integers(0, len(DIGESTS) - 1)
TEXT = st.sampled_from(["Oslo", "Rome", "short", "Zürich\n", "a long answer " * 40])
SHARE = st.floats(0, 1)
BYTES = st.sampled_from([b"", b"x", b"\n", b"\0\0", b'"}\n{"digest":"'])

APPEND = st.tuples(st.just("append"), FILE, DIGEST, TEXT, st.just(False), st.just(True))
EVENTS = st.one_of(
    APPEND,
    st.tuples(st.just("append"), FILE, DIGEST, TEXT, st.booleans(), st.booleans()),
    st.tuples(st.just("write"), FILE, st.sampled_from([b'{"digest":"', b"\n", b"\0" * 30])),
    st.tuples(st.just("edit"), FILE, SHARE, st.integers(0, 3), BYTES),
    st.tuples(st.just("swap"), FILE, DIGEST, DIGEST),
    st.tuples(st.just("cut"), FILE, st.integers(1, 400)),
    st.tuples(
        st.just("replace"), FILE, st.sampled_from([None, "1.jsonl", "9.jsonl"]), st.booleans()
    ),
    st.tuples(st.just("remove"), FILE),
    st.tuples(st.just("remove_index")),
    st.tuples(st.just("replace_index"), FILE),
    st.tuples(st.just("damage_index"), SHARE, st.integers(0, 3), BYTES),
)
KEYWORDS = {"append": ["kept", "checksum"], "replace": ["keep_time"]}
MOSTLY = st.integers(0, 3).map(bool)


@given(
    st.lists(APPEND, min_size=2, max_size=4),
    st.lists(st.tuples(EVENTS, MOSTLY, MOSTLY), max_size=15),
    st.sampled_from([0, 0, 1000]),
    st.sets(DIGEST, min_size=1),
)
def test_a_look_up_equals_a_scan_whatever_happened(
    tmp_path_factory: pytest.TempPathFactory,
    answers: list[tuple[Any, ...]],
    events: list[tuple[tuple[Any, ...], bool, bool]],
    least_unread: int,
    wanted: set[int],
) -> None:
    folder = Folder(tmp_path_factory.mktemp("journal"))
    digests = [DIGESTS[each] for each in sorted(wanted)]
    before = [(answer, False, False) for answer in answers]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal_index, "_LEAST_UNREAD", least_unread)
        patch.setattr(journal_index, "_LARGEST_SHARE", 0)
        patch.setattr(journal_index._Stamp, "of", folder.stamp)
        patch.setattr(os, "fsync", lambda _: None)  # nobody pulls the plug
        for (name, *arguments), time_passes, is_looked_up in [*before, *events]:
            keywords = KEYWORDS.get(name, [])
            split = len(arguments) - len(keywords)
            named = dict(zip(keywords, arguments[split:], strict=True))
            if time_passes:
                folder.wait()
            getattr(folder, name)(*arguments[:split], **named)
            if is_looked_up:
                folder.now += 5 * 10**9 * time_passes
                assert looked_up(folder.path, digests) == scanned(folder.path, digests)
        for _ in range(2):
            folder.wait()
            assert looked_up(folder.path, DIGESTS) == scanned(folder.path, DIGESTS)
        assert not list(folder.path.rglob("*.tmp"))


# Each reason not to believe the index


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A journal that is indexed at each look-up; its file 0 has the answers 0 and 1."""
    made = Folder(tmp_path / "journal/model")
    monkeypatch.setattr(journal_index, "_LEAST_UNREAD", 0)
    monkeypatch.setattr(journal_index, "_LARGEST_SHARE", 0)
    monkeypatch.setattr(journal_index, "_END", 100)  # less than a line
    monkeypatch.setattr(journal_index._Stamp, "of", made.stamp)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    made.answer(0, 0)
    made.answer(0, 1)
    return made


def agree(folder: Folder, *numbers: int) -> Found:
    """A look-up and a scan a while later, which agree."""
    folder.wait()
    digests = [DIGESTS[each] for each in numbers]
    found = looked_up(folder.path, digests)
    assert found == scanned(folder.path, digests)
    return found


def places(*found: tuple[int, str, int]) -> Found:
    return Found({DIGESTS[number]: (name, offset) for number, name, offset in found}, {})


def test_lines_that_are_covered_are_not_read(folder: Folder, monkeypatch: Any) -> None:
    agree(folder, 0)
    read: list[bytes] = []
    lines_from = journal_index._lines_from

    def recorded(stream: Any, offset: int) -> Iterator[tuple[int, bytes]]:
        for at, line in lines_from(stream, offset):
            read.append(line)
            yield at, line

    monkeypatch.setattr(journal_index, "_lines_from", recorded)
    monkeypatch.setattr(journal_index, "_LEAST_UNREAD", 10_000)
    size = (folder.path / "0.jsonl").stat().st_size
    assert agree(folder, 0) == places((0, "0.jsonl", 0))
    assert read == []
    folder.answer(0, 2)  # the file grows
    folder.answer(1, 3)
    assert agree(folder, 0, 2, 3) == places(
        (0, "0.jsonl", 0), (2, "0.jsonl", size), (3, "1.jsonl", 0)
    )
    assert [line[journal_index.DIGEST].decode() for line in read] == 2 * DIGESTS[2:4]


def test_an_edit_right_after_the_file_was_read(folder: Folder) -> None:
    assert looked_up(folder.path, DIGESTS[:1]) == scanned(folder.path, DIGESTS[:1])
    folder.swap(0, 0, 2)  # the file's size and times stay the same
    assert agree(folder, 2).answers == f"{folder.path / '0.jsonl'}, line 1"


@pytest.mark.parametrize("keeps_time", [False, True])
def test_an_edit_that_keeps_the_size(folder: Folder, keeps_time: bool) -> None:
    agree(folder, 0)
    written = folder.stamps["0.jsonl"][1]
    folder.wait()
    folder.swap(0, 0, 2)
    folder.changed(folder.path / "0.jsonl", modified=written if keeps_time else None)
    assert agree(folder, 2).answers == f"{folder.path / '0.jsonl'}, line 1"


def test_another_longer_file_in_place_of_a_file(folder: Folder) -> None:
    """Its covered part has the same end."""
    for number in (2, 1, 3):
        folder.answer(1, number)
    agree(folder, 0)
    folder.remember(folder.path / "1.jsonl")
    folder.replace(0, "0.jsonl", keep_time=False)
    assert agree(folder, 2) == places((2, "0.jsonl", 0))


def test_another_longer_content_of_a_file(folder: Folder) -> None:
    agree(folder, 0)
    folder.wait()
    for number in (2, 3, 0):
        folder.answer(1, number)
    (folder.path / "0.jsonl").write_bytes((folder.path / "1.jsonl").read_bytes())
    folder.changed(folder.path / "0.jsonl")
    assert agree(folder, 2) == places((2, "0.jsonl", 0))


def test_a_line_that_is_not_the_one_that_the_index_names(folder: Folder) -> None:
    """An edit of a file that grows, which neither its size and times nor its end show."""
    agree(folder, 0)
    folder.swap(0, 0, 1)
    folder.grows["0.jsonl"] = True
    folder.answer(0, 2)
    folder.answer(0, 3)
    assert agree(folder, 0).answers == f"{folder.path / '0.jsonl'}, line 2"


def test_several_answers_to_a_request(folder: Folder) -> None:
    for text in ("short", "long", "Oslo"):
        folder.append(2, 3, text, kept=False, checksum=True)
    for text in ("a reply", "another reply"):
        folder.append(3, 3, text, kept=True, checksum=True)
    (first, *_), replies = (
        (folder.path / name).read_bytes().splitlines(keepends=True)
        for name in ("2.jsonl", "3.jsonl")
    )
    expected = Found(
        {DIGESTS[3]: ("2.jsonl", len(first))}, {DIGESTS[3]: ("3.jsonl", len(replies[0]))}
    )
    for _ in range(2):
        assert agree(folder, 3) == expected


def test_bytes_that_a_network_file_system_shows_late(folder: Folder) -> None:
    path = folder.path / "0.jsonl"
    first, second = path.read_bytes().splitlines(keepends=True)
    folder.answer(0, 2)
    third = path.read_bytes()[len(first + second) :]
    path.write_bytes(first + b"\0" * len(second) + third)
    agree(folder, 0, 1, 2)
    path.write_bytes(first + second + third)
    folder.answer(0, 3)
    assert agree(folder, 1) == places((1, "0.jsonl", len(first)))


def test_a_line_of_which_only_the_beginning_was_there(folder: Folder) -> None:
    path = folder.path / "0.jsonl"
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[:5])
    agree(folder, 0, 1)
    folder.write(0, second[5:])
    assert agree(folder, 1) == places((1, "0.jsonl", len(first)))


def test_a_damaged_index(folder: Folder) -> None:
    agree(folder, 0)
    agree(folder, 0)
    whole = folder.index.read_bytes()
    for at in range(len(whole)):
        folder.index.write_bytes(whole[:at] + bytes([whole[at] ^ 0x11]) + whole[at + 1 :])
        agree(folder, 0, 1)
        folder.index.write_bytes(whole[:at])
        agree(folder, 0, 1)


def test_a_folder_in_which_no_index_can_be_written(folder: Folder) -> None:
    folder.index.parent.write_bytes(b"")
    size = (folder.path / "0.jsonl").read_bytes().index(b"\n") + 1
    assert agree(folder, 0, 1) == places((0, "0.jsonl", 0), (1, "0.jsonl", size))


def test_the_files_of_the_first_answers_are_found_by_the_index(folder: Folder) -> None:
    folder.answer(1, 2)
    folder.wait()
    for _ in range(2):
        assert journal_files(DIGESTS[:2], folder.path.parent) == {folder.path / "0.jsonl"}
        assert journal_files(DIGESTS[1:], folder.path.parent) == {
            folder.path / f"{name}.jsonl" for name in "01"
        }


# Processes

_INDEXING = """
import sys
from pathlib import Path
from workflow_scripts.answers import journal_index
from workflow_scripts.answers.journal import Journal

journal_index._LEAST_UNREAD = journal_index._LARGEST_SHARE = 0
journal_index._SETTLED_NS = -1
"""

_KILLED = """
def stop():
    print("here", flush=True)
    sys.stdin.read()

write = journal_index._write

def half(output, index):
    write(output, index)
    output.seek(output.tell() // 2)
    output.truncate()
    output.flush()
    stop()

def whole(output, index):
    write(output, index)
    output.flush()
    stop()

journal_index._write = {"half": half, "whole": whole}[sys.argv[2]]
Journal(Path(sys.argv[1])).find(["0" * 64])
"""

_WORKING = """
import hashlib, random

name = sys.argv[2]
draw = random.Random(name)
folder = Path(sys.argv[1])
own = []
from answering import completion

with Journal(folder) as journal:
    for number in range(10):
        own.append(hashlib.sha256(f"{name} {number}".encode()).hexdigest())
        place = journal.append(own[-1], completion(f"{name} {number}"))
        if draw.random() < 0.1:
            (folder / "index/lines").unlink(missing_ok=True)
        found = Journal(folder).find(own)
        assert found.keys() == set(own), number
        assert found[own[-1]] == place
        assert journal.read(found[own[0]]).response_text == f"{name} 0"
"""


def start(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _INDEXING + script, *arguments],
        cwd=REPOSITORY, env=clean_environment() | {"PYTHONPATH": str(REPOSITORY / "tests")},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize("written", ["half", "whole"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_process_that_is_killed_while_it_writes_the_index(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, written: str, is_first: bool
) -> None:
    if not is_first:
        agree(folder, 0)
        folder.answer(0, 2)
    before = folder.index.read_bytes() if folder.index.exists() else None
    with start(_KILLED, str(folder.path), written) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"here"
        process.kill()
    assert (folder.index.read_bytes() if folder.index.exists() else None) == before
    assert len(list(folder.path.rglob("*.tmp"))) == 1
    agree(folder, 0, 1, 2, 3)
    assert list(folder.path.rglob("*.tmp")) == []
    assert folder.index.read_bytes() != before


def test_processes_that_append_and_look_up_at_once(tmp_path: Path) -> None:
    processes = [start(_WORKING, str(tmp_path), name) for name in "abc"]
    assert [process.wait() for process in processes] == [0, 0, 0]
    for process in processes:
        process.communicate()
    wanted = [
        hashlib.sha256(f"{name} {number}".encode()).hexdigest()
        for name in "abc"
        for number in range(10)
    ]
    assert Journal(tmp_path).find(wanted).keys() == set(wanted)
