"""A page from its template: one file, nothing fetched, no script but our own."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from . import wording
from .verdict import doubt

_HERE = Path(__file__).parent


def render(template: str, *, styles: Sequence[str], scripts: Sequence[str], **context: Any) -> str:
    """Fill in a template.

    The page's content security policy forbids the network and every script and style sheet but
    the inlined ones, which it names by their digests: should text of a model ever reach the page
    as markup, it still could not run.

    Args:
        template: file name under templates/.
        styles, scripts: file names under assets/, inlined in this order.
        context: the template's variables.
    """
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
    sheets = [_asset(name) for name in styles]
    sources = [_asset(name) for name in scripts]
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"style-src {' '.join(map(_digest, sheets))}; "
        f"script-src {' '.join(map(_digest, sources))}; "
        "img-src blob:"  # a figure that is saved as PNG is first loaded as an image
    )
    return environment.get_template(template).render(
        styles=[Markup(sheet) for sheet in sheets],  # noqa: S704 - our own files
        scripts=[Markup(source) for source in sources],  # noqa: S704 - our own files
        policy=policy,
        wording=wording,
        **context,
    )


def _json_text(value: Any) -> str:
    """A value as indented JSON, as text for people."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def _asset(name: str) -> str:
    return (_HERE / "assets" / name).read_text(encoding="utf-8")


def _digest(source: str) -> str:
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    return f"'sha256-{digest}'"
