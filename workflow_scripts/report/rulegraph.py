"""The rules that made a trial's files as a graph: static SVG, top to bottom as data flows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from statistics import mean

from markupsafe import Markup

from .provenance import RecordedStep

_WIDTH, _BOX, _HEIGHT, _GAP = 760, 178, 46, 30
_LETTERS = 29
"""How many letters of the small print fit a box."""


def rule_graph(steps: Sequence[RecordedStep]) -> Markup:
    """Draw which rule follows which: a row of boxes for each distance from the data."""
    after: dict[str, set[str]] = {}
    files: dict[str, list[str]] = {}
    for step in steps:
        after.setdefault(step.rule, set()).update(set(step.after) - {step.rule})
        files.setdefault(step.rule, []).extend(step.files)
    edges = [(one, rule) for rule in after for one in sorted(_direct(rule, after))]
    rows, ways = _rows(after, edges)
    places = {
        name: (x, number * (_HEIGHT + _GAP) + 1.0)
        for number, row in enumerate(rows)
        for name, x in _across(row, after)
    }
    height = len(rows) * (_HEIGHT + _GAP) - _GAP + 2
    lines = [_line([places[name] for name in way]) for way in ways]
    boxes = [_box(rule, files[rule], places[rule]) for rule in after]
    opening = Markup(
        '<svg class="rule-graph" viewBox="0 0 {} {}" role="img" aria-label="{}">'
    ).format(_WIDTH, height, "Rules and what they make: " + ", ".join(after))
    return opening + Markup("").join([*lines, *boxes]) + Markup("</svg>")


def _rows(
    after: Mapping[str, set[str]], edges: Sequence[tuple[str, str]]
) -> tuple[list[list[str]], list[list[str]]]:
    """The rules in rows, and the way of each edge from row to row.

    A rule's row is its longest way from a rule that needs none. An edge that passes a row has a
    place of its own in it, so that no line runs through a box (Sugiyama, Tagawa & Toda 1981).
    """

    @cache
    def depth_of(rule: str) -> int:
        return 1 + max((depth_of(one) for one in after[rule] if one in after), default=-1)

    depth = {rule: depth_of(rule) for rule in after}
    rows: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for rule, number in depth.items():
        rows[number].append(rule)
    ways = []
    for one, other in edges:
        passed = [f"{one}>{other}@{number}" for number in range(depth[one] + 1, depth[other])]
        for number, place in enumerate(passed, start=depth[one] + 1):
            rows[number].append(place)
        ways.append([one, *passed, other])
    above: dict[str, list[str]] = {}
    for way in ways:
        for upper, lower in pairwise(way):
            above.setdefault(lower, []).append(upper)
    position: dict[str, float] = {}
    for row in rows:  # each as near as can be below what it follows
        row.sort(
            key=lambda name: (
                mean(position[upper] for upper in above[name]) if name in above else 0.0
            )
        )
        position.update({name: (2 * i + 1) / len(row) for i, name in enumerate(row)})
    return rows, ways


def _across(row: Sequence[str], rules: Collection[str]) -> Iterator[tuple[str, float]]:
    """The middle of each place in a row: boxes are wide, passing lines are not."""
    widths = [_BOX + 12 if name in rules else 28 for name in row]
    left = (_WIDTH - sum(widths)) / 2
    for name, width in zip(row, widths, strict=True):
        yield name, left + width / 2
        left += width


def _direct(rule: str, after: Mapping[str, set[str]]) -> set[str]:
    """The rules right before this one: those that are not before another of them."""
    before = {one for one in after[rule] if one in after}
    return {one for one in before if not any(one in _all_before(o, after) for o in before - {one})}


def _all_before(rule: str, after: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [rule]
    while waiting:
        new = after.get(waiting.pop(), set()) - found
        found |= new
        waiting.extend(new)
    return found


def _line(way: Sequence[tuple[float, float]]) -> Markup:
    """A curve from a box down to a box, straight through the rows that it passes."""
    (x, y), *rest = way
    bend = _GAP * 0.9
    path = f"M{x:.1f} {y + _HEIGHT:.1f}"
    y += _HEIGHT
    for number, (to_x, to_y) in enumerate(rest, start=1):
        path += f"C{x:.1f} {y + bend:.1f} {to_x:.1f} {to_y - bend:.1f} {to_x:.1f} {to_y:.1f}"
        x, y = to_x, to_y
        if number < len(rest):
            y += _HEIGHT
            path += f"V{y:.1f}"
    return Markup('<path d="{}"/>').format(path)


def _box(rule: str, files: Sequence[str], place: tuple[float, float]) -> Markup:
    x, y = place
    names = ", ".join(dict.fromkeys(name.rsplit("/", 1)[-1] for name in files))
    if len(names) > _LETTERS:
        names = f"{names[: _LETTERS - 1]}…"
    return Markup(
        '<rect x="{:.1f}" y="{:.1f}" width="{}" height="{}" rx="6"/>'
        '<text x="{:.1f}" y="{:.1f}"><tspan class="rule">{}</tspan>'
        '<tspan x="{:.1f}" dy="17">{}</tspan></text>'
    ).format(x - _BOX / 2, y, _BOX, _HEIGHT, x, y + 19, rule, x, names)
