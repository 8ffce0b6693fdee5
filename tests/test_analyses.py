"""A table and a question become a page: what a model says, what tables hold, what is shown."""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from analysing import ADAPTATION, INTENT, REPAIR, by_rule
from conftest import REPOSITORY, Project
from servers.base import running
from servers.openai_compatible import CompatibleServer
from tables import sales

from workflow_scripts.analyses.reading import column_names, read_table
from workflow_scripts.analyses.settings import AnalysisSettings, AskedJob
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_jsonl, write_jsonl, write_record
from workflow_scripts.core.job_prompts import FOLDER, read_job, read_template
from workflow_scripts.core.records import (
    ANSWER_FIELDS,
    Completion,
    Failure,
    RawLine,
    Request,
    RequestMeta,
    Usage,
)

DATA = REPOSITORY / "resources" / "demo" / "sales.csv"
PLANS = sorted((REPOSITORY / "resources" / "plans").glob("*.json"))
FEW = {"changes": [], "rationale": "It fits."}


@dataclass
class Analysis:
    """The commands of an analysis in a folder, with replies in the place of a model."""

    folder: Path
    data: Path = DATA

    def run(self, **replies: Any) -> Path:
        """Run all commands; ``intent``, ``adapt_plan``, ``repair_plan`` are replies or failures."""
        self.folder.mkdir(exist_ok=True)
        self.settings()
        at = self.folder
        self.command("profile", data=self.data, output=at / "profile.json")
        common = {"profile": at / "profile.json", "settings": at / "settings.json"}
        self.command("intent", **common, output=at / "intent.jsonl")
        self.command(
            "adaptation", **common, intent=self.answered("intent", replies.get("intent", INTENT)),
            plans=PLANS, intent_output=at / "intent.json", plan=at / "plan_template.json",
            output=at / "adapt_plan.jsonl",
        )  # fmt: skip
        plan = {"profile": at / "profile.json", "plan": at / "plan_template.json"}
        plan["adaptation"] = self.answered("adapt_plan", replies.get("adapt_plan", FEW))
        self.command("repair", **plan, settings=at / "settings.json",
                     output=at / "repair_plan.jsonl")  # fmt: skip
        repair = self.answered("repair_plan", replies.get("repair_plan", REPAIR))
        self.command("plan", **plan, repair=repair, settings=at / "settings.json",
                     output=at / "plan_adapted.json", differences=at / "plan_diff.md")  # fmt: skip
        self.report()
        return at

    def report(self) -> None:
        """Run the last command."""
        at = self.folder
        self.command(
            "report", data=self.data, profile=at / "profile.json", settings=at / "settings.json",
            intent=at / "intent.json", plan=at / "plan_template.json",
            adapted=at / "plan_adapted.json", tool_calls=at / "tool_calls.json",
            log=at / "execution_log.json", charts=at / "charts", output=at / "report.html",
        )  # fmt: skip

    def settings(self) -> None:
        intent, adaptation = read_job("intent"), read_job("adapt_plan")
        repair = read_template("repair_plan", FOLDER / "repair_plan.md")
        settings = AnalysisSettings(
            name="december", title=None, note="A note.", data=self.data.as_posix(),
            question="How did revenue develop by region?", backend="b", model="m", enforced=True,
            jobs={
                "intent": AskedJob.of(intent.template, intent.schema_text),
                "adapt_plan": AskedJob.of(adaptation.template, adaptation.schema_text),
                "repair_plan": AskedJob.of(repair, adaptation.schema_text),
            },
        )  # fmt: skip
        write_record(self.folder / "settings.json", settings)

    def command(self, name: str, **arguments: Any) -> None:
        given = [sys.executable]
        for option, value in arguments.items():
            values = value if isinstance(value, list) else [value]
            given += [f"--{option.replace('_', '-')}", *map(str, values)]
        main = import_module(f"workflow_scripts.analyses.{name}").main.__wrapped__
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", given)
            main()

    def answered(self, name: str, reply: Any) -> Path:
        """The raw part of a request: a reply, its text, or a failure; nothing if none was sent."""
        raw = self.folder / f"{name}.raw.jsonl"
        lines = []
        for request in read_jsonl(self.folder / f"{name}.jsonl", Request):
            echoed = request.model_dump(include=set(RequestMeta.model_fields))
            if isinstance(reply, Failure):
                lines.append(RawLine(**echoed, request_digest="d", error=reply))
                continue
            text = reply if isinstance(reply, str) else json.dumps(reply)
            answer = Completion(
                response_text=text, finish_reason="stop", request_id="r", usage=Usage(),
            )  # fmt: skip
            fields = {each: getattr(answer, each) for each in ANSWER_FIELDS}
            lines.append(
                RawLine(
                    **echoed,
                    request_digest="d",
                    answer_checksum=answer.checksum("d"),
                    **fields,
                    schema_enforced="exactly",
                )
            )
        write_jsonl(raw, lines)
        return raw

    def requests(self, name: str) -> list[Request]:
        return list(read_jsonl(self.folder / f"{name}.jsonl", Request))


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def charts_of(folder: Path) -> list[Path]:
    return sorted((folder / "charts").glob("*.svg"))


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "seals" not in path.parts
    }


