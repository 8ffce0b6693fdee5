"""The labelling page: one file that works offline and knows nothing of the arms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..core.content_security import content_security_policy
from .passages import ShownPassage

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Shown:
    """One response as the page shows it; ``id`` is that of the key file.

    ``context`` is the item's own passage, ``passages`` are those that were found for it.
    """

    id: str
    dataset: str
    question: str
    answers: Sequence[str]
    no_answers: str
    context: str | None
    context_label: str
    response: str
    passages: Sequence[ShownPassage] = ()


def label_page(name: str, sample: str, shown: Sequence[Shown], earlier: Iterable[str] = ()) -> str:
    """Return the page's HTML.

    Args:
        name: of the label file; downloads are called after it.
        sample: the sample's digest: the browser keeps verdicts under it, and exports name it.
        shown: the responses in the order in which they are labelled.
        earlier: digests of smaller samples that this one begins with; the browser goes on with the
            verdicts that it keeps under the last one it knows.
    """
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates", encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    style, script = (
        (_HERE / "assets" / file).read_text(encoding="utf-8") for file in ("label.css", "label.js")
    )
    numbers: dict[tuple[str, str], int] = {}
    responses = [
        {
            **asdict(each),
            "passages": [
                [numbers.setdefault((found.place, found.text), len(numbers)), found.cited]
                for found in each.passages
            ],
        }
        for each in shown
    ]
    data = {
        "name": name,
        "sample": sample,
        "earlier": list(earlier),
        "responses": responses,
        "passages": list(numbers),
    }
    return environment.get_template("label.html.j2").render(
        name=name,
        data=data,
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        policy=content_security_policy([style], [script]),
    )
