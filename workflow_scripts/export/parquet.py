"""Predictions and scores as Parquet, with the same rows, columns and order as the CSV files.

Where arms search, predictions also have the passages that their prompts were given. Run as
``python -m workflow_scripts.export.parquet --settings settings.json --predictions predictions.csv
--scores per_item_scores.csv --predictions-output predictions.parquet --scores-output
per_item_scores.parquet``.
"""

from __future__ import annotations

import argparse
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from ..core.errors import command
from ..core.files import atomic_path, read_csv, read_settings
from ..core.records import ItemScores, Prediction
from ..retrieval.numbered import numbered
from ..tasks.given import Given
from ..tasks.score_tables import score_columns
from ..verify.files import require_unchanged
from .settings import ParquetSettings

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1

ROWS_PER_GROUP = 20_000
CHARACTERS_PER_GROUP = 2**24
"""A row group ends with whichever is reached first; so memory is bounded, also by long answers."""


class GroundedPrediction(Prediction):
    """A response with the passages of its prompt, numbered as there; ``None`` without any."""

    passages: str | None


def grounded(predictions: Iterable[Prediction], given: Given) -> Iterator[GroundedPrediction]:
    """Yield predictions with the passages that they were given.

    Raises:
        UserError: an arm that searches has no passages for an item.
    """
    for row in predictions:
        passages = numbered(given.passages(row)) or None
        yield GroundedPrediction.model_construct(**dict(row), passages=passages)


def write_parquet(path: Path, name: str, model: type[BaseModel], rows: Iterable[BaseModel]) -> None:
    """Write records as Parquet: a column per field, row group by row group.

    The file's metadata has ``assay.schema``, the table's ``name`` with the version of its columns.

    Raises:
        UserError: the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = schema_of(name, model)
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for group in row_groups(rows):
            columns = [
                pa.array([getattr(row, field.name) for row in group], field.type)
                for field in schema
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def schema_of(name: str, model: type[BaseModel]) -> pa.Schema:
    """Text as string, counts as int64, scores as float64; nullable as in the record."""
    import pyarrow as pa

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    fields = []
    for name_of_field, field in model.model_fields.items():
        kind, nullable = _plain_type(field.annotation)
        fields.append(pa.field(name_of_field, kinds[kind], nullable))
    return pa.schema(fields, {"assay.schema": f"{name}/{SCHEMA_VERSION}"})


def _plain_type(annotation: Any) -> tuple[type, bool]:
    """The Python type behind an annotation, and whether it may be ``None``."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _plain_type(arguments[0])
    if origin is Literal:
        return type(arguments[0]), False
    if origin in (types.UnionType, Union):
        (plain,) = (each for each in arguments if each is not types.NoneType)
        return _plain_type(plain)[0], True
    return annotation, False


def row_groups(rows: Iterable[BaseModel]) -> Iterator[list[BaseModel]]:
    """The rows in groups of bounded size."""
    group: list[BaseModel] = []
    size = 0
    for row in rows:
        group.append(row)
        size += sum(len(value) for _, value in row if isinstance(value, str))
        if len(group) >= ROWS_PER_GROUP or size >= CHARACTERS_PER_GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group


@command
def main() -> None:
    """Write a trial's predictions and scores as Parquet."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="ParquetSettings as JSON")
    parser.add_argument("--predictions", type=Path, required=True, help="predictions.csv")
    parser.add_argument("--scores", type=Path, required=True, help="per_item_scores.csv")
    parser.add_argument("--predictions-output", type=Path, required=True)
    parser.add_argument("--scores-output", type=Path, required=True)
    arguments = parser.parse_args()
    require_unchanged([arguments.predictions, arguments.scores])
    retrievals = read_settings(arguments.settings, ParquetSettings).retrievals
    predictions = read_csv(arguments.predictions, Prediction)
    if retrievals:
        with_passages = grounded(predictions, Given(retrievals))
        output = arguments.predictions_output
        write_parquet(output, "predictions", GroundedPrediction, with_passages)
    else:
        write_parquet(arguments.predictions_output, "predictions", Prediction, predictions)
    record = ItemScores.with_metrics(score_columns(arguments.scores))
    scores = read_csv(arguments.scores, record)
    write_parquet(arguments.scores_output, "per_item_scores", record, scores)


if __name__ == "__main__":
    main()
