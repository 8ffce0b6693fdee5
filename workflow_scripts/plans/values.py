"""Texts read as numbers and as dates."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Dates = npt.NDArray[np.datetime64]

MISSING = ("", "na", "n/a", "#n/a", "nan", "null", "none", "-", "?")
"""Texts that stand for no value, in small letters."""

_TOO_LARGE = 1e150

_AROUND = " \t\u00a0\u202f€$£%"
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_COMMA_GROUPS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
_POINT_GROUPS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+(,\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")

_FRACTION_AND_ZONE = (
    r"^\s*(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:\.\d+)?\s*(?:Z|[+-]\d\d:?\d\d)?\s*$"
)


class _Format(NamedTuple):
    """A way to write a date; ``day_first`` if its first two numbers could be taken for another."""

    pattern: str
    shape: str
    day_first: bool | None = None


_FORMATS = (
    _Format("%Y-%m-%d", r"^\d{4}-\d{1,2}-\d{1,2}$"),
    _Format("%Y-%m-%d %H:%M:%S", r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$"),
    _Format("%Y-%m-%d %H:%M", r"^\d{4}-\d\d-\d\d \d\d:\d\d$"),
    _Format("%Y-%m-%d", r"^\d{4}-\d{1,2}$"),
    _Format("%Y/%m/%d", r"^\d{4}/\d{1,2}/\d{1,2}$"),
    _Format("%d.%m.%Y", r"^\d{1,2}\.\d{1,2}\.\d{4}$"),
    _Format("%m/%d/%Y", r"^\d{1,2}/\d{1,2}/\d{4}$", day_first=False),
    _Format("%d/%m/%Y", r"^\d{1,2}/\d{1,2}/\d{4}$", day_first=True),
    _Format("%m-%d-%Y", r"^\d{1,2}-\d{1,2}-\d{4}$", day_first=False),
    _Format("%d-%m-%Y", r"^\d{1,2}-\d{1,2}-\d{4}$", day_first=True),
)


def missing_in(texts: Any) -> npt.NDArray[np.bool_]:
    """Return which texts of a pyarrow array stand for no value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lower = pc.utf8_lower(pc.utf8_trim_whitespace(texts))
    found: npt.NDArray[np.bool_] = _numpy(pc.is_in(lower, value_set=pa.array(MISSING)))
    return found


def numbers_in(texts: Any) -> Floats:
    """Return the numbers that the texts of a pyarrow array read as; NaN where one does not.

    Currency signs, per cent signs and separators between thousands are skipped. A comma is a
    decimal one if a text of the column cannot be read otherwise. Numbers of 1e150 and more are not
    read: squares and sums of them would be infinite.
    """
    import pyarrow as pa

    try:
        values: Floats = _numpy(texts.cast(pa.float64())).copy()
    except pa.ArrowInvalid:
        values = _numbers_one_by_one([each.strip(_AROUND) for each in texts.to_pylist()])
    values[~(np.abs(values) < _TOO_LARGE)] = np.nan
    return values


def dates_in(texts: Any, day_first: bool | None = None) -> Dates:
    """Return the dates that the texts of a pyarrow array read as, in seconds; NaT otherwise.

    Time zones are ignored. Of 03/04/2024, ``day_first`` says which is the day; ``None``: the month
    comes first, if all texts of the column can be read so.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return _seconds(texts.cast(pa.timestamp("s")))
    except pa.ArrowInvalid:
        pass  # most are not all in the form of ISO 8601
    texts = pc.replace_substring_regex(texts, pattern=_FRACTION_AND_ZONE, replacement=r"\1 \2")
    texts = pc.utf8_trim_whitespace(texts)
    found = np.full(len(texts), np.datetime64("NaT", "s"))
    is_day_first = day_first
    for each in _FORMATS:
        if each.day_first is not None and is_day_first is None:
            is_day_first = _is_day_first(texts)
        if each.day_first not in (None, is_day_first):
            continue
        rest = np.flatnonzero(np.isnat(found))
        if not len(rest):
            break
        found[rest] = _read(texts.take(rest), each)
    return found


def _read(texts: Any, form: _Format) -> Dates:
    import pyarrow as pa
    import pyarrow.compute as pc

    fits = pc.match_substring_regex(texts, pattern=form.shape)
    if not pc.any(fits).as_py():
        return np.full(len(texts), np.datetime64("NaT", "s"))
    if form.shape.endswith(r"\d{4}-\d{1,2}$"):  # a month without a day
        texts = pc.binary_join_element_wise(texts, "01", "-")
    fitting = pc.if_else(fits, texts, pa.scalar(None, pa.string()))
    read = pc.strptime(fitting, format=form.pattern, unit="s", error_is_null=True)
    return _seconds(read)


def _seconds(array: Any) -> Dates:
    return np.asarray(_numpy(array), dtype="datetime64[s]")


def _is_day_first(texts: Any) -> bool:
    """Whether some first number of dates with slashes or dashes cannot be a month."""
    import pyarrow.compute as pc

    parts = pc.extract_regex(texts, pattern=r"^(?P<first>\d{1,2})[/-]\d{1,2}[/-]\d{4}$")
    firsts = pc.struct_field(parts.drop_null(), "first")
    return bool(np.any(_numpy(firsts).astype(np.int64) > 12)) if len(firsts) else False


def _numbers_one_by_one(texts: list[str]) -> Floats:
    commas = any(
        _DECIMAL_COMMA.fullmatch(each) and not _COMMA_GROUPS.fullmatch(each) for each in texts
    )
    return np.array([_number(each, commas) for each in texts], dtype=np.float64)


def _number(text: str, decimal_commas: bool) -> float:
    if not text.isascii():
        return np.nan
    if decimal_commas:
        if _POINT_GROUPS.fullmatch(text):
            text = text.replace(".", "")
        if _DECIMAL_COMMA.fullmatch(text):
            text = text.replace(",", ".")
    elif _COMMA_GROUPS.fullmatch(text):
        text = text.replace(",", "")
    return float(text) if _PLAIN.fullmatch(text) else np.nan


def _numpy(array: Any) -> Any:
    return array.to_numpy(zero_copy_only=False)
