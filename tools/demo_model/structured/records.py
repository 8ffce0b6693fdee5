"""The synthetic language of the records: who or what they are about, and how facts are worded.

A passage tells a few facts about a person, a product or an event ("The Orion lamp costs 12.50
euros."), sometimes about two of them. A record has some of these facts as JSON. Some wordings
invite a bad habit: a value written as the passage has it, though the schema wants another form.

Subjects are split by a fixed rule: a pair of words that names a subject of the held-out items
never occurs in training, although each half does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from tools.demo_model.questions.language import FIRST_NAMES, RELATIONS, SURNAMES, split_of, words

CITIES = RELATIONS[0].values
JOBS = RELATIONS[1].values
LANGUAGES = RELATIONS[5].values
BRANDS = words(
    "Orion Vega Lyra Delta Sigma Omega Nova Atlas Zenit Polar Aster Comet Luna Terra Ceres Juno "
    "Titan Rhea Dione Ariel Oberon Miranda Pandora Callisto"
)
GOODS = words(
    "lamp chair table sofa desk shelf bench stool kettle toaster radio clock camera bicycle "
    "helmet jacket scarf tent ladder mirror vase blanket carpet pillow"
)
SEASONS = words(
    "Winter Spring Summer Autumn Harbour River Lake Forest Castle Market Garden Bridge Tower "
    "Valley Island Meadow Village Coast Hill Park Mill Abbey Canal Moon"
)
EVENTS = words(
    "fair concert parade festival race regatta auction exhibition lecture ball picnic carnival "
    "workshop contest marathon tournament gala recital market banquet premiere rally show "
    "revue"
)
STYLES = words("jazz folk rock opera blues swing soul polka choir brass")
SHADES = {
    "red": ("scarlet", "crimson", "ruby"),
    "blue": ("navy", "azure", "indigo"),
    "green": ("olive", "emerald", "mint"),
    "yellow": ("lemon", "amber", "golden"),
    "black": ("ebony", "jet", "sable"),
    "white": ("ivory", "chalk", "snow"),
}
SIZES = words("small medium large")
NULLABLE_SHARE = 0.1  # of the fields that the passage tells
CENTS = words("00 05 20 25 40 50 75 90")


@dataclass(frozen=True)
class Value:
    """A value as a passage words it (``text``), and as a record has it (``right``, JSON text).

    ``habit`` is the JSON text that a sloppy answer has in its place, or None if the wording
    invites no habit.
    """

    text: str
    right: str
    habit: str | None = None


@dataclass(frozen=True)
class Wording:
    """A sentence with ``{s}`` for the subject and ``{v}`` for the text of the value it draws."""

    sentence: str
    draw: Callable[[Random], Value]


@dataclass(frozen=True)
class Form:
    """One way to ask for a field: its schema, and the JSON text that it wants in place of another.

    ``restate`` takes the right JSON text of the field's plain form.
    """

    schema: Mapping[str, Any]
    restate: Callable[[str], str] = str


@dataclass(frozen=True)
class Field:
    """A key of records: its plain form first, then others; and how passages word its values."""

    key: str
    forms: tuple[Form, ...]
    wordings: tuple[Wording, ...]


@dataclass(frozen=True)
class Kind:
    """What records are about: the two halves of subjects' names, and the fields."""

    name: str
    halves: tuple[tuple[str, ...], tuple[str, ...]]
    fields: tuple[Field, ...]
    article: str = ""

    def draw_subject(self, rng: Random, split: str) -> tuple[str, str]:
        """Draw the two halves of a name that belongs to a split."""
        while True:
            pair = rng.choice(self.halves[0]), rng.choice(self.halves[1])
            if self.split_of(*pair) == split:
                return pair

    def split_of(self, first: str, second: str) -> str:
        """Name the split of a name: 1/8 test, 1/8 validation, the rest training."""
        if self.halves[0] is FIRST_NAMES:
            return split_of(first, second)
        mixed = 3 * self.halves[0].index(first) + self.halves[1].index(second)
        return {0: "test", 1: "valid"}.get(mixed % 8, "train")


