"""Prompts of ready-made jobs: a template and the JSON Schema of the reply, editable as files.

prompts/jobs/{name}.md and {name}.schema.json are used where they exist. The same files in this
package take their place where one is missing. A template holds each of its fields once, in braces;
``{{`` and ``}}`` are literal braces.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import read_json
from ..prompts import read_prompt

log = logging.getLogger(__name__)

FOLDER = Path("prompts/jobs")
"""Where people edit them."""

FIELDS: Mapping[str, frozenset[str]] = {
    "intent": frozenset({"question", "profile", "schema"}),
    "adapt_plan": frozenset({"question", "profile", "plan", "tools", "schema"}),
    "repair_plan": frozenset({"problems", "steps", "columns", "tools", "schema"}),
    "rewrite": frozenset({"question"}),
}
"""The fields of each job's template."""

_OWN = Path(__file__).parent

_BRACE = re.compile(r"\{\{|\}\}|\{(\w+)\}|[{}]")


@dataclass(frozen=True)
class JobText:
    """One text of a job. ``source``: its file, or that it is the package's own, for readers."""

    text: str
    source: str

    @property
    def digest(self) -> str:
        """The SHA-256 of the text (64 hex digits)."""
        return hashlib.sha256(self.text.encode("utf-8")).hexdigest()

    @property
    def value(self) -> dict[str, Any]:
        """The object of a text in JSON, its keys in the order of the text."""
        value: dict[str, Any] = json.loads(self.text)
        return value

    def __str__(self) -> str:
        return f"{self.source}, SHA-256 {self.digest}"


@dataclass(frozen=True)
class JobPrompt:
    """A job's template and the schema of its reply."""

    name: str
    template: JobText
    schema_text: JobText

    @property
    def schema(self) -> dict[str, Any]:
        """The schema, with its properties in the order of the text."""
        return self.schema_text.value

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the prompt: the template with its fields filled in."""
        return fill(self.template.text, values)


def read_job(name: str, folder: Path = FOLDER) -> JobPrompt:
    """Read a job's template and schema, and log which texts they are.

    Raises:
        UserError: a file cannot be read; a field is missing, repeated or unknown; a brace is
            single; the schema is no JSON object.
    """
    template = read_template(name, folder / f"{name}.md")
    schema_text = read_schema(schema_path(name, folder))
    log.info("job %s: the template is %s", name, template)
    log.info("job %s: the schema is %s", name, schema_text)
    return JobPrompt(name, template, schema_text)


def read_template(name: str, path: Path) -> JobText:
    """Return the template of a job in a file, or the package's own if the file is missing.

    Raises:
        UserError: the file cannot be read; a field is missing, repeated or unknown; a brace is
            single.
    """
    own = not path.is_file()
    found = JobText(read_prompt(_OWN / f"{name}.md" if own else path), _source(path, own=own))
    check_fields(path, found.text, FIELDS[name])
    return found


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return a checked template with its fields replaced, and ``{{`` and ``}}`` by single braces.

    A paragraph with a field that stands for nothing is left out. Braces in the values stay as they
    are.
    """

    def filled(paragraph: str) -> str:
        return _BRACE.sub(
            lambda found: values[found[1]] if found[1] is not None else found[0][0], paragraph
        )

    return "\n\n".join(
        filled(paragraph)
        for paragraph in template.split("\n\n")
        if all(values[found[1]] for found in _BRACE.finditer(paragraph) if found[1] is not None)
    )


def schema_path(name: str, folder: Path = FOLDER) -> Path:
    """Return the file of the schema of a job's replies."""
    return folder / f"{name}.schema.json"


def read_schema(path: Path) -> JobText:
    """Return the schema of a job's replies in a file, or the package's own if it is missing.

    Raises:
        UserError: the file cannot be read, or is no JSON object.
    """
    own = not path.is_file()
    file = _OWN / path.name if own else path
    if not isinstance(read_json(file), dict):
        raise UserError(f"{file.as_posix()}: expected a JSON Schema, an object in braces")
    return JobText(read_prompt(file), _source(path, own=own))


def _source(path: Path, *, own: bool) -> str:
    return f"the package's own {path.name}" if own else path.as_posix()


def check_fields(path: Path, text: str, wanted: frozenset[str]) -> None:
    """See that a template has each field once, and other braces twice.

    Raises:
        UserError: it has not.
    """
    braces = list(_BRACE.finditer(text))
    for brace in braces:
        if brace[0] in {"{", "}"}:
            line = text.count("\n", 0, brace.start()) + 1
            raise UserError(
                f"{path.as_posix()}, line {line}: a single {brace[0]!r}; write "
                f"{brace[0] * 2!r} for a literal brace. Fields are {_braced(wanted)}"
            )
    found = sorted(brace[1] for brace in braces if brace[1] is not None)
    if found != sorted(wanted):
        raise UserError(
            f"{path.as_posix()}: the fields are {_braced(found) or 'none'}; "
            f"this job needs each of {_braced(wanted)} exactly once"
        )


def _braced(names: frozenset[str] | list[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names))
