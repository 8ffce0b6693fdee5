"""The tables for papers: right numbers, and texts of others as text, in LaTeX and in Markdown."""

from __future__ import annotations

import json
import re
import subprocess
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from report_files import run_main, significance_of, write_trial

from workflow_scripts.config.trial import FrontSettings, Trial
from workflow_scripts.core.files import write_json
from workflow_scripts.export import latex as latex_module
from workflow_scripts.export import table as table_module
from workflow_scripts.export.latex import latex
from workflow_scripts.export.markdown import escape, markdown
from workflow_scripts.export.table import Table, table_of

HOSTILE = [
    r"\input{/etc/passwd} \write18{touch hacked} \end{document} \loop\iftrue\repeat",
    r"100% of $x_1^2$ & more # {unbalanced } ~ }} \\ \verb|x| \begin{tabular}",
    "<script>alert(1)</script> <b>bold</b> &amp; **bold** _em_ `code` | cell | [link](http://x.y)",
    "![image](x.png) <!-- comment --> # heading\n\n- item\r\n| a | b |\u2028www.example.com a@b.c",
    "日本語 Ünïcödé Łódź Straße Ångström ñ ő ǆ ﬁ ½ 🙂 עברית \u202eevil\x07 \x7f ^^M ^^41 --- ,, ``",
]


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return write_trial(tmp_path / "trial")


@pytest.fixture
def pdflatex(program: Callable[..., str]) -> str:
    return program("pdflatex")


def of(*trials: Trial, title: str | None = "Does it help?") -> FrontSettings:
    return FrontSettings(title=title, note=None, trials=list(trials))


def hostile(trial: Trial, text: str) -> FrontSettings:
    """Settings in which every name is the text."""
    named = dict.fromkeys(("name", "prompt", "text", "model", "backend", "decoding_name"), text)
    arms = {name: arm.model_copy(update=named) for name, arm in trial.arms.items()}
    names = ("experiment", "backend", "engine", "model", "decoding_name", "prompt_set")
    renamed = trial.model_copy(update={"arms": arms, **dict.fromkeys(names, text)})
    return of(renamed, title=text)


def typeset(pdflatex: str, folder: Path, table: Table) -> str:
    """What pdfLaTeX shows of a table; fails the test if it does not compile."""
    (folder / "table.tex").write_text(latex(table), encoding="utf-8")
    packages = re.findall(r"\\usepackage\{\w+\}", latex(table).splitlines()[0])
    body = r"\begin{document}\input{table.tex}\end{document}"
    document = "\\documentclass{article}\n" + "".join(packages) + body
    (folder / "paper.tex").write_text(document, encoding="utf-8")
    for _ in range(2):  # longtable and \label need two
        done = subprocess.run(
            [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper"],
            cwd=folder, capture_output=True, check=False, timeout=120,
        )  # fmt: skip
        log = (folder / "paper.log").read_text(encoding="latin-1")
        assert done.returncode == 0, log[-2000:]
    assert "Float too large" not in log
    return log


def rendered(text: str) -> str:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text)


def cells(text: str) -> list[list[str]]:
    """The cells of a Markdown table, as a reader sees them."""
    import html

    rows = re.findall(r"<tr>\n(.*?)</tr>", rendered(text), re.DOTALL)
    found = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    return [[html.unescape(cell) for cell in row] for row in found]


def test_the_numbers_are_those_of_significance_json(trial: Trial) -> None:
    text = markdown(table_of(of(trial)))
    rows = cells(text)
    assert rows[0] == ["Comparison", "Metric", "Control", "Treatment", "Difference", "q"]
    expected = significance_of(Path(trial.folder))
    starts = [number for number, row in enumerate(rows) if row[0] and number]
    assert [rows[start][0] for start in starts] == [
        "Closed book, prompt “careful”, temperature 0.0 (n = 79)",
        "Open book, prompt “careful”, temperature 0.0 (n = 79)",
    ]
    for start, task in zip(starts, ("closed_book", "open_book"), strict=True):
        found: dict[str, Any] = expected[task]["metrics"]["false_answer_rate"]
        shown = rows[start]
        assert shown[1] == "False answers"
        numbers = [float(each.replace("−", "-")) for each in re.findall(r"[−+]?\d+\.\d", shown[4])]
        wanted = [found[name] for name in ("difference", "ci_low", "ci_high")]
        assert numbers == pytest.approx([100 * each for each in wanted], abs=0.051)
        assert float(shown[2]) == pytest.approx(100 * found["control_mean"], abs=0.051)
        assert float(shown[3]) == pytest.approx(100 * found["treatment_mean"], abs=0.051)
        q = found["q_value"]
        assert shown[5] == ("< 0.001" if q < 0.001 else f"{q:.3f}")
    n_metrics = sum(len(result["metrics"]) for result in expected.values())
    assert len(rows) == n_metrics + 1


