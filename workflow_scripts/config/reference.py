"""Write docs/config.md: every config key, from the schema itself."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..backends.settings import LOCAL
from ..backends.table import BACKENDS
from ..core.files import write_text
from ..datasets.answer_formats import ANSWER_FORMATS
from ..datasets.formats import FORMATS
from .load import ENVIRONMENT
from .schema import Config

_HEAD = """\
# Config reference

Written by `python -m workflow_scripts.config.reference` from the schema, which every run checks
before any job starts. `snakemake --configfile my.yaml` reads another file than
`config/config.yaml`. `snakemake --config limit_items=20` overrides single keys, and
`snakemake --config "stats={{bootstrap_samples: 200}}"` overrides keys inside a block. Validate
files without running anything: `python -m workflow_scripts.config.check config`.

Names (of data sets, prompt sets, backends and the experiment) become folders: letters, digits,
`_` and `-`. No two names may differ only in case. List entries must be unique.

Environment variables (also from a git-ignored `.env` file) replace keys of the file; the command
line replaces both: {variables}. API keys come only from the environment or `.env`.

## Keys
"""


def reference() -> str:
    """The whole page as Markdown."""
    schema = Config.model_json_schema()
    variables = ", ".join(f"`{name}` ({key})" for name, key in ENVIRONMENT.items())
    lines = [_HEAD.format(variables=variables), *_table(schema, schema["properties"])]
    for name, block in sorted(schema["$defs"].items()):
        if name in _named_blocks(schema):
            lines += ["", f"## {name}", "", block["description"].split("\n\n")[0], ""]
            lines += _table(block, block["properties"])
    return "\n".join([*lines, *_formats(), *_backends()]) + "\n"


def _formats() -> Iterator[str]:
    yield from ("", "## Data formats", "", "| `format` | what it is | task |", "|---|---|---|")
    for name, each in FORMATS.items():
        yield f"| `{name}` | {each.description} | {each.task or 'as the config says'} |"
    yield from ("", "## Formats of answers", "", "| `format` of an arm | what it is | names |")
    yield "|---|---|---|"
    for name, answers in ANSWER_FORMATS.items():
        suffixes = ", ".join(f"`{suffix}`" for suffix in answers.suffixes)
        yield f"| `{name}` | {answers.description} | {suffixes} |"


def _backends() -> Iterator[str]:
    yield from ("", "## Backends", "", "| keys | what answers | model | key | batch API |")
    yield "|---|---|---|---|---|"
    for name, each in BACKENDS.items():
        keys = f"`backend: {name}`"
        if each.is_local:
            keys = f"`backend: {LOCAL}`, `local_engine: {name}`"
        variables = " or ".join(f"`{variable}`" for variable in each.key_variables)
        batches = "yes" if each.has_batch_api else ""
        yield f"| {keys} | {each.description} | {each.model} | {variables} | {batches} |"


def _named_blocks(schema: dict[str, Any]) -> set[str]:
    return {name for name, block in schema["$defs"].items() if "properties" in block}


def _table(block: dict[str, Any], properties: dict[str, Any]) -> Iterator[str]:
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    for key, value in properties.items():
        required = key in block.get("required", [])
        default = "required" if required else _default(value.get("default"))
        meaning = value.get("description", "")
        yield f"| `{key}` | {_type(value)} | {default} | {meaning} |"


def _default(value: Any) -> str:
    if value is None or value in ([], {}):
        return ""
    if isinstance(value, dict):
        return "see below"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _type(value: dict[str, Any]) -> str:
    if members := value.get("anyOf") or value.get("oneOf"):
        kinds = [_type(each) for each in members if each.get("type") != "null"]
        return " or ".join(kinds)
    if "$ref" in value:
        name = value["$ref"].rsplit("/", maxsplit=1)[1]
        return f"[{name}](#{name.lower()})"
    if choices := value.get("enum") or [value[name] for name in ("const",) if name in value]:
        return ", ".join(f"`{each}`" for each in choices)
    if value.get("type") == "array":
        return f"list of {_type(value.get('items') or value['prefixItems'][0])}"
    if value.get("type") == "object":
        of_each = value.get("additionalProperties", {})
        return "name → value" if of_each is True else f"name → {_type(of_each)}"
    plain = {
        "boolean": "`true`, `false`",
        "integer": "whole number",
        "number": "number",
        "string": "text",
    }
    return plain.get(value.get("type", ""), "value") + _limits(value)


def _limits(value: dict[str, Any]) -> str:
    words = {"minimum": "≥", "maximum": "≤", "exclusiveMinimum": ">", "exclusiveMaximum": "<"}
    limits = [f"{sign} {value[name]:g}" for name, sign in words.items() if name in value]
    return f" {', '.join(limits)}" if limits else ""


def main() -> None:
    """Write the reference page."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--output", type=Path, default=Path("docs/config.md"))
    write_text(parser.parse_args().output, reference())


if __name__ == "__main__":
    main()
