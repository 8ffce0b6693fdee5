"""The tiny synthetic language of the open-book questions.

A passage states a few facts about invented people ("Mira Holt lives in Porto."), and a question
asks for one of them. Some facts are hedged ("may live in"), and some questions ask for what the
passage does not say, so that answering everything and abstaining sometimes differ.

Full names are split by a fixed rule: a combination of first name and surname that occurs in the
test questions never occurs in training, although each half does.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


def seeded(name: str) -> Random:
    """Return a random generator that gives the same stream for the same name everywhere."""
    return Random(name)  # noqa: S311 (reproducible is the point; nothing here is secret)


def words(text: str) -> tuple[str, ...]:
    """Split a list of words."""
    return tuple(text.split())


FIRST_NAMES = words(
    "Mira Tom Lena Omar Nina Paul Sara Igor Anna Hugo Rita Karl Dana Ivan Cora Finn "
    "Elsa Noah Lucy Emil Tara Joel Vera Axel Ruth Liam Maya Otto Gina Yuri Kate Sven "
    "Judy Mark Olga Dean Nora Rolf Lisa Amir Jane Leon Edna Kurt Faye Ravi Wilma Piet "
    "Alma Bruno Clara Dario Ella Felix Greta Henry Irene Jonas Klara Lukas Marta Nils Paula Simon"
)
SURNAMES = words(
    "Holt Reed Vane Katz Moss Berg Dunn Pike Ross Lund Hale Webb Cruz Frey Nash York "
    "Bell Voss Kerr Lang Marsh Stone Adler Brandt Carver Drake Ellis Foster Grant Hayes Ibsen "
    "Jensen Keller Lowell Mercer Norris Owens Parker Quinn Roth Sawyer Tanner Ulrich Vargas "
    "Walsh Zeller Archer Becker Conrad Dalton Elwood Fisher Garner Hobbs Irving Jarvis Knox "
    "Larsen Morrow Nolan Osborn Porter Ramsey Sutton"
)

HEDGED_SHARE = 0.08  # of the facts
KINDS = ("stated", "hedged", "unstated", "absent")


@dataclass(frozen=True)
class Relation:
    """One kind of fact: how it is stated, hedged and asked, and the values it can take."""

    name: str
    values: tuple[str, ...]
    statements: tuple[str, str]
    hedged: tuple[str, str]
    questions: tuple[str, str]


def _relation(
    noun: str, verb: str, base: str, question: str, values: str, *, article: str = ""
) -> Relation:
    """Spell out the verb form ("N lives in V.") and the noun form ("The home of N is V.")."""
    value = f"{article}{{value}}"
    return Relation(
        name=noun,
        values=words(values),
        statements=(f"{{name}} {verb} {value}.", f"The {noun} of {{name}} is {value}."),
        hedged=(f"{{name}} may {base} {value}.", f"The {noun} of {{name}} may be {value}."),
        questions=(question, f"What is the {noun} of {{name}}?"),
    )


RELATIONS = (
    _relation(
        "home",
        "lives in",
        "live in",
        "Where does {name} live?",
        "Porto Turin Bergen Lyon Ghent Malaga Leeds Bonn Basel Graz Krakow Utrecht "
        "Aarhus Tampere Cork Bari Seville Nantes Bremen Split Brno Varna Gdansk Lviv",
    ),
    _relation(
        "job",
        "works as a",
        "work as a",
        "What does {name} work as?",
        "baker pilot nurse judge painter farmer tailor plumber teacher dentist barber sailor "
        "miner potter guard lawyer waiter florist butcher porter singer dancer driver carpenter",
    ),
    _relation(
        "pet",
        "keeps",
        "keep",
        "What does {name} keep?",
        "cat dog rabbit parrot goat horse turtle hamster lizard snake pigeon donkey "
        "ferret goose duck pony sheep hen mouse spider frog toad falcon beetle",
        article="a ",
    ),
    _relation(
        "instrument",
        "plays",
        "play",
        "What does {name} play?",
        "cello flute piano violin harp guitar drums oboe banjo trumpet organ tuba "
        "viola clarinet lute bassoon mandolin zither ukulele trombone fiddle bugle piccolo sitar",
        article="the ",
    ),
    _relation(
        "meal",
        "eats",
        "eat",
        "What does {name} eat?",
        "soup rice pasta pizza salad bread cheese beans fish curry stew noodles "
        "tofu lentils sushi porridge yogurt waffles pancakes risotto omelette ham cake toast",
    ),
    _relation(
        "language",
        "speaks",
        "speak",
        "What does {name} speak?",
        "Dutch Polish Danish Czech Greek Turkish Welsh Irish Thai Hindi Korean Arabic "
        "Swahili Finnish Hebrew Latin Zulu Malay Urdu Basque Catalan Maltese Persian Bengali",
    ),
)


@dataclass(frozen=True)
class Fact:
    """That ``name`` has ``value`` for ``relation``; ``text`` is the sentence that says so."""

    name: str
    relation: Relation
    value: str
    hedged: bool
    text: str


@dataclass(frozen=True)
class Passage:
    """Facts about a few people, in the order in which they are told."""

    people: tuple[str, ...]
    facts: tuple[Fact, ...]

    @property
    def text(self) -> str:
        """The passage as the model reads it."""
        return " ".join(fact.text for fact in self.facts)

    def values_of(self, relation: Relation) -> list[str]:
        """Every value the passage states for ``relation``, whoever it belongs to."""
        return [fact.value for fact in self.facts if fact.relation is relation]


@dataclass(frozen=True)
class Question:
    """A question about a passage; ``answer`` is None when the passage does not answer it."""

    text: str
    kind: str
    relation: Relation
    answer: str | None


def split_of(first: str, surname: str) -> str:
    """Name the split a full name belongs to: 1/8 test, 1/8 validation, the rest training."""
    mixed = 3 * FIRST_NAMES.index(first) + SURNAMES.index(surname)
    return {0: "test", 1: "valid"}.get(mixed % 8, "train")


def draw_names(rng: Random, split: str, count: int) -> tuple[str, ...]:
    """Draw full names of one split that share neither a first name nor a surname."""
    names: list[str] = []
    firsts: set[str] = set()
    surnames: set[str] = set()
    while len(names) < count:
        first, surname = rng.choice(FIRST_NAMES), rng.choice(SURNAMES)
        if first in firsts or surname in surnames or split_of(first, surname) != split:
            continue
        names.append(f"{first} {surname}")
        firsts.add(first)
        surnames.add(surname)
    return tuple(names)


def draw_shape(rng: Random) -> tuple[int, int, int]:
    """Draw how many people, relations and facts a passage of the demonstration has.

    Most of these passages are longer than any in training, so that the model makes mistakes.
    """
    people = rng.randint(3, 6)
    return people, 3, 2 * people + rng.randint(0, 1)


def draw_passage(rng: Random, split: str, *, people: int, relations: int, facts: int) -> Passage:
    """Draw a passage of ``facts`` facts of ``relations`` kinds about ``people`` people.

    With fewer relations than facts, the same relation is told of several people: the answer then
    depends on the name and the relation together, never on one alone. Two people never share a
    value.
    """
    names = draw_names(rng, split, people)
    kinds = rng.sample(RELATIONS, relations)
    pairs = [(name, relation) for name in names for relation in kinds]
    while True:
        chosen = rng.sample(pairs, facts)
        if len({name for name, _ in chosen}) == people:
            break
    values = {relation.name: rng.sample(relation.values, people) for relation in kinds}
    told = []
    for name, relation in chosen:
        value = values[relation.name].pop()
        hedged = rng.random() < HEDGED_SHARE
        form = rng.choice(relation.hedged if hedged else relation.statements)
        told.append(Fact(name, relation, value, hedged, form.format(name=name, value=value)))
    return Passage(names, tuple(told))


def possible_questions(rng: Random, passage: Passage, split: str) -> dict[str, list[Question]]:
    """List what can be asked about ``passage``, by kind (see ``KINDS``), each list shuffled.

    "stated" and "hedged" have an answer. "unstated" asks for a relation told of somebody else
    but not of this person; "absent" asks about a person whom the passage does not mention.
    """
    relations = list(dict.fromkeys(fact.relation for fact in passage.facts))
    told = {(fact.name, fact.relation.name): fact for fact in passage.facts}
    used = {half for name in passage.people for half in name.split()}
    while True:
        (stranger,) = draw_names(rng, split, 1)
        if not used & set(stranger.split()):
            break
    questions: dict[str, list[Question]] = {kind: [] for kind in KINDS}
    for name in (*passage.people, stranger):
        for relation in relations:
            fact = told.get((name, relation.name))
            if fact:
                kind = "hedged" if fact.hedged else "stated"
            else:
                kind = "absent" if name == stranger else "unstated"
            text = rng.choice(relation.questions).format(name=name)
            questions[kind].append(Question(text, kind, relation, fact.value if fact else None))
    for asked in questions.values():
        rng.shuffle(asked)
    return questions