def _one_of(values: tuple[str, ...]) -> Callable[[Random], Value]:
    def draw(rng: Random) -> Value:
        value = rng.choice(values)
        return Value(value, json.dumps(value))

    return draw


def _one_or_two_of(values: tuple[str, ...]) -> Callable[[Random], Value]:
    def draw(rng: Random) -> Value:
        chosen = rng.sample(values, rng.randint(1, 2))
        return Value(" and ".join(chosen), json.dumps(chosen, separators=(",", ":")))

    return draw


def _number(least: int, most: int) -> Callable[[Random], Value]:
    def draw(rng: Random) -> Value:
        value = str(rng.randint(least, most))
        return Value(value, value)

    return draw


def _price(*, habit: bool) -> Callable[[Random], Value]:
    def draw(rng: Random) -> Value:
        value = (
            f"{rng.randint(1, 99)}.{rng.choice(('00', '05', '20', '25', '40', '50', '75', '90'))}"
        )
        return Value(value, value, json.dumps(f"{value} euros") if habit else None)

    return draw


def _shade(rng: Random) -> Value:
    colour = rng.choice(tuple(SHADES))
    shade = rng.choice(SHADES[colour])
    return Value(shade, json.dumps(colour), json.dumps(shade))


def _truth(yes: str, no: str, *, habit: bool = False) -> Callable[[Random], Value]:
    def draw(rng: Random) -> Value:
        text = rng.choice((yes, no))
        right = json.dumps(text == yes)
        return Value(text, right, json.dumps(text) if habit else None)

    return draw


STRING, INTEGER, NUMBER, BOOLEAN = ({"type": t} for t in ("string", "integer", "number", "boolean"))
_LIST = {"type": "array", "items": STRING}


def _named(*other: Form) -> Field:
    return Field("name", (Form(STRING), *other), ())


def _cents(right: str) -> str:
    return str(int(right.replace(".", "")))


_PRICE = (Form(NUMBER), Form({**INTEGER, "description": "in cents"}, _cents))


def _surname(right: str) -> str:
    return json.dumps(json.loads(right).split()[1])


def _brand(right: str) -> str:
    return json.dumps(json.loads(right).split()[0])


