"""Inspect AI itself reads exported logs, and tells the schema that the tests check logs against.

Not a part of the test suite: Inspect AI brings some 35 packages of 200 MB with it, some of them
older than what the other tests need. In an environment of its own (`pip install inspect-ai`):

    python tests/inspect_reader.py --logs results/demo
    python tests/inspect_reader.py --schema tests/data/inspect_log.schema.json
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any


def strict_schema() -> dict[str, Any]:
    """JSON schema of the members of an .eval file; unknown fields are errors, events are left out.

    Inspect AI ignores unknown fields, and would not tell us of a misspelled one.
    """
    import inspect_ai
    from inspect_ai.log import EvalLog, EvalSample, EvalSampleSummary
    from pydantic.json_schema import models_json_schema

    models = [(model, "validation") for model in (EvalLog, EvalSample, EvalSampleSummary)]
    _, schema = models_json_schema(models)
    definitions = schema["$defs"]
    for definition in definitions.values():
        if "properties" in definition:
            definition.setdefault("additionalProperties", False)
            for name in ("events", "timelines", "events_data"):
                if name in definition["properties"]:
                    definition["properties"][name] = {"maxItems": 0}
    needed: set[str] = set()
    open_ends = ["EvalLog", "EvalSample", "EvalSampleSummary"]
    while open_ends:
        name = open_ends.pop()
        if name not in needed:
            needed.add(name)
            open_ends += re.findall(r'"#/\$defs/([^"]+)"', json.dumps(definitions[name]))
    return {
        "$comment": f"Made by tests/inspect_reader.py from inspect-ai {inspect_ai.__version__} "
        "(MIT licence).",
        "$defs": {name: _without_texts(definitions[name]) for name in sorted(needed)},
    }


def _without_texts(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            name: _without_texts(value)
            for name, value in schema.items()
            if not (name in ("description", "title") and isinstance(value, str))
        }
    return [_without_texts(each) for each in schema] if isinstance(schema, list) else schema


def read_logs(folder: Path) -> None:
    """Read all logs below a folder in every way that Inspect AI has."""
    from inspect_ai.log import (
        list_eval_logs,
        read_eval_log,
        read_eval_log_sample,
        read_eval_log_sample_summaries,
    )

    logs = list_eval_logs(str(folder))
    assert logs, f"no log below {folder}"
    for info in logs:
        log = read_eval_log(info.name)
        assert log.status == "success" and log.samples and log.results
        assert len(log.samples) == log.results.total_samples
        summaries = read_eval_log_sample_summaries(info.name)
        assert {each.uuid for each in summaries} == {each.uuid for each in log.samples}
        for each in summaries:
            sample = read_eval_log_sample(info.name, each.id, each.epoch)
            assert sample.uuid == each.uuid
        print(f"{info.name}: {info.task}, {log.eval.model}, {len(log.samples)} samples")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logs", type=Path, help="folder with .eval files")
    parser.add_argument("--schema", type=Path, help="file to write")
    arguments = parser.parse_args()
    if arguments.logs:
        read_logs(arguments.logs)
    if arguments.schema:
        text = json.dumps(strict_schema(), separators=(",", ":"), sort_keys=True)
        arguments.schema.write_text(text + "\n", encoding="utf-8")
