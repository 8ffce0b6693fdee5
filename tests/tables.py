"""Tables for tests of plans and analyses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from workflow_scripts.plans.table import Labels, Table, Texts


def table(columns: Mapping[str, Sequence[object]]) -> Table:
    """A table of these values as texts; None is a missing one."""
    made = {name: _texts(values) for name, values in columns.items()}
    return Table(made, len(next(iter(columns.values()))))


def _texts(values: Sequence[object]) -> Texts:
    encoded = pa.array([None if each is None else str(each) for each in values], pa.string())
    encoded = encoded.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return Texts(Labels(encoded.dictionary), codes.astype(np.int64))


def sales(rows: int = 600) -> pd.DataFrame:
    """Orders of one and a half years: two groupings, two measures, some values missing."""
    rng = np.random.default_rng(5)
    units = rng.integers(1, 40, rows)
    revenue = np.round(units * rng.normal(12, 2, rows) + rng.normal(0, 30, rows), 2)
    frame = pd.DataFrame(
        {
            "date": pd.to_datetime("2023-01-05") + pd.to_timedelta(rng.integers(0, 540, rows), "D"),
            "region": rng.choice(["North", "South", "East", "West"], rows, p=[0.4, 0.3, 0.2, 0.1]),
            "channel": rng.choice(["web", "shop"], rows),
            "units": units,
            "revenue": revenue,
        }
    )
    frame.loc[rng.choice(rows, 25, replace=False), "revenue"] = np.nan
    frame.loc[rng.choice(rows, 10, replace=False), "region"] = None
    return frame


def of_frame(frame: pd.DataFrame) -> Table:
    """The same as the product's table."""
    return table(
        {
            str(name): [
                None if pd.isna(each) else str(each.date()) if hasattr(each, "date") else each
                for each in frame[name]
            ]
            for name in frame
        }
    )