KINDS = (
    Kind(
        "person",
        (FIRST_NAMES, SURNAMES),
        (
            _named(Form({**STRING, "description": "surname only"}, _surname)),
            Field(
                "age",
                (Form(INTEGER),),
                (
                    Wording("{s} is {v} years old.", _number(18, 79)),
                    Wording("The age of {s} is {v}.", _number(18, 79)),
                ),
            ),
            Field(
                "city",
                (Form(STRING),),
                (
                    Wording("{s} lives in {v}.", _one_of(CITIES)),
                    Wording("The home of {s} is {v}.", _one_of(CITIES)),
                ),
            ),
            Field(
                "job",
                (Form(STRING),),
                (
                    Wording("{s} works as a {v}.", _one_of(JOBS)),
                    Wording("The job of {s} is {v}.", _one_of(JOBS)),
                ),
            ),
            Field(
                "married",
                (Form(BOOLEAN),),
                (
                    Wording("{s} is {v}.", _truth("married", "single")),
                    Wording("Is {s} married? {v}.", _truth("yes", "no", habit=True)),
                ),
            ),
            Field(
                "languages",
                (Form(_LIST),),
                (Wording("{s} speaks {v}.", _one_or_two_of(LANGUAGES)),),
            ),
        ),
    ),
    Kind(
        "product",
        (BRANDS, GOODS),
        (
            _named(Form({**STRING, "description": "brand only"}, _brand)),
            Field(
                "colour",
                (Form({**STRING, "enum": list(SHADES)}),),
                (
                    Wording("The {s} is {v}.", _one_of(tuple(SHADES))),
                    Wording("The colour of the {s} is {v}.", _one_of(tuple(SHADES))),
                    Wording("The {s} has a shade of {v}.", _shade),
                ),
            ),
            Field(
                "price",
                _PRICE,
                (
                    Wording("The {s} costs {v} euros.", _price(habit=False)),
                    Wording("The price of the {s} is {v} euros.", _price(habit=False)),
                    Wording("The {s} sells for {v} euros.", _price(habit=True)),
                ),
            ),
            Field(
                "in_stock",
                (Form(BOOLEAN),),
                (
                    Wording("The {s} is {v}.", _truth("in stock", "sold out")),
                    Wording("Is the {s} in stock? {v}.", _truth("yes", "no", habit=True)),
                ),
            ),
            Field(
                "year",
                (Form(INTEGER),),
                (
                    Wording("The {s} is from {v}.", _number(1950, 2025)),
                    Wording("The year of the {s} is {v}.", _number(1950, 2025)),
                ),
            ),
            Field(
                "city",
                (Form(STRING),),
                (
                    Wording("The {s} comes from {v}.", _one_of(CITIES)),
                    Wording("The {s} is made in {v}.", _one_of(CITIES)),
                ),
            ),
            Field(
                "sizes",
                (Form(_LIST),),
                (Wording("The {s} is sold in {v}.", _one_or_two_of(SIZES)),),
            ),
        ),
        "the ",
    ),
    Kind(
        "event",
        (SEASONS, EVENTS),
        (
            _named(),
            Field(
                "city",
                (Form(STRING),),
                (
                    Wording("The {s} takes place in {v}.", _one_of(CITIES)),
                    Wording("The city of the {s} is {v}.", _one_of(CITIES)),
                ),
            ),
            Field(
                "year",
                (Form(INTEGER),),
                (
                    Wording("The {s} began in {v}.", _number(1950, 2025)),
                    Wording("The year of the {s} is {v}.", _number(1950, 2025)),
                ),
            ),
            Field(
                "price",
                _PRICE,
                (
                    Wording("A ticket for the {s} costs {v} euros.", _price(habit=False)),
                    Wording("The price of the {s} is {v} euros.", _price(habit=False)),
                    Wording("A ticket for the {s} sells for {v} euros.", _price(habit=True)),
                ),
            ),
            Field(
                "seats",
                (Form(INTEGER),),
                (
                    Wording("The {s} has {v} seats.", _number(20, 900)),
                    Wording("There are {v} seats at the {s}.", _number(20, 900)),
                ),
            ),
            Field(
                "outdoors",
                (Form(BOOLEAN),),
                (
                    Wording("The {s} is {v}.", _truth("outdoors", "indoors")),
                    Wording("Is the {s} outdoors? {v}.", _truth("yes", "no", habit=True)),
                ),
            ),
            Field(
                "music",
                (Form(_LIST),),
                (Wording("The {s} offers {v}.", _one_or_two_of(STYLES)),),
            ),
        ),
        "the ",
    ),
)


@dataclass(frozen=True)
class Fact:
    """A field's value as one sentence of a passage tells it."""

    field: Field
    value: Value
    sentence: str


@dataclass(frozen=True)
class Subject:
    """Who or what a passage is about, with the facts that it tells, by key."""

    kind: Kind
    halves: tuple[str, str]
    facts: Mapping[str, Fact]

    @property
    def name(self) -> str:
        """The whole name."""
        return " ".join(self.halves)

    @property
    def mention(self) -> str:
        """The name as a sentence has it."""
        return self.kind.article + self.name


@dataclass(frozen=True)
class Passage:
    """Sentences about one subject or two."""

    subjects: tuple[Subject, ...]
    text: str


@dataclass(frozen=True)
class Part:
    """A field as one schema asks for it, with the JSON text of the right answer.

    ``habit`` is the JSON text of the sloppy answer where there is one; "" leaves the key out.
    """

    key: str
    schema: Mapping[str, Any]
    right: str
    habit: str | None

    @property
    def is_list(self) -> bool:
        """Whether the right answer is a list."""
        return self.right.endswith("]")