def test_the_sample_table_is_the_made_up_one_of_the_tests() -> None:
    made = sales(400).to_csv(index=False, lineterminator="\n")
    assert DATA.read_text(encoding="utf-8") == made


def test_the_same_input_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first = files_of(Analysis(tmp_path / "a").run(adapt_plan=ADAPTATION))
    second = files_of(Analysis(tmp_path / "b").run(adapt_plan=ADAPTATION))
    assert first == second
    assert 5 <= len(charts_of(tmp_path / "a")) <= 10


def test_unknown_names_are_repaired_once_and_then_dropped(tmp_path: Path) -> None:
    analysis = Analysis(tmp_path / "a")
    at = analysis.run(adapt_plan=ADAPTATION)
    (asked,) = analysis.requests("repair_plan")
    problems = asked.messages[-1].content
    assert "the table has no column 'chanel'" in problems
    assert "there is no tool 'pie'" in problems
    assert '"channel"' in problems  # what exists
    assert "heatmap(" in problems
    assert [each.role for each in asked.messages] == ["user", "assistant", "user"]
    adapted = read(at / "plan_adapted.json")
    steps = {each["id"]: each for each in adapted["plan"]["steps"]}
    assert "second" not in steps
    assert steps["level"]["params"]["by"] == "region"
    assert steps["by_channel"]["params"] == {"x": "channel", "y": "revenue"}
    assert "pie" not in steps
    assert [each["reason"] for each in adapted["dropped"]] == ["there is no tool 'donut'"]
    log = read(at / "execution_log.json")
    assert log["dropped"] == ["pie: there is no tool 'donut'"]
    origins = {each["id"]: each["origin"] for each in log["steps"]}
    assert (origins["development"], origins["by_channel"]) == ("ready plan", "model")
    page = (at / "report.html").read_text(encoding="utf-8")
    assert "there is no tool &#39;donut&#39;. One repair was requested" in page
    assert page.count("<dd>JSON schema enforced. prompts/jobs/") == 3
    assert "<b>regions</b>" not in page
    assert "&lt;b&gt;regions&lt;/b&gt;" in page
    difference = (at / "plan_diff.md").read_text(encoding="utf-8")
    assert r"\<b\>regions\</b\> \|" in difference
    assert "| second | removed |" in difference
    assert {each["tool"] for each in read(at / "tool_calls.json")} <= {
        "clean", "parse_dates", "line", "bar", "heatmap", "anomalies", "aggregate",
    }  # fmt: skip


def test_a_plan_that_needs_no_repair_asks_for_none(tmp_path: Path) -> None:
    analysis = Analysis(tmp_path / "a")
    analysis.run()
    assert not analysis.requests("repair_plan")
    page = (analysis.folder / "report.html").read_text(encoding="utf-8")
    assert "<dt>Repair of the changes</dt><dd>not needed</dd>" in page
    # Schemas name the tools and columns that there are; the backend enforces them.
    schema = analysis.requests("adapt_plan")[0].decoding.json_schema
    assert schema is not None
    change = schema["properties"]["changes"]["items"]["properties"]
    assert change["params"]["properties"]["x"] == {
        "enum": ["date", "region", "channel", "units", "revenue"]
    }


DOWN = Failure(type="RequestError", message="connection refused")


@pytest.mark.parametrize(
    ("replies", "complaint"),
    [
        ({"intent": DOWN}, "gave no answer .*connection refused.*run again"),
        ({"adapt_plan": DOWN}, "gave no answer .*connection refused"),
        ({"adapt_plan": ADAPTATION, "repair_plan": DOWN}, "gave no answer"),
        ({"intent": "Time series, I think."}, "not one JSON object: no object.*No intent is"),
        ({"intent": {**INTENT, "primary": "other"}}, "primary: Input should be"),
        ({"adapt_plan": "Fine.", "repair_plan": "Fine."}, "not run as if nothing had to change"),
    ],
)
def test_without_an_answer_nothing_is_analysed(
    tmp_path: Path, replies: Mapping[str, Any], complaint: str
) -> None:
    with pytest.raises(UserError, match=re.compile(complaint, re.DOTALL)):
        Analysis(tmp_path / "a").run(**replies)
    assert not (tmp_path / "a" / "report.html").exists()


