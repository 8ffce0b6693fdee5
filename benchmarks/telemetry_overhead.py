"""What telemetry costs: CPU time of the sampling thread, beside the same process without it.

Run as ``python benchmarks/telemetry_overhead.py [SECONDS]``. The process does nothing else, so all
of its CPU time is that of sampling. The aim is under 1% of one core.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from workflow_scripts.telemetry.sampler import EVERY_S, Sampler


def main() -> None:
    """Print CPU seconds with and without sampling, and their share of one core."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    before = time.process_time()
    time.sleep(seconds)
    idle = time.process_time() - before
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "telemetry.jsonl"
        with Sampler(path, is_here=True):
            before, start = time.process_time(), time.perf_counter()
            time.sleep(seconds)
            used, passed = time.process_time() - before, time.perf_counter() - start
        size, lines = path.stat().st_size, path.read_bytes().count(b"\n")
    print(f"without: {idle:.4f} CPU s in {seconds:g} s")
    print(f"with:    {used:.4f} CPU s in {passed:.1f} s: {100 * used / passed:.2f}% of one core")
    print(f"a sample every {EVERY_S:g} s: {lines} lines, {size / lines:.0f} bytes each")


if __name__ == "__main__":
    main()
