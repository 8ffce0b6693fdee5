"""The names of files in an answer."""

from __future__ import annotations

import re
from collections.abc import Collection

_ENDINGS = """
    py pyi pyx ipynb js jsx mjs cjs ts tsx vue java kt kts scala groovy c h cc cpp cxx hpp cs fs go
    rs rb php swift m mm r jl lua pl pm sh bash zsh ps1 bat sql html htm css scss less xml xsd json
    jsonl yaml yml toml ini cfg conf env lock md rst txt csv tsv smk tf proto gradle cmake mk tex
    pdf docx xlsx pptx
"""
_NAME = re.compile(
    r"(?<![\w./\\-])(?:(?:\.{1,2}|\.?[\w-]+(?:\.[\w-]+)*)[/\\])*+[\w-]+(?:\.[\w-]+)*"
    rf"\.(?:{'|'.join(_ENDINGS.split())})(?![\w/\\-]|\.\w)",
    re.IGNORECASE,
)


def file_names(text: str, known: Collection[str] = ()) -> list[str]:
    """Return the names of files in a text, each once: words with a usual ending.

    Args:
        text: the text.
        known: further paths. One with another ending is found by its last part.
    """
    found = [each[0].replace("\\", "/").removeprefix("./") for each in _NAME.finditer(text)]
    for path in known:
        last = path.rpartition("/")[2]
        if not _NAME.fullmatch(last) and re.search(
            rf"(?<![\w.-]){re.escape(last)}(?![\w-]|\.\w)", text
        ):
            found.append(path if path in text else last)
    return list(dict.fromkeys(found))


def share_named(text: str, gold: Collection[str]) -> float:
    """Return the share of the file names in a text that are gold files; 0 without a name.

    A name is a gold file if it is the end of its path: ``app.py`` of ``src/flask/app.py``.
    """
    names = file_names(text, gold)
    right = sum(any(_is_end(name, path) for path in gold) for name in names)
    return right / len(names) if names else 0.0


def _is_end(name: str, path: str) -> bool:
    return f"/{path}".endswith(f"/{name}")
