"""Look at everything that a run needs: what is ok, what is not, and what fixes it.

    python -m workflow_scripts.doctor [--configfile FILE] [--json]

Ends with 0 if a run can start, otherwise with 1.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from . import machine
from .findings import Finding, examine
from .project import Project

SCHEMA_VERSION = 1

_DEFAULT_CONFIG = Path("config/config.yaml")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what was found, and end the process."""
    parser = argparse.ArgumentParser(
        prog="snakemake doctor", description="What is ready for a run, what is not, what fixes it."
    )
    parser.add_argument("--configfile", nargs="+", type=Path, default=[_DEFAULT_CONFIG])
    parser.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(arguments)

    project = Project(args.configfile, args.config)
    found: list[tuple[str, Finding]] = []
    for name, probe in {**machine.probes(project.wants_gpu), **project.probes()}.items():
        for finding in examine(probe):
            found.append((name, finding))
            if not args.json:
                _show(name, finding)
    to_do = sum(finding.state == "to do" for _, finding in found)
    if args.json:
        findings = [{"probe": name, **dataclasses.asdict(each)} for name, each in found]
        report = {"schema_version": SCHEMA_VERSION, "ready": not to_do, "findings": findings}
        print(json.dumps(report, indent=2))
    elif to_do:
        print(f"\nto do before a run can start: {to_do}")
    else:
        print("\nA run can start: snakemake --cores 8 --resources gpu=1 results/report.html")
    sys.exit(1 if to_do else 0)


def _show(name: str, finding: Finding) -> None:
    line = f"{finding.state}: {name}: {finding.what}"
    if finding.fix:
        line += f"\n       fix: {finding.fix}"
    # A name that the terminal cannot show must not cost the findings.
    encoding = sys.stdout.encoding or "utf-8"
    print(line.encode(encoding, "replace").decode(encoding), flush=True)


if __name__ == "__main__":
    main()
