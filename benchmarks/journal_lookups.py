"""How long the look-ups of a trial take in a large journal, beside plain scans of all its files.

Run it from the repository's root: ``python benchmarks/journal_lookups.py``. It makes a journal of
a million answers in 500 files, those of a trial of 500 parts. Then it looks parts up, each in a
process of its own: the first one builds the index. It prints their CPU seconds and the most memory
that one of the processes held.

Starting processes takes long, so 50 parts are looked up, spread over the trial, and 5 are scanned
for. The CPU seconds of all parts are extrapolated: the first look-up, and the mean of the others
for each of the others. ``--look-ups 500`` measures them all. ``--scattered`` spreads the answers of
each part over all files.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing as mp
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

IDENTITY = {"engine": "openai_compatible", "model": "made up"}


class Measured(NamedTuple):
    """One look-up. Memory includes Python and the imported modules."""

    found: int
    cpu_s: float
    seconds: float
    peak_mib: float


LookUp = Callable[[Path, list[str]], int]


def digests_of(part: int, requests: int) -> list[str]:
    """Made-up digests of a part's requests."""
    numbers = range(part * requests, (part + 1) * requests)
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in numbers]


def write_journal(root: Path, parts: int, requests: int, files: int, *, scattered: bool) -> int:
    """Write the journal, and return its size in bytes."""
    from workflow_scripts.answers.journal import Journal, journal_folder
    from workflow_scripts.core.records import Completion, Usage

    folder = journal_folder(root, IDENTITY)
    journals = [Journal(folder, IDENTITY) for _ in range(files)]
    total = parts * requests
    for part in range(parts):
        for at, digest in enumerate(digests_of(part, requests)):
            number = part * requests + at
            answer = Completion(
                response_text=f"The passage says that it was number {number}. " * 4,
                finish_reason="stop",
                request_id=f"chatcmpl-{digest[:24]}",
                usage=Usage(prompt_tokens=300, completion_tokens=40, total_tokens=340),
                latency_s=0.5 + number % 1000 / 1000,
                at_once=64,
                served_by={"version": "0.11.0", "address": "http://127.0.0.1:8000"},
            )
            file = number % files if scattered else number * files // total
            journals[file].append(digest, answer)
    for journal in journals:
        journal.__exit__()
    return sum(path.stat().st_size for path in folder.glob("*.jsonl"))


def look_up(root: Path, digests: list[str]) -> int:
    """Look a part up, as `Part.look_up` does."""
    from workflow_scripts.answers.journal import Journal, journal_folder
    from workflow_scripts.answers.reuse import Answers, Wanted
    from workflow_scripts.backends.reuse import Reuse

    wanted = {digest: Wanted(32, None) for digest in digests}
    found = Answers(root, IDENTITY, Reuse()).find(wanted, claim=True)
    Journal(journal_folder(root, IDENTITY)).kept(wanted.keys() - found.keys())
    return len(found)


def plain_scan(root: Path, digests: list[str]) -> int:
    """Find and check the same answers in all lines of all files."""
    from workflow_scripts.answers.journal import answers_in, journal_folder

    wanted = {digest.encode() for digest in digests}
    found = set()
    for path in sorted(journal_folder(root, IDENTITY).glob("*.jsonl")):
        for _, answer in answers_in(path, wanted):
            assert answer.is_intact
            found.add(answer.digest)
    return len(found)


def measure(work: LookUp, root: Path, part: int, requests: int, done: Connection) -> None:
    """Measure one look-up in this process, without its start and imports."""
    import workflow_scripts.answers.part  # noqa: F401 - imported before the clock starts

    digests = digests_of(part, requests)
    started, cpu = time.perf_counter(), time.process_time()
    found = work(root, digests)
    cpu_s, seconds = time.process_time() - cpu, time.perf_counter() - started
    done.send(Measured(found, cpu_s, seconds, peak_memory_mib()))


def peak_memory_mib() -> float:
    """The most memory that this process ever held."""
    if sys.platform == "win32":
        import ctypes

        counters = (ctypes.c_size_t * 9)(72)
        kernel = ctypes.windll.kernel32
        kernel.K32GetProcessMemoryInfo(ctypes.c_void_p(-1), ctypes.byref(counters), 72)
        return counters[1] / 2**20
    import resource

    kib = 1024 if sys.platform == "darwin" else 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / kib / 1024


def in_own_process(work: LookUp, root: Path, part: int, requests: int) -> Measured:
    """Measure one look-up in a process of its own."""
    here, there = mp.Pipe()
    process = mp.get_context("spawn").Process(
        target=measure, args=(work, root, part, requests, there)
    )
    process.start()
    there.close()  # so that a process that fails is noticed here
    measured: Measured = here.recv()
    process.join()
    assert measured.found == requests, measured
    return measured


def show(name: str, measured: list[Measured]) -> None:
    """Print one line of the table."""
    cpu = [each.cpu_s for each in measured]
    print(
        f"{name:13} {len(measured):4} parts: {sum(cpu):6.1f} s of CPU, "
        f"median {statistics.median(cpu) * 1000:4.0f} ms, largest {max(cpu) * 1000:5.0f} ms, "
        f"peak {max(each.peak_mib for each in measured):3.0f} MiB"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--parts", type=int, default=500)
    parser.add_argument("--requests", type=int, default=2000, help="of each part")
    parser.add_argument("--files", type=int, default=500, help="of the journal")
    parser.add_argument("--scattered", action="store_true", help="each part's answers in all files")
    parser.add_argument("--look-ups", type=int, default=50, help="parts that are looked up")
    parser.add_argument("--scans", type=int, default=5, help="parts that are scanned for as well")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        size = write_journal(root, args.parts, args.requests, args.files, scattered=args.scattered)
        answers = args.parts * args.requests
        print(f"{answers:,} answers in {args.files} files, {size / 2**20:,.0f} MiB")
        first, *others = [
            in_own_process(look_up, root, number * args.parts // args.look_ups, args.requests)
            for number in range(args.look_ups)
        ]
        scans = [
            in_own_process(plain_scan, root, number * args.parts // args.scans, args.requests)
            for number in range(args.scans)
        ]
    show("first look-up", [first])
    show("others", others)
    show("plain scans", scans)
    indexed = first.cpu_s + (args.parts - 1) * statistics.fmean(each.cpu_s for each in others)
    plain = args.parts * statistics.fmean(each.cpu_s for each in scans)
    print(
        f"all {args.parts} parts: {indexed:.1f} s of CPU, by plain scans {plain:.1f} s "
        f"({plain / indexed:.0f} times)"
    )


if __name__ == "__main__":
    main()
