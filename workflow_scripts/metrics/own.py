"""A user's own metric: a Python file with ``def score(item, response) -> float``.

    # scorers/brevity.py
    def score(item, response):
        return 1.0 if len(response.split()) <= 5 else 0.0

``item`` is the item's record (its fields are those of the items file), ``response`` the final
answer of one response (`workflow_scripts.metrics.final_answer`).
"""

from __future__ import annotations

import importlib.util
import math
import traceback
from collections.abc import Callable
from pathlib import Path

from ..core.errors import UserError
from ..core.records import Item
from .settings import OwnMetric

FUNCTION = "score"


class OwnScorer:
    """One metric's function, ready to be called.

    Args:
        name: the metric's name.
        metric: the metric.

    Raises:
        UserError: the file cannot be run, or has no such function.
    """

    def __init__(self, name: str, metric: OwnMetric) -> None:
        self.name = name
        self._metric = metric
        self._path = Path(metric.file)
        self._score = self._loaded()

    def __call__(self, item: Item, response: str) -> float:
        """Return the score of one response.

        Raises:
            UserError: the function failed or gave no number in range; names item and line.
        """
        where = f"metric {self.name!r}, item {item.key!r}"
        try:
            value = self._score(item, response)
        except Exception as error:  # whatever a user's code raises
            raise UserError(
                f"{self._path.as_posix()}, line {self._line(error)}: {where}: {_said(error)}"
            ) from error
        if isinstance(value, bool | int | float) and not math.isnan(value):
            number, most = float(value), 1.0 if self._metric.kind == "share" else math.inf
            if 0 <= number <= most and math.isfinite(number):
                return number
        limits = (
            "a share lies between 0 and 1 (write kind: amount for other numbers)"
            if self._metric.kind == "share"
            else "an amount is a number of 0 or more"
        )
        raise UserError(
            f"{self._path.as_posix()}: {where}: {FUNCTION}() gave {value!r}, and {limits}"
        )

    def _loaded(self) -> Callable[[Item, str], object]:
        spec = importlib.util.spec_from_file_location(f"own_metric_{self.name}", self._path)
        if spec is None or spec.loader is None:
            raise UserError(f"{self._path.as_posix()}: a metric is a Python file (….py)")
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:  # whatever a user's code raises
            line = self._line(error)
            raise UserError(f"{self._path.as_posix()}, line {line}: {_said(error)}") from error
        function = getattr(module, FUNCTION, None)
        if not callable(function):
            raise UserError(
                f"{self._path.as_posix()}: metric {self.name!r} needs a function "
                f"'def {FUNCTION}(item, response)' that returns a number; there is none"
            )
        return function  # type: ignore[no-any-return]

    def _line(self, error: Exception) -> int:
        """The line of the user's file that an error comes from."""
        if isinstance(error, SyntaxError):
            return error.lineno or 1
        frames = traceback.extract_tb(error.__traceback__)
        own = [each.lineno for each in frames if Path(each.filename) == self._path]
        return own[-1] or 1 if own else 1


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