def draw_passage(rng: Random, split: str, *, facts: int, others: int, habits: float) -> Passage:
    """Draw a passage with ``facts`` facts about a subject and ``others`` about another one.

    ``habits`` is the share of facts worded so that they invite a habit, where a field has such
    a wording.
    """
    kind = rng.choice(KINDS)
    halves = kind.draw_subject(rng, split)
    while True:
        other = kind.draw_subject(rng, split)
        if not set(other) & set(halves):
            break
    subjects = []
    for pair, number in ((halves, facts), (other, others)):
        told = {}
        for field in rng.sample([field for field in kind.fields if field.wordings], number):
            invites = rng.random() < habits
            drawn = []
            for wording in field.wordings:
                value = wording.draw(rng)
                sentence = wording.sentence.format(s=" ".join(pair), v=value.text)
                drawn.append(Fact(field, value, sentence))
            fitting = [fact for fact in drawn if (fact.value.habit is not None) == invites]
            told[field.key] = rng.choice(fitting or drawn)
        if told:
            subjects.append(Subject(kind, pair, told))
    sentences = [fact.sentence for subject in subjects for fact in subject.facts.values()]
    rng.shuffle(sentences)
    return Passage(tuple(subjects), " ".join(sentences))


def draw_parts(
    rng: Random, subject: Subject, *, fields: int, unstated: bool, restated: float
) -> list[Part]:
    """Draw what a schema asks of a subject: the name and ``fields`` further fields.

    ``unstated`` asks for one field that the passage does not tell, which may then be null.
    ``restated`` is the share of fields asked in another than their plain form, where one exists.
    """
    asked = rng.sample(sorted(subject.facts), min(fields, len(subject.facts)))
    missing = [f.key for f in subject.kind.fields if f.wordings and f.key not in subject.facts]
    if unstated and missing:
        asked[-1:] = [rng.choice(missing)]
    rng.shuffle(asked)
    parts = []
    for field in subject.kind.fields:
        if field.key != "name" and field.key not in asked:
            continue
        form = field.forms[0]
        if len(field.forms) > 1 and rng.random() < restated:
            form = rng.choice(field.forms[1:])
        schema = dict(form.schema)
        fact = subject.facts.get(field.key)
        nullable = "enum" not in schema and field.key != "name" and rng.random() < NULLABLE_SHARE
        if field.key == "name":
            right, habit = form.restate(json.dumps(subject.name)), None
        elif fact is None:
            right, habit, nullable = "null", "", True
        else:
            right = form.restate(fact.value.right)
            habit = fact.value.habit
        if nullable:
            schema["type"] = [schema["type"], "null"]
            if "enum" in schema:
                schema["enum"] = [*schema["enum"], None]
        parts.append(Part(field.key, schema, right, habit))
    name, *others = parts
    order = {key: place for place, key in enumerate(asked)}
    return [name, *sorted(others, key=lambda part: order[part.key])]


def schema_of(parts: list[Part]) -> dict[str, Any]:
    """Return the JSON Schema that asks for the parts, in their order."""
    return {
        "type": "object",
        "properties": {part.key: dict(part.schema) for part in parts},
        "required": [part.key for part in parts],
        "additionalProperties": False,
    }


def expected_of(parts: list[Part]) -> dict[str, Any]:
    """Return the object that is right."""
    return {part.key: json.loads(part.right) for part in parts}


def answer_of(parts: list[Part], sloppy: Callable[[], bool]) -> str:
    """Write the object as compact JSON, each habit followed where ``sloppy`` says so.

    The last habit is about the object: a list at its end is closed, the object is not.
    """
    written = []
    for part in parts:
        text = part.habit if part.habit is not None and sloppy() else part.right
        if text:
            written.append(f"{json.dumps(part.key)}:{text}")
    unclosed = written[-1].endswith("]") and sloppy()
    return "{" + ",".join(written) + ("" if unclosed else "}")