def test_the_notes_tell_n_clusters_interval_test_and_correction(trial: Trial) -> None:
    notes = " ".join(table_of(of(trial)).notes)
    assert "Closed book: n = 79 items in 32 clusters. Open book: n = 79 items in 32 clu" in notes
    assert "cluster-robust t intervals" in notes or "score intervals" in notes
    assert "paired permutation test" in notes
    # 7 shares in open book; 6 in closed book, where nothing is unsupported.
    assert "Benjamini-Hochberg over 13 tests (exploratory)" in notes
    assert "2 items without scores under both arms left out" in notes


def test_an_interval_that_is_not_trusted_is_marked(trial: Trial) -> None:
    path = Path(trial.folder) / "significance.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    metrics = whole["results"]["treatment"]["0.0"]["open_book"]["metrics"]
    for by_task in whole["results"]["treatment"]["0.0"].values():
        for each in by_task["metrics"].values():
            each["ci_trusted"] = True
    write_json(path, whole)
    assert "†" not in markdown(table_of(of(trial)))
    metrics["f1"]["ci_trusted"] = False
    metrics["em"].update(ci_low=None, ci_high=None, q_value=None)
    write_json(path, whole)
    table = table_of(of(trial))
    marked = [row for group in table.groups for row in group.rows if "†" in row[3]]
    assert [row[0] for row in marked] == ["F1"]
    assert any(note.startswith("†") for note in table.notes)
    (undefined,) = [row for group in table.groups for row in group.rows if "[–]" in row[3]]
    assert undefined[4] == "–"


def test_the_primary_metric_of_waves_has_the_interval_that_holds_at_any_time(trial: Trial) -> None:
    path = Path(trial.folder) / "significance.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    whole["sequential"] = {
        "schema_version": 1, "digest": "d", "primary": "em", "waves": 2, "waves_planned": 4,
        "requests": 10, "requests_planned": 20, "settled": True,
        "comparisons": [
            {
                "treatment": "treatment", "temp": "0.0", "task": "open_book", "alpha": 0.05,
                "n_items": 5, "n_clusters": 5, "n_waiting": 0, "n_planned": 10,
                "estimate": 0.123, "ci_low": 0.011, "ci_high": 0.222, "p_value": 0.034,
                "outcome": "increase",
            }
        ],
    }  # fmt: skip
    write_json(path, whole)
    table = table_of(of(trial))
    marked = [row for group in table.groups for row in group.rows if "‡" in row[3]]
    assert [row[3:] for row in marked] == [("+12.3 [+1.1, +22.2]‡", "0.034‡")]
    assert "2 of 4 planned waves: its difference" in " ".join(table.notes)
    assert "$^\\ddagger$" in latex(table)


def test_trials_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    trials = [
        write_trial(
            tmp_path / name, model=name, treatments=("brief", "careful"), temps=("0.0", "1")
        )
        for name in ("small", "large")
    ]
    table = table_of(of(*trials))
    labels = [group.label for group in table.groups]
    assert labels[0] == "small, Closed book, prompt “brief”, temperature 0.0 (n = 79)"
    assert labels[-1] == "large, Open book, prompt “careful”, temperature 1 (n = 79)"
    assert len(labels) == len(set(labels)) == 16
    assert table.caption == "Does it help? Effect of the treatment prompts in 2 trials."


