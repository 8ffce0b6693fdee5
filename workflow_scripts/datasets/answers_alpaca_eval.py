"""Answers in files of AlpacaEval: ``model_outputs.json``, or its annotations with two outputs.

Reference: https://github.com/tatsu-lab/alpaca_eval. There are no gold answers in these files.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..core.recorded import RecordedAnswer
from .answer_documents import Fields, read_json_document
from .answer_formats import AnswerFormat
from .source import Source

_OUTPUTS = (("output", "generator"), ("output_1", "generator_1"), ("output_2", "generator_2"))


def read_alpaca_eval(source: Source) -> Iterator[RecordedAnswer]:
    """Yield the outputs of all generators; ``where`` chooses one by ``generator``."""
    records = read_json_document(source)
    if not isinstance(records, list):
        raise source.error("the document", "expected a list of outputs")
    for number, each in enumerate(records):
        place = f"[{number}]"
        record = Fields(source, place, each)
        found = [(name, record.get(generator)) for name, generator in _OUTPUTS
                 if record.get(name) is not None]  # fmt: skip
        if not found:
            raise source.error(place, "output: is missing")
        for name, generator in found:
            yield RecordedAnswer(
                place=place if name == "output" else f"{place}, {name}",
                question=record.text("instruction"),
                response_text=record.text(name),
                labels={"generator": str(generator), "dataset": str(record.get("dataset"))},
            )


ALPACA_EVAL = AnswerFormat(
    name="alpaca_eval",
    description="outputs of models, or annotations, of AlpacaEval",
    read=read_alpaca_eval,
)
