"""The tools that a step can call, described by the signatures of their functions."""

from __future__ import annotations

import copy
import functools
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from ..core.files import describe
from . import chart_tools, table_tools
from .parameters import Holds
from .profile import Profile
from .result import Result

MAX_ENUM = 100
"""Column names that a schema lists; providers limit the number of values."""


class Fault(NamedTuple):
    """Why a tool cannot be called in this way; ``unknown`` are names that do not exist."""

    reason: str
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tool:
    """A tool: a plain function from a table and parameters to a `Result`.

    ``prepares``: it changes the table, so it runs before the tools that read it.
    """

    run: Callable[..., Result]
    prepares: bool = False

    @property
    def name(self) -> str:
        """The name of its function."""
        return self.run.__name__

    @property
    def description(self) -> str:
        """The first line of its docstring."""
        return inspect.getdoc(self.run).partition("\n")[0]  # type: ignore[union-attr]

    @functools.cached_property
    def columns(self) -> Mapping[str, Holds]:
        """The parameters that name columns, and the columns that they can name."""
        return {name: mark for name, hint in self._hints.items() for mark in _marks(hint)}

    @functools.cached_property
    def parameters(self) -> dict[str, Any]:
        """The JSON Schema of each parameter."""
        schema = self._model.model_json_schema()
        return {name: _plain(each) for name, each in schema["properties"].items()}

    @functools.cached_property
    def required(self) -> list[str]:
        """The parameters that have no default."""
        return [name for name, field in self._model.model_fields.items() if field.is_required()]

    def text(self) -> str:
        """Return one line that describes it to a model."""
        shown = ", ".join(
            f"{name}{'' if name in self.required else '?'}: {self._kind(name)}"
            for name in self.parameters
        )
        return f"{self.name}({shown}): {self.description}"

    def checked(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters with their defaults.

        Raises:
            ValidationError: a parameter is missing, unknown or of another type.
        """
        return dict(self._model.model_validate(dict(params)))

    def _kind(self, name: str) -> str:
        schema = self.parameters[name]
        if name in self.columns:
            of = self.columns[name].wanted
            return f"columns of {of}" if schema["type"] == "array" else f"column of {of}"
        if "enum" in schema:
            return " | ".join(json.dumps(each) for each in schema["enum"])
        return str(schema["type"])

    @functools.cached_property
    def _hints(self) -> dict[str, Any]:
        hints = get_type_hints(self.run, include_extras=True)
        return {name: hint for name, hint in hints.items() if name not in {"table", "return"}}

    @functools.cached_property
    def _model(self) -> type[BaseModel]:
        of = inspect.signature(self.run).parameters
        fields: dict[str, Any] = {
            name: (hint, ... if of[name].default is inspect.Parameter.empty else of[name].default)
            for name, hint in self._hints.items()
        }
        strict = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
        return create_model(self.name, __config__=strict, **fields)


TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(table_tools.clean, prepares=True),
        Tool(table_tools.parse_dates, prepares=True),
        Tool(table_tools.summary),
        Tool(table_tools.aggregate),
        Tool(table_tools.correlations),
        Tool(table_tools.anomalies),
        Tool(chart_tools.line),
        Tool(chart_tools.bar),
        Tool(chart_tools.scatter),
        Tool(chart_tools.histogram),
        Tool(chart_tools.heatmap),
        Tool(chart_tools.box),
    )
}
"""All tools by name."""


def tools_text() -> str:
    """Return what a model is shown of the tools: one line each."""
    return "\n".join(tool.text() for tool in TOOLS.values())


def faults(name: str, params: Mapping[str, Any], profile: Profile) -> list[Fault]:
    """Return why a tool cannot be called with these parameters on this table: nothing if it can."""
    tool = TOOLS.get(name)
    if tool is None:
        return [Fault(f"there is no tool {name!r}", (name,))]
    extra = [each for each in params if each not in tool.parameters]
    found = [Fault(f"{name} has no parameter {each!r}", (each,)) for each in extra]
    try:
        tool.checked({key: value for key, value in params.items() if key not in extra})
    except ValidationError as error:
        return [*found, Fault(f"{name}: {describe(error)}")]
    return [*found, *_column_faults(tool, params, profile)]


def narrowed(schema: Mapping[str, Any], profile: Profile) -> dict[str, Any]:
    """Return the schema of a reply with changes, its names limited to these tools and columns.

    Parameters are those of all tools together: which of them belong to which tool is checked when
    the changes are applied. Of a table with more than `MAX_ENUM` columns any text is a column.
    """
    narrow = copy.deepcopy(dict(schema))
    change = narrow["properties"]["changes"]["items"]["properties"]
    change["tool"] = {"enum": list(TOOLS)}
    change["params"] = {
        "type": "object",
        "properties": _all_parameters(profile),
        "additionalProperties": False,
    }
    return narrow


def _all_parameters(profile: Profile) -> dict[str, Any]:
    names = [each.name for each in profile.columns]
    column: dict[str, Any] = {"enum": names} if 0 < len(names) <= MAX_ENUM else {"type": "string"}
    found: dict[str, Any] = {}
    for tool in TOOLS.values():
        for name, schema in tool.parameters.items():
            if name not in tool.columns:
                found.setdefault(name, schema)
            elif schema["type"] == "array":
                found.setdefault(name, {"type": "array", "items": column, "minItems": 1})
            else:
                found.setdefault(name, column)
    return found


def _column_faults(tool: Tool, params: Mapping[str, Any], profile: Profile) -> Iterator[Fault]:
    for name, holds in tool.columns.items():
        value = params.get(name)
        for each in value if isinstance(value, list) else [value]:
            column = None if each is None else profile.column(each)
            if each is not None and column is None:
                yield Fault(f"the table has no column {each!r}", (each,))
            elif column is not None and not holds.accepts(column):
                yield Fault(
                    f"{tool.name}: {name} is a column of {holds.wanted}, and {each!r} is of type "
                    f"{column.type}"
                )


def _marks(hint: Any) -> Iterator[Holds]:
    if get_origin(hint) is Annotated:
        yield from (each for each in get_args(hint)[1:] if isinstance(each, Holds))
    for each in get_args(hint):
        yield from _marks(each)


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter's schema without title and default; of an optional one, without ``null``."""
    options = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    return {key: value for key, value in options[0].items() if key not in {"title", "default"}}
