"""A real spreadsheet opens our CSV files and finds nothing in them to run."""

from __future__ import annotations

import csv
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workflow_scripts.core.files import read_csv, write_csv
from workflow_scripts.core.records import Prediction

STARTS = (
    "=", "+", "-", "@", "\t=", "\r=", "\n=", "\r\n=", " =", "  +", "\0=", "\0\0 -", "\u00a0=",
    "\u3000=", "\x0b=", "＝", "＋", "－", "＠", "'=", "''=", "a;=", "a\t=", "a\n=", "a,=", '"=',
    '",=', '""",=', "';=", "=\n=", '";=', "a|=",
)  # fmt: skip

FORMULAS = [
    f"{start}{formula}"
    for start in STARTS
    for formula in ("SUM(40,2)", "SUM(40)", 'HYPERLINK("http://x.y","z")', "1+1;=1+1\t=1+1")
]

# Separators, quote, encoding UTF-8; the last one says that formulas are evaluated, as in Excel.
EVALUATE = "{},34,76,1,,0,false,true,false,false,false,0,true,false,true"
COMMA, ALL_SEPARATORS = EVALUATE.format("44"), EVALUATE.format("44/59/9")


def prediction(response: str) -> Prediction:
    return Prediction(
        custom_id="d|i|control|0.0|0|open_book", dataset="d", item_id="i", condition="control",
        temp="0.0", sample_index=0, type="open_book", request_id="r", finish_reason="stop",
        response_text=response, prompt_tokens=3, completion_tokens=3, total_tokens=3,
    )  # fmt: skip


def formulas_found(
    soffice: str, folder: Path, filter_options: str, *files: Path
) -> dict[str, list[str]]:
    """The formulas that LibreOffice finds in CSV files, by the files' names."""
    opened = folder / "opened"
    subprocess.run(
        [
            soffice, f"-env:UserInstallation={folder.as_uri()}/profile", "--headless",
            "--norestore", f"--infilter=CSV:{filter_options}", "--convert-to", "fods",
            "--outdir", str(opened),
            *map(str, files),
        ],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    texts = {each.stem: (opened / f"{each.stem}.fods").read_text("utf-8") for each in files}
    assert all("<table:table-cell" in text for text in texts.values())
    return {name: re.findall(r'table:formula="([^"]*)"', text) for name, text in texts.items()}


@pytest.mark.parametrize("separators", [COMMA, ALL_SEPARATORS], ids=["comma", "comma ; tab"])
def test_a_spreadsheet_runs_nothing(
    program: Callable[..., str], tmp_path: Path, separators: str
) -> None:
    ours, plain = tmp_path / "ours.csv", tmp_path / "plain.csv"
    rows = [prediction(text) for text in FORMULAS]
    write_csv(ours, Prediction, rows)
    with plain.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(row.model_dump().values() for row in rows)
    found = formulas_found(program("soffice"), tmp_path, separators, ours, plain)
    assert len(found["plain"]) >= 8, (
        "the spreadsheet does not evaluate formulas: this proves nothing"
    )
    assert found["ours"] == []
    assert list(read_csv(ours, Prediction)) == rows


@example("\0=1")
@example(" \t'=")
@given(
    st.text(st.characters(exclude_categories=["Cs"])) | st.text("=+-@＝ \t\r\n\0';,\"a", max_size=6)
)
def test_any_text_comes_back_and_other_readers_see_at_most_an_apostrophe(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.mktemp("csv") / "predictions.csv"
    write_csv(path, Prediction, [prediction(text)])
    assert [row.response_text for row in read_csv(path, Prediction)] == [text]
    with path.open(encoding="utf-8", newline="") as stream:
        cell = next(csv.DictReader(stream))["response_text"]
    assert cell in (text, f"'{text}")
    assert not re.match(r"[\s\0]*[=+\-@＝＋－＠]", cell)


@given(st.text("abc,\"\r\n ;\t|x'", max_size=8))
def test_cells_are_quoted_as_the_standard_library_does_and_at_other_separators(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.mktemp("csv") / "predictions.csv"
    write_csv(path, Prediction, [prediction("x" + text)])
    line = path.read_bytes().decode("utf-8").split("\r\n", 1)[1]
    cell = line.split(",stop,", 1)[1].rsplit(",3,3,3\r\n", 1)[0]
    quoted = any(separator in text for separator in ',;\t\r\n"')
    doubled = text.replace('"', '""')
    assert cell == (f'"x{doubled}"' if quoted else f"x{text}")
