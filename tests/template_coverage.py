"""Which parts of the report's templates were rendered, branch by branch.

Jinja compiles a template to Python, in which each branch writes its text by statements of its own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Self

import jinja2

from workflow_scripts.report import page

TEMPLATES = Path(page.__file__).parent / "templates"

_WRITES = re.compile(r"\s*(yield |t_\d+\.(append|extend)\()(?!None)")


class TemplateCoverage:
    """Records what is written while it is entered."""

    def __init__(self) -> None:
        self._template_lines: dict[str, dict[int, int]] = {}
        self._run: dict[str, set[int]] = {}

    def missing(self) -> list[str]:
        """The template lines of which some branch was never written, with their source."""
        return [
            f"{name}, line {line}: {_source(name).splitlines()[line - 1].strip()}"
            for name, lines in sorted(self._template_lines.items())
            for line in sorted({lines[each] for each in lines.keys() - self._run[name]})
        ]

    def rendered(self) -> set[str]:
        """The names of the templates that were rendered."""
        return set(self._run)

    def __enter__(self) -> Self:
        # A template of macros writes what stands between them once in its environment.
        page._environment.cache_clear()
        self._render = jinja2.Template.render
        coverage = self

        def render(template: jinja2.Template, *args: Any, **context: Any) -> str:
            return coverage._traced(template, *args, **context)

        jinja2.Template.render = render  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        jinja2.Template.render = self._render  # type: ignore[method-assign]

    def _traced(self, *args: Any, **context: Any) -> str:
        """Render a template; tracing more than that would take minutes."""
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            return self._render(*args, **context)
        finally:
            sys.settrace(before)

    def _trace(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        if not frame.f_code.co_filename.endswith(".j2"):
            return None
        name = Path(frame.f_code.co_filename).relative_to(TEMPLATES).as_posix()
        if name not in self._run:
            self._run[name] = set()
            self._template_lines[name] = _writing_lines(name, frame.f_globals["environment"])
        run = self._run[name]

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            run.add(frame.f_lineno)
            return trace

        return trace


def _source(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _writing_lines(name: str, environment: Any) -> dict[int, int]:
    """The lines of a compiled template that write text, each with its line in the template."""
    compiled = environment.compile(_source(name), name, raw=True).splitlines()
    pairs = re.findall(r"(\d+)=(\d+)", compiled[-1])
    ours = {int(line): int(theirs) for theirs, line in pairs}
    return {
        number: ours[max(each for each in ours if each <= number)]
        for number, text in enumerate(compiled, start=1)
        if _WRITES.match(text) and any(each <= number for each in ours)
    }