def test_an_edited_answer_is_refused(tmp_path: Path) -> None:
    analysis = Analysis(tmp_path / "a")
    at = analysis.run()
    raw = at / "intent.raw.jsonl"
    raw.write_text(raw.read_text(encoding="utf-8").replace("0.8", "0.9"), encoding="utf-8")
    with pytest.raises(UserError, match="does not have its checksum"):
        analysis.command(
            "adaptation", profile=at / "profile.json", settings=at / "settings.json", intent=raw,
            plans=PLANS, intent_output=at / "i.json", plan=at / "p.json", output=at / "o.jsonl",
        )  # fmt: skip


def test_a_reply_that_cannot_be_read_is_repaired_too(tmp_path: Path) -> None:
    at = Analysis(tmp_path / "a").run(adapt_plan="Let me think.")
    adapted = read(at / "plan_adapted.json")
    assert "not one JSON object" in adapted["problem"]
    assert adapted["rationale"] == REPAIR["rationale"]
    assert "Let me think." in (at / "report.html").read_text(encoding="utf-8")
    # If the repair cannot be read either, what was good of the first reply stays.
    at = Analysis(tmp_path / "b").run(adapt_plan=ADAPTATION, repair_plan="Sorry.")
    adapted = read(at / "plan_adapted.json")
    assert [each["reason"] for each in adapted["dropped"]] == [
        "the table has no column 'chanel'",
        "there is no tool 'pie'",
    ]


def test_null_for_a_parameter_that_was_not_given_changes_nothing(tmp_path: Path) -> None:
    """Dialects without optional properties send all parameters of all tools, most of them null."""
    others = dict.fromkeys(("y", "columns", "function", "value"))
    change = {"action": "modify", "step_id": "level", "tool": None, "description": None,
              "params": {"by": "region", **others}}  # fmt: skip
    at = Analysis(tmp_path / "a").run(adapt_plan={"changes": [change], "rationale": "By region."})
    ready = {each["id"]: each for each in read(at / "plan_template.json")["plan"]["steps"]}
    steps = {each["id"]: each for each in read(at / "plan_adapted.json")["plan"]["steps"]}
    assert steps["level"]["params"] == {**ready["level"]["params"], "by": "region"}
    assert {"y", "function"} <= ready["level"]["params"].keys()
    assert not read(at / "plan_adapted.json")["repaired"]


# Tables


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "the first line has no names"),
        (b"\n\n", "the first line has no names"),
        (b"a,b\n", "names of columns, but no rows"),
        (b"a,b", "names of columns, but no rows"),
        (b"a,b\n1,2\n1,2,3\n", "3 cells for 2 columns"),
        (b"a,b\n1\n", "1 cells for 2 columns"),
        (b"a\n\xe4\n", "line 2: byte 0xe4 is not UTF-8"),
        (b"\xff\xfea\x00,\x00", "byte 0xff is not UTF-8"),
        (b"PK\x03\x04\x14\x00\x90", "is not UTF-8"),
    ],
)
def test_what_is_no_table_gets_one_clear_message(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=complaint):
        read_table(path)


def test_names_of_columns_are_made_legal() -> None:
    header = [
        "a",
        "A",
        "a",
        "",
        " ",
        "x\ny",
        'q"',
        "</script>",
        "a.b[0]",
        "{c}",
        "\u202e\x00",
        "z" * 200,
    ]
    names, originals = column_names(header)
    assert names[:-1] == [
        "a", "A (2)", "a (3)", "column 4", "column 5", "x y", 'q"', "</script>", "a.b[0]", "{c}",
        "column 11",
    ]  # fmt: skip
    assert len(names[-1]) == 80
    assert originals["column 4"] == ""
    assert originals["x y"] == "x\ny"
    assert "a.b[0]" not in originals


HOSTILE = [
    "</script><script>alert(1)</script>",
    "a.b[0]",
    '"quoted\'"',
    "{{ 7*7 }}",
    "=1+1",
    "x\ny",
]


def test_hostile_names_and_values_reach_the_page_as_text(tmp_path: Path) -> None:
    frame = pd.DataFrame({name: [*(f"{name}{n % 3}" for n in range(30))] for name in HOSTILE[:4]})
    frame.insert(0, "formula", ["=1+1", "@x", "+y"] * 10)
    frame[HOSTILE[4]] = [n * 1.5 for n in range(30)]
    frame[HOSTILE[5]] = [f"2024-01-{n + 1:02d}" for n in range(30)]
    frame[""] = ["\x00\x1b[31m", "\ud800".encode("utf-8", "replace").decode(), *"z" * 28]
    data = tmp_path / "t.csv"
    frame.to_csv(data, index=False)
    hostile = {"primary": "time_series", "confidence": 1, "reasoning": "</script><img src=x>"}
    change = {"action": "add", "step_id": "<svg onload=1>", "tool": "bar",
              "description": "{{ 7*7 }}", "params": {"x": "a.b[0]", "y": "=1+1"}}  # fmt: skip
    reply = {"changes": [change], "rationale": "<script>alert(2)</script>"}
    at = Analysis(tmp_path / "a", data).run(intent=hostile, adapt_plan=reply)
    page = (at / "report.html").read_text(encoding="utf-8")
    assert page.count("<script>") == page.count("</script>") == 1  # our own
    assert "<img" not in page
    assert "onload=1&gt;" in page
    assert "49" not in re.findall(r"Purpose[^<]*", page)
    assert "default-src &#39;none&#39;" in page
    assert 5 <= len(charts_of(at)) <= 10
    for path in charts_of(at):
        root = ET.fromstring(path.read_bytes())  # noqa: S314 - our own text
        assert root.get("role") == "img"
        assert len(root.get("aria-label", "")) > 20
        assert "var(" not in path.read_text(encoding="utf-8")
    assert "%27=1+1" in page  # a spreadsheet runs no formula


