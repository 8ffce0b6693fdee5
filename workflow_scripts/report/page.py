"""A page from its template: one file, nothing fetched, no script but our own."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..core.content_security import content_security_policy
from . import wording
from .verdict import doubt

_HERE = Path(__file__).parent


def render(template: str, *, styles: Sequence[str], scripts: Sequence[str], **context: Any) -> str:
    """Fill in a template.

    The page has a `content_security_policy`.

    Args:
        template: file name under templates/.
        styles, scripts: file names under assets/, inlined in this order.
        context: the template's variables.
    """
    sheets = [_asset(name) for name in styles]
    sources = [_asset(name) for name in scripts]
    policy = content_security_policy(sheets, sources)
    page = _environment().get_template(template)
    return page.render(
        styles=[Markup(sheet) for sheet in sheets],  # noqa: S704 - our own files
        scripts=[Markup(source) for source in sources],  # noqa: S704 - our own files
        policy=policy,
        wording=wording,
        **context,
    )


@functools.cache
def _environment() -> Environment:
    """Return the templates' environment, which compiles each of them once."""
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates", encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    environment.filters.update(
        points=wording.points,
        ratio=wording.ratio,
        number=wording.number,
        p=wording.p_value,
        count=wording.count,
        sentence_case=wording.sentence_case,
        file_size=wording.file_size,
        json_text=_json_text,
        better_words=wording.better_words,
        doubt=doubt,
        file_name=wording.file_name,
        significant=wording.significant,
    )
    return environment


def _json_text(value: Any) -> str:
    """A value as indented JSON, as text for people."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def _asset(name: str) -> str:
    return (_HERE / "assets" / name).read_text(encoding="utf-8")
