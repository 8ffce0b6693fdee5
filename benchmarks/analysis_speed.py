"""How long an analysis of 1,000,000 rows takes besides the model, beside pandas alone.

Run as ``python benchmarks/analysis_speed.py``. The profile and the report are the two commands
that read the table; pandas, from the test environment, reads it and describes all columns.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from workflow_scripts.analyses.drawing import figure
from workflow_scripts.analyses.reading import read_table
from workflow_scripts.analyses.running import run
from workflow_scripts.plans.profiling import profiled
from workflow_scripts.plans.templates import choose, read_templates, template_files

ROWS = 1_000_000
AIM_S = 60


def orders(path: Path) -> None:
    """Write a table of ten columns, four of them with a different value in almost each row."""
    rng = np.random.default_rng(1)
    seconds = rng.integers(0, 4 * 365 * 86400, ROWS)
    times = pd.Timestamp("2020-01-01") + pd.to_timedelta(seconds, "s")
    pd.DataFrame(
        {
            "id": np.arange(ROWS),
            "time": times.strftime("%Y-%m-%d %H:%M:%S"),
            "region": rng.choice(["North", "South", "East", "West"], ROWS),
            "shop": rng.choice([f"shop {number}" for number in range(200)], ROWS),
            "units": rng.integers(1, 50, ROWS),
            "price": np.round(rng.gamma(3, 7, ROWS), 2),
            "revenue": np.round(rng.normal(300, 90, ROWS), 4),
            "discount": np.round(rng.random(ROWS), 3),
            "note": [f"order {number * 7919 % ROWS}" for number in range(ROWS)],
            "member": rng.choice(["yes", "no"], ROWS),
        }
    ).to_csv(path, index=False)


def main() -> None:
    """Print a table."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "orders.csv"
        orders(path)
        start = time.perf_counter()
        profile = profiled(*read_table(path))
        profiled_s = time.perf_counter() - start
        plan = choose(
            read_templates(template_files()), profile, "time_series", "Revenue by region?"
        ).plan
        start = time.perf_counter()
        done = run(plan, plan, profile, read_table(path)[0])
        drawn = [figure(n, each) for n, each in enumerate(done, start=1) if each.is_drawn]
        run_s = time.perf_counter() - start
        start = time.perf_counter()
        pd.read_csv(path).describe(include="all")
        pandas_s = time.perf_counter() - start
    print(f"profile                    {profiled_s:6.1f} s")
    print(f"{len(done)} steps, {len(drawn)} charts        {run_s:6.1f} s")
    print(f"pandas, read and describe  {pandas_s:6.1f} s")
    assert profiled_s + run_s < AIM_S


if __name__ == "__main__":
    main()
