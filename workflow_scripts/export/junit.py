"""gate.xml: a gate's decisions as JUnit XML, which continuous-integration servers read.

JUnit itself has no schema. The elements and attributes are those that Maven Surefire and Jenkins
describe (tests/vendor/junit). ``failure`` is a check that got worse, ``error`` one that cannot
tell: a server counts neither as passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from ..comparisons.gate_report import GateReport, Judgement
from ..core.xml_text import xml_text
from ..report.wording import sentence_case
from .gate_text import DECISIONS, allowed, change, reason, what, where

_ELEMENTS = {"worse": "failure", "cannot_tell": "error"}


def junit(report: GateReport) -> str:
    """Return the whole file: a suite for each trial, a test case for each check."""
    root = _element(None, "testsuites", name=f"gate of {report.experiment}")
    _count(root, report.checks)
    for trial in dict.fromkeys(each.trial for each in report.checks):
        checks = [each for each in report.checks if each.trial == trial]
        suite = _element(root, "testsuite", name=f"{report.experiment}/{trial}")
        _count(suite, checks)
        for each in checks:
            _case(suite, report, each)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _case(suite: ElementTree.Element, report: GateReport, check: Judgement) -> None:
    place = f"{report.experiment}/{check.trial}"
    # The time is there because some readers take a missing one for an error; a decision takes none.
    case = _element(
        suite, "testcase", name=f"{what(check)}: {where(check)}", classname=place, time="0"
    )
    numbers = f"change {change(check)}, allowed {allowed(check)}, {check.n_items} items"
    name = _ELEMENTS.get(check.decision)
    if name is None:
        _element(case, "system-out").text = xml_text(numbers)
        return
    message = f"{sentence_case(DECISIONS[check.decision])}: {numbers}"
    found = _element(case, name, type=check.decision, message=message)
    found.text = xml_text(reason(check, report.power))


def _count(element: ElementTree.Element, checks: Sequence[Judgement]) -> None:
    element.set("tests", str(len(checks)))
    for decision, name in _ELEMENTS.items():
        element.set(f"{name}s", str(sum(each.decision == decision for each in checks)))


def _element(
    parent: ElementTree.Element | None, tag: str, **attributes: str
) -> ElementTree.Element:
    clean = {name: xml_text(value) for name, value in attributes.items()}
    if parent is None:
        return ElementTree.Element(tag, clean)
    return ElementTree.SubElement(parent, tag, clean)
