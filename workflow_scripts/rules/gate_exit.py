"""The exit codes of ``snakemake gate``: 0 passes, 1 worse, 2 cannot tell, 3 broken.

Snakemake itself knows 0 and 1. So a run with the target ``gate`` ends with `GateEnded` when its
files are there, and whatever else ends it is a broken run.

The files are made anew each time (`snakemake_command`): a run without a job to do has no end at
which the workflow could say something.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from ..comparisons.gate_report import BROKEN, GateReport
from ..core.errors import UserError
from ..core.files import read_settings
from ..export.gate_text import Places, headline, reason, what

TARGET = "gate"


class GateEnded(SystemExit):
    """The end of a run whose gate has decided."""


def forget(files: list[str]) -> None:
    """Delete what an earlier run decided, so that it is not taken for the outcome of this one.

    Raises:
        UserError: a file cannot be deleted.
    """
    for each in files:
        try:
            Path(each).unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"{each}: cannot be deleted ({error.strerror})") from error


def end(output: Path, markdown: str) -> None:
    """Print what a gate decided, and end the process with its exit code.

    Raises:
        GateEnded: always.
        UserError: gate.json is missing.
    """
    report = read_settings(output, GateReport)
    places = Places(report.checks)
    lines = ["", headline(report)]
    lines += [
        f"- {what(each)}, {places.of(each)}: {reason(each, report.power)}"
        for each in report.checks
        if each.decision != "passes"
    ]
    lines.append(f"Summary: {markdown}")
    # A name that the terminal cannot show must not cost the decision.
    encoding = sys.stdout.encoding or "utf-8"
    print("\n".join(lines).encode(encoding, "replace").decode(encoding), flush=True)
    raise GateEnded(report.exit_code)


def with_own_codes(run: Callable[[], None]) -> None:
    """Run Snakemake for the target ``gate``; a run that ends before the decision is broken.

    Raises:
        SystemExit: with the gate's exit code, `BROKEN`, or 0 for a run that decides nothing, such
            as a dry run.
    """
    try:
        run()
    except GateEnded:
        raise
    except SystemExit as ended:
        if not ended.code:
            raise
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except Exception:
        traceback.print_exc()
    else:
        return
    print(f"gate: broken (exit code {BROKEN}): the run ended before its decision", file=sys.stderr)
    raise SystemExit(BROKEN)
