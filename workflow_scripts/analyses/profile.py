"""Write the profile of a table: types, cardinalities and roles of its columns."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..core.errors import command
from ..core.files import write_record
from ..core.seals import SealWriter, add_seal_argument
from ..plans.profiling import profiled
from .reading import read_table


@command
def main() -> None:
    """Write profile.json."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the table, a CSV file")
    parser.add_argument("--output", type=Path, required=True)
    add_seal_argument(parser)
    args = parser.parse_args()

    table, originals = read_table(args.data)
    write_record(args.output, profiled(table, originals))
    SealWriter(args.seal, []).seal(args.output)


if __name__ == "__main__":
    main()
