"""Write the adapted plan, and how it differs from the ready one."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator
from pathlib import Path

from ..core.errors import command
from ..core.files import read_settings, write_record, write_text
from ..core.logs import log_to
from ..core.seals import SealWriter, add_seal_argument
from ..export.markdown import escape
from ..plans.plan import Plan, Step
from ..plans.profile import Profile
from ..plans.templates import Chosen
from .adaptation import changes_schema
from .adapted import Adapted, final
from .settings import AnalysisSettings

log = logging.getLogger(__name__)


def differences(before: Plan, after: Plan) -> list[tuple[str, Step | None, Step | None]]:
    """Return the steps of two plans side by side, each with what became of it."""
    old = {each.id: each for each in before.steps}
    new = {each.id: each for each in after.steps}
    found: list[tuple[str, Step | None, Step | None]] = []
    for name, step in old.items():
        now = new.get(name)
        found.append(
            ("removed" if now is None else "kept" if now == step else "modified", step, now)
        )
    return [*found, *(("added", None, step) for name, step in new.items() if name not in old)]


def markdown(chosen: Chosen, adapted: Adapted) -> str:
    """Return plan_diff.md."""
    return "\n".join(_lines(chosen, adapted)) + "\n"


def call(step: Step) -> str:
    """Return a step as it is called."""
    params = ", ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in step.params.items()
    )
    return f"{step.tool}({params})"


def _lines(chosen: Chosen, adapted: Adapted) -> Iterator[str]:
    yield f"# {escape(chosen.plan.title)}: changes to the plan"
    yield ""
    yield "The model's reason:"
    yield ""
    yield f"> {escape(adapted.rationale) or 'none given'}"
    yield ""
    yield "| step | change | before | after |"
    yield "|---|---|---|---|"
    for kind, old, new in differences(chosen.plan, adapted.plan):
        step = new or old
        before, after = (escape(call(each)) if each else "" for each in (old, new))
        yield f"| {escape(step.id if step else '')} | {kind} | {before} | {after} |"
    for title, rejected in (
        ("Rejected at first; one repair was asked", adapted.repaired),
        ("Dropped", adapted.dropped),
    ):
        if rejected:
            yield from ("", f"{title}:", "")
            for each in rejected:
                yield (
                    f"- {each.change.action} {escape(each.change.step_id)}: {escape(each.reason)}"
                )
    if adapted.problem:
        yield from ("", f"The first reply was not read: {escape(adapted.problem)}")


@command
def main() -> None:
    """Write plan_adapted.json and plan_diff.md."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--profile", type=Path, required=True, help="profile.json")
    parser.add_argument("--plan", type=Path, required=True, help="plan_template.json")
    parser.add_argument("--adaptation", type=Path, required=True, help="its raw part")
    parser.add_argument("--repair", type=Path, required=True, help="its raw part")
    parser.add_argument("--settings", type=Path, required=True, help="AnalysisSettings as JSON")
    parser.add_argument("--output", type=Path, required=True, help="plan_adapted.json")
    parser.add_argument("--differences", type=Path, required=True, help="plan_diff.md")
    add_seal_argument(parser)
    args = parser.parse_args()

    log_to(None)
    profile = read_settings(args.profile, Profile)
    chosen = read_settings(args.plan, Chosen)
    schema = changes_schema(read_settings(args.settings, AnalysisSettings), profile)
    seal = SealWriter(args.seal, [args.profile, args.plan, args.adaptation, args.repair])
    adapted = final(chosen.plan, profile, args.adaptation, args.repair, schema)
    for each in adapted.dropped:
        log.warning("change %d is dropped: %s", each.number, each.reason)
    write_record(args.output, adapted)
    write_text(args.differences, markdown(chosen, adapted))
    seal.seal(args.output, args.differences)


if __name__ == "__main__":
    main()
