"""Checksums of files: remembered for large ones, and never those of another file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import pytest

from workflow_scripts.core import checksum
from workflow_scripts.core.checksum import file_sha256
from workflow_scripts.core.errors import UserError

KNOWN = Path("results/journal/model_checksums.json")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that counts as large and was written long ago."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checksum, "_LARGE", 4)
    later(monkeypatch)
    path = Path("model.gguf")
    path.write_bytes(b"model A")
    return path


def later(monkeypatch: pytest.MonkeyPatch, seconds: int = 60) -> None:
    now = time.time_ns() + seconds * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: now)


def sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def remembered() -> list[str]:
    return list(json.loads(KNOWN.read_text(encoding="utf-8")).values())


def test_a_large_file_is_read_once(model: Path) -> None:
    assert file_sha256(model) == sha256(b"model A")
    assert remembered() == [sha256(b"model A")]
    KNOWN.write_text(KNOWN.read_text(encoding="utf-8").replace(sha256(b"model A"), "kept"))
    assert file_sha256(model) == "kept"


def test_a_small_file_is_always_read(model: Path) -> None:
    model.write_bytes(b"A")
    assert file_sha256(model) == sha256(b"A")
    assert not KNOWN.exists()


def written_in_place(model: Path) -> None:
    model.write_bytes(b"model B")


def moved_over_it(model: Path) -> None:
    other = model.with_name("other")
    other.write_bytes(b"model B")
    shutil.copystat(model, other)
    other.replace(model)


@pytest.mark.parametrize("replace", [written_in_place, moved_over_it])
def test_another_file_of_the_same_size_and_date_is_read(model: Path, replace) -> None:
    file_sha256(model)
    before = model.stat()
    replace(model)
    os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file_sha256(model) == sha256(b"model B")


def test_a_file_that_may_still_change_is_not_remembered(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = max(model.stat().st_mtime_ns, model.stat().st_ctime_ns)
    monkeypatch.setattr(time, "time_ns", lambda: written + 10**9)
    assert file_sha256(model) == sha256(b"model A")
    assert not KNOWN.exists()


def test_a_file_dated_in_the_future_is_remembered(model: Path) -> None:
    """By a clock that was set back; else each job would read it again."""
    future = time.time() + 10**6
    os.utime(model, (future, future))
    file_sha256(model)
    assert remembered() == [sha256(b"model A")]


@pytest.mark.parametrize(
    "damaged", [b"", b"{", b"[]", b"7", b'{"a": 5}', b"\xff", b"\0", b"[" * 100_000]
)
def test_a_damaged_list_of_checksums_is_computed_anew(model: Path, damaged: bytes) -> None:
    KNOWN.parent.mkdir(parents=True)
    KNOWN.write_bytes(damaged)
    assert file_sha256(model) == sha256(b"model A")
    assert remembered() == [sha256(b"model A")]


def test_a_list_that_cannot_be_written_stops_nothing(model: Path) -> None:
    KNOWN.mkdir(parents=True)
    assert file_sha256(model) == sha256(b"model A")


def test_a_missing_file_is_named(model: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.gguf: no such file"):
        file_sha256(Path("absent.gguf"))