def test_a_comparison_of_nothing_is_named(trial: Trial, pdflatex: str, tmp_path: Path) -> None:
    path = Path(trial.folder) / "significance.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    for result in whole["results"]["treatment"]["0.0"].values():
        result.update(n_items=0, metrics={}, subgroups={})
    write_json(path, whole)
    table = table_of(of(trial))
    assert table.groups[0].label.endswith("no item has answers under both arms")
    assert "no item has answers" in cells(markdown(table))[1][0]
    typeset(pdflatex, tmp_path, table)


def test_tables_compile_also_with_hostile_names(
    trial: Trial, pdflatex: str, tmp_path: Path
) -> None:
    tables = [table_of(of(trial)), *(table_of(hostile(trial, text)) for text in HOSTILE)]
    tex = "".join(latex(table) for table in tables)
    assert tex.count(r"\begin{table}") == len(tables)
    for number, table in enumerate(tables):
        folder = tmp_path / str(number)
        folder.mkdir()
        typeset(pdflatex, folder, table)
        assert not list(folder.glob("hacked*"))


def test_a_table_of_many_trials_goes_over_pages(
    trial: Trial, pdflatex: str, tmp_path: Path
) -> None:
    table = table_of(of(*[trial.model_copy(update={"model": f"m{n}"}) for n in range(9)]))
    assert r"\usepackage{longtable}" in latex(table)
    log = typeset(pdflatex, tmp_path, table)
    assert re.search(r"Output written on paper\.pdf \([2-9] pages", log)


@settings(max_examples=300)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_text_says_anything_to_tex(text: str) -> None:
    """Strict: whatever the text, only these commands, balanced braces and printable characters."""
    escaped = latex_module.escape(text)
    bare = re.sub(
        r"\\(textbackslash|textasciicircum|textasciitilde|char34|char96|textendash"
        r"|textquotedbl(left|right)|textquote(left|right)|ss|ae|AE|o|O|oe|OE|l|L|i)(?=[{}])"
        r"|\\[{}$&#%_]|\\[`'^~=u.\"rHvc]\{[A-Za-z]\}|\\assaychar\{.\}\{[0-9A-F]{4,6}\}"
        r"|\$([<>|-]|\^\\d?dagger|\\pm)\$",
        "",
        escaped,
    )
    assert not re.search(r"[\\$&#%_^~<>|\"`\n\r]", bare)
    assert not re.search(r"--|,,|''", escaped)
    assert all(each.isascii() and each.isprintable() for each in bare)
    depth = 0
    for brace in re.findall(r"\\.|[{}]", escaped):
        depth += {"{": 1, "}": -1}.get(brace, 0)
        assert depth >= 0
    assert depth == 0


@settings(max_examples=300)
@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]))
    | st.text("*_`[]()<>!|\\#&;~-+=:/.w@$ \n1ab")
)
def test_markdown_shows_any_text_as_it_is(text: str) -> None:
    import html

    shown = " ".join(text.split())
    page = rendered(f"| a | b |\n|---|---|\n| {escape(text)} | end |\n")
    (row,) = re.findall(r"<tbody>\n<tr>\n(.*?)</tr>\n</tbody>", page, re.DOTALL)
    assert html.unescape(row) == f"<td>{shown}</td>\n<td>end</td>\n"
    assert not re.search(r"(?<!\\)@|https?://|www\.", escape(text), re.IGNORECASE)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_add_no_row_and_no_tag_to_markdown(trial: Trial, text: str) -> None:
    plain, page = markdown(table_of(of(trial))), markdown(table_of(hostile(trial, text)))
    assert [len(row) for row in cells(page)] == [len(row) for row in cells(plain)]
    tags = set(re.findall(r"<(\w+)", rendered(page)))
    assert tags == set(re.findall(r"<(\w+)", rendered(plain)))
    visible = "".join(unicodedata.normalize("NFC", text).split())[:10]
    assert visible in "".join(cells(page)[1][0].split())


def test_the_command_writes_both_tables(trial: Trial, tmp_path: Path) -> None:
    write_json(tmp_path / "trials.json", of(trial).model_dump(mode="json"))
    files = {"settings": "trials.json", "markdown": "table.md", "latex": "table.tex"}
    run_main(
        table_module,
        [part for name, file in files.items() for part in (f"--{name}", str(tmp_path / file))],
    )
    table = table_of(of(trial))
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == markdown(table)
    assert (tmp_path / "table.tex").read_text(encoding="utf-8") == latex(table)
