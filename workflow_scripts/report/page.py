"""A page from its template: one file, nothing fetched, no script but our own."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup

from ..core.content_security import content_security_policy
from ..core.wording import counted
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
        bytecode_cache=_CompiledTemplates(),
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
        counted=counted,
        sentence_case=wording.sentence_case,
        file_size=wording.file_size,
        json_text=_json_text,
        better_words=wording.better_words,
        doubt=doubt,
        file_name=wording.file_name,
        significant=wording.significant,
    )
    return environment


class _CompiledTemplates(FileSystemBytecodeCache):
    """Compiled templates, kept like compiled Python and beside it: to compile takes 0.2 s.

    Jinja makes sure of the template's text and of the version of Python; the file's name, of the
    environment above and of the version of Jinja.
    """

    def __init__(self) -> None:
        decided_by = jinja2.__version__.encode() + Path(__file__).read_bytes()
        name = f"template-{hashlib.sha256(decided_by).hexdigest()[:12]}-%s.cache"
        super().__init__(str(_HERE / "__pycache__"), name)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep a template, unless compiled Python is not to be kept either."""
        if not sys.dont_write_bytecode:
            with contextlib.suppress(OSError):  # a folder that cannot be written
                super().dump_bytecode(bucket)


def _json_text(value: Any) -> str:
    """A value as indented JSON, as text for people."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def _asset(name: str) -> str:
    return (_HERE / "assets" / name).read_text(encoding="utf-8")