TABLES = {
    "one number": "v\n" + "".join(f"{n * n}\n" for n in range(40)),
    "one equal number": "v\n" + "7\n" * 9,
    "one text": "v\n" + "a\nb\n\nb\n" * 5,
    "one date": "d\n" + "".join(f"2024-02-{n:02d}\n" for n in range(1, 25)),
    "mixed": "v;w\n" + "1;a\ntwo;2\n3;2024-01-01\n;\n" * 4,
    "only missing": "a\tb\n" + "\tNA\n" * 3,
    "one row": "a,b,c\n1,x,2024-01-01\n",
    "huge numbers": "a,b\n1e149,-1e308\n-9e149,1e-320\n1e308,0\n",
    "decimal commas": "a;b\n1,5;x\n2,5;y\n1.000,5;x\n",
    "identifiers": "id,text\n" + "".join(f"{n},word {n} of many\n" for n in range(1, 60)),
}


@pytest.mark.parametrize("name", TABLES)
def test_each_table_gives_a_page(tmp_path: Path, name: str) -> None:
    data = tmp_path / "t.csv"
    data.write_text(TABLES[name], encoding="utf-8")
    at = Analysis(tmp_path / "a", data).run(intent={**INTENT, "primary": "anomalies"})
    page = (at / "report.html").read_text(encoding="utf-8")
    drawn = len(charts_of(at))
    assert page.count("<figure") == drawn <= 10
    assert (f"allows no more than {drawn} chart" in page) == (drawn < 5)
    assert "NaN" not in page
    assert drawn or name == "only missing"
    for path in charts_of(at):
        assert "NaN" not in path.read_text(encoding="utf-8")


# A whole run


def test_a_config_of_analyses_alone_becomes_pages(project: Project) -> None:
    with running(CompatibleServer()) as server:
        server.be_vllm("vllm-small")
        server.models = {"small": server.models["tiny-3m"]}
        server.answer = by_rule
        server.enforces = False  # so that there is something to repair
        config = {
            "experiment": "tables",
            "backend": "openai_compatible",
            "local_endpoint": server.url,
            "model_id": "small",
            "analyses": {
                "december": {
                    "data": "resources/demo/sales.csv",
                    "question": "How did revenue develop by region?",
                }
            },
        }
        path = project.root / "config" / "tables.yaml"
        path.write_text(json.dumps(config), encoding="utf-8")
        run = ("--cores", "2", "--configfile", "config/tables.yaml")
        done = project.snakemake(*run)
        at = project.root / "results" / "tables" / "analyses" / "december"
        assert f"Report: {at / 'report.html'}" in done.stdout + done.stderr
        assert 5 <= len(charts_of(at)) <= 10
        assert read(at / "intent.json")["schema_enforced"] in {"exactly", "loosened"}
        asked = [body for body in server.bodies if body.get("max_tokens") != 1]
        assert len(asked) == 3
        before = files_of(at)
        # An edited line of a template: only what has it is sent again.
        project.replace(
            "prompts/jobs/adapt_plan.md", "as little as you can", "as little as possible"
        )
        project.snakemake(*run)
        again = [body for body in server.bodies if body.get("max_tokens") != 1][3:]
        assert ["as little as possible" in str(body) for body in again] == [True, True]
        now = files_of(at)
        unchanged = {name for name, content in now.items() if before[name] == content}
        named = {"report.html", "plan_adapted.json"}  # the prompt's digest, and the request's
        assert unchanged == before.keys() - named
        # Without an answer, nothing is made up.
        project.replace("config/tables.yaml", "by region?", "by channel?")
        server.faults = lambda asked, tries: "400" if "by channel?" in asked else ""
        failed = project.snakemake(*run, check=False)
        assert failed.returncode != 0
        assert "the model gave no answer" in failed.stdout + failed.stderr
        assert files_of(at).items() <= now.items()  # those of the old question, as far as kept
