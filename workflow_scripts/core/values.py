"""The kinds of values that config keys take: names, temperatures, lists, addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from pathvalidate import ValidationError as IllegalName
from pathvalidate import sanitize_filename, validate_filename
from pydantic import AfterValidator, BeforeValidator, Field

from .records import SEPARATOR

Key = TypeVar("Key", bound=str)
Anything = TypeVar("Anything")


def path_name(text: str) -> str:
    """``text`` as part of a path: legal on every system, and nothing that a shell would read."""
    safe = re.sub("[^A-Za-z0-9._-]+", "-", text).strip("-. ")
    return str(sanitize_filename(safe, platform="universal"))


def _legal_name(name: str) -> str:
    """Refuse a name that cannot be part of a path on every system, or of our file names."""
    if not re.fullmatch("[A-Za-z0-9_][A-Za-z0-9_-]*", name):
        raise ValueError(
            f"{name!r} becomes part of file names, also on Windows: "
            "use letters, digits, '_' and '-' only, and no '-' at the start"
        )
    try:
        validate_filename(name, platform="universal")
    except IllegalName as error:
        raise ValueError(f"{name!r} is a reserved or too long file name on Windows") from error
    return name


def folder_name(*reserved: str) -> AfterValidator:
    """Refuse names under which Assay keeps files of its own in the same folder."""

    def check(name: str) -> str:
        if name.casefold() in reserved:
            raise ValueError(f"{name!r} is the name of one of Assay's own folders; choose another")
        return name

    return AfterValidator(check)


def _differ_in_more_than_case(named: Mapping[str, Anything]) -> Mapping[str, Anything]:
    """Refuse names that Windows and macOS would give the same folder."""
    spelled: dict[str, str] = {}
    for name in named:
        other = spelled.setdefault(name.casefold(), name)
        if other != name:
            raise ValueError(
                f"{other!r} and {name!r} differ in case alone, and Windows and macOS would keep "
                "them in one folder; rename one"
            )
    return named


def _without_repeats(values: list[Anything]) -> list[Anything]:
    for index, value in enumerate(values):
        if value in values[:index]:
            shown = value if isinstance(value, str | float) else f"entry {index + 1}"
            raise ValueError(f"{shown} stands in the list twice")
    return values


def _canonical_temp(value: object) -> str:
    """A temperature as the text that stands in paths and keys: ``0`` and ``"0.0"`` are ``0.0``."""
    try:
        temperature = float(str(value))
    except ValueError:
        raise ValueError(f"{value!r} is not a temperature") from None
    if not 0 <= temperature <= 2:
        raise ValueError(f"{value!r} is not a temperature between 0 and 2")
    return str(temperature + 0.0)  # not "-0.0"


def _some_text(text: str) -> str:
    if not text:
        raise ValueError("an empty text would end every answer before it begins")
    return text


def _one_key_per_temperature(values: object) -> object:
    """Refuse two spellings of one temperature as keys; one would silently replace the other."""
    if isinstance(values, dict):
        spelled: dict[str, object] = {}
        for key in values:
            other = spelled.setdefault(_canonical_temp(key), key)
            if other is not key:
                raise ValueError(f"{other!r} and {key!r} are the same temperature")
    return values


def _web_address(url: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]\S*", url, re.IGNORECASE):
        raise ValueError("expected an address with http:// or https:// at its start and no spaces")
    if "@" in urlsplit(url).netloc:
        raise ValueError("credentials belong into .netrc, not into the address")
    return url


def _local_path(path: str) -> str:
    if "://" in path:
        raise ValueError("this is an address; give it as url, with its sha256")
    return path


def _checksum(digits: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", digits.lower()):
        raise ValueError("a SHA-256 has 64 hexadecimal digits")
    return digits.lower()


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is blank")
    return text


def _legal_id(item_id: str) -> str:
    if any(character in item_id for character in (SEPARATOR, "\r", "\n")):
        raise ValueError(
            f"{item_id!r} contains '{SEPARATOR}' or a line break, "
            f"but '{SEPARATOR}' joins the parts of a custom_id; change the id"
        )
    return item_id


Name = Annotated[str, AfterValidator(_legal_name)]
"""A name the user chooses; it becomes part of paths."""

MetricKey = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
"""The name of a metric, which becomes a column."""

ExperimentName = Annotated[
    Name, folder_name("corpora", "downloads", "embeddings", "job_records", "journal", "logs")
]
BackendName = Annotated[
    Name,
    folder_name(
        *(
            "analyses",
            "benchmarks",
            "imported",
            "inputs",
            "items",
            "jobs",
            "logs",
            "questions",
            "retrievals",
            "settings",
        ),
        "spending",
    ),
]
PromptSetName = Annotated[Name, folder_name("jobs", "raw")]
"""Names of folders that lie beside folders of Assay's own."""

ByName = Annotated[dict[Key, Anything], AfterValidator(_differ_in_more_than_case)]
"""A mapping whose keys become names of folders."""

Distinct = Annotated[list[Anything], AfterValidator(_without_repeats)]
"""A list in which nothing stands twice."""

Temp = Annotated[str, BeforeValidator(_canonical_temp)]
"""A sampling temperature, kept as text so that it has one spelling in paths."""

Share = Annotated[float, Field(ge=0, le=1)]
"""A part of a whole."""

SamplesByTemp = Annotated[
    dict[Temp, Annotated[int, Field(ge=1)]], BeforeValidator(_one_key_per_temperature)
]

NotEmpty = Annotated[str, AfterValidator(_some_text)]

WebAddress = Annotated[str, AfterValidator(_web_address)]
"""Where a file can be downloaded."""

LocalPath = Annotated[str, AfterValidator(_local_path)]

Checksum = Annotated[str, AfterValidator(_checksum)]
"""A SHA-256 in hexadecimal digits, lower case."""

Text = Annotated[str, AfterValidator(_not_blank)]
"""A text that is not blank."""

ItemId = Annotated[Text, AfterValidator(_legal_id)]
"""An item id that fits into a custom_id."""
