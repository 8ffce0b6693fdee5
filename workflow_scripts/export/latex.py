"""A table in LaTeX (booktabs); what others wrote reaches it as text only.

It compiles with pdfLaTeX whatever the names in it: a character that pdfLaTeX does not know is shown
by its code point there, and as itself by XeLaTeX and LuaLaTeX.
"""

from __future__ import annotations

import re
import unicodedata

from .table import COLUMNS, Group, Table

_ONE_PAGE = 40
"""Rows beyond which a table is set as a ``longtable``, since a float takes one page at most."""

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",
    '"': r"\char34{}",
    "`": r"\char96{}",
    "−": r"$-$",
    "–": r"\textendash{}",
    "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}",
    "‘": r"\textquoteleft{}",
    "’": r"\textquoteright{}",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "±": r"$\pm$",
    "ı": r"{\i}",
    "ß": r"{\ss}",
    "æ": r"{\ae}",
    "Æ": r"{\AE}",
    "ø": r"{\o}",
    "Ø": r"{\O}",
    "œ": r"{\oe}",
    "Œ": r"{\OE}",
    "ł": r"{\l}",
    "Ł": r"{\L}",
}

_ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0327": "c",
}

_LIGATURE = re.compile(r"([-,'])(?=\1)")
"""Two of these in a row would become one sign; what else makes ligatures is escaped."""

_PREAMBLE = r"""% Made by Assay. In the preamble: \usepackage{booktabs}LONGTABLE
% Show a character: as itself where the engine knows Unicode, else by its code point.
\providecommand{\assaychar}[2]{\ifdefined\Umathcode#1\else[U+#2]\fi}
"""


def latex(table: Table) -> str:
    """The whole file, to be read by ``\\input``."""
    body = [line for group in table.groups for line in _group(group)]
    header = " & ".join(COLUMNS) + r" \\"
    columns = "@{}l" + "r" * (len(COLUMNS) - 1) + "@{}"
    caption = rf"\caption{{{escape(table.caption)}}}"
    label = rf"\label{{tab:assay-{re.sub('[^A-Za-z0-9]+', '-', table.name)}}}"
    notes = r"{\footnotesize " + escape(" ".join(table.notes)) + r"\par}"
    if len(body) > _ONE_PAGE:
        preamble = _PREAMBLE.replace("LONGTABLE", r"\usepackage{longtable}")
        lines = [
            rf"\begin{{longtable}}{{{columns}}}",
            caption + label + r" \\",
            r"\toprule",
            header,
            r"\endfirsthead",
            r"\toprule",
            header,
            r"\midrule",
            r"\endhead",
            r"\bottomrule",
            r"\endfoot",
            *body,
            r"\end{longtable}",
            notes,
        ]
    else:
        preamble = _PREAMBLE.replace("LONGTABLE", "")
        lines = [
            r"\begin{table}",
            r"\centering",
            caption,
            label,
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            header,
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\par\smallskip\raggedright",
            notes,
            r"\end{table}",
        ]
    return preamble + "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Text that LaTeX shows as it is, on one line."""
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    escaped = "".join(_escaped(character) for character in composed)
    return _LIGATURE.sub(r"\1{}", escaped)


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isascii() and character.isprintable():
        return character
    letter, *accents = list(unicodedata.normalize("NFD", character))
    if letter.isascii() and letter.isalpha() and len(accents) == 1 and accents[0] in _ACCENTS:
        return rf"\{_ACCENTS[accents[0]]}{{{letter}}}"
    code = f"{ord(character):04X}"
    if character.isprintable():
        return rf"\assaychar{{{character}}}{{{code}}}"
    return f"[U+{code}]"


def _group(group: Group) -> list[str]:
    heading = (
        rf"\multicolumn{{{len(COLUMNS)}}}{{@{{}}l@{{}}}}{{\itshape {escape(group.label)}}} \\*"
    )
    rows = (" & ".join(escape(cell) for cell in cells) + r" \\" for cells in group.rows)
    return [r"\midrule", heading, *rows]
