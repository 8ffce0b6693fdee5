"""The wording of a response, so prepared that patterns can be read and matched.

All patterns of this package are written for the output of `plain_words`: lower case, contractions
written out, no articles, no punctuation. Response and phrase go through the same function, so
that no difference in case, apostrophes, punctuation or articles keeps a phrase from being
recognised.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

_APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʼ＇´`", "'"))
_EXPANSIONS = [
    (re.compile(pattern), expansion)
    for pattern, expansion in (
        (r"\bn/a\b", "not applicable"),
        (r"\bidk\b", "i do not know"),
        (r"\binfo\b", "information"),
        (r"\bdunno\b", "do not know"),
        (r"\b(?:can'?t|cannot)\b", "can not"),
        (r"\bwon't\b", "will not"),
        (r"n't\b", " not"),
        (r"\b(do|does|did|is|are|was|were|could|would|has|have)nt\b", r"\1 not"),
        (r"'m\b", " am"),
        (r"\bim\b", "i am"),
        (r"\b(let)'s\b", r"\1 us"),
        (r"'s\b", " is"),
        (r"'re\b", " are"),
        (r"'ve\b", " have"),
        (r"'d\b", " would"),
        (r"'ll\b", " will"),
    )
]
_EXPANDABLE = re.compile(r"'|/|\b(?:idk|info|dunno|cannot|cant|im|\w+nt)\b")
_NO_WORD = re.compile(r"[\W_]+")
_ARTICLES = frozenset(("a", "an", "the"))

SENTENCE_END = re.compile(r"(?<=[.!?;。！？…।؟۔])\s+|(?<=[。！？])|[\r\n]+")
_LEAD_IN = re.compile(
    r"^\W*(?:based|according|as an?|as of|given|after|with(?:out)?|regarding|to answer|if|since|"
    r"because|as for|as to|in terms of|concerning|considering)\b[^,]{0,150},\s*|"
    r"^\W*(?:to|in|for|on|at|about|when|where|how|who|which|what)\b[^,]{0,150},\s*"
    r"(?:(?:unfortunately|sadly|however),?\s*)?(?=(?:i|we|there (?:is|are) no)\b)",
    re.IGNORECASE,
)
_ANSWER_LABEL = re.compile(r"^\W*(?:(?:final |short )?answer|a)\s*[:：]", re.IGNORECASE)

SOURCE = (
    r"(?:(?:this|that|these|any of|provided|given|above|available|supplied|your|my|our|following|"
    r"current|retrieved|training|internal|source|reference|"
    r"required|requested|necessary|relevant|needed|specific) )*"
    r"(?:passage|text|context|article|paragraph|document|excerpt|source|information|material|"
    r"author|description|content|snippet|story|page|summary|(?:search )?result|transcript|"
    r"knowledge base|database|data set|dataset|corpus|chapter|report|file|"
    r"data(?= (?:do|does|did|provided|given|above|i|you)\b)|"
    r"(?<=provided )knowledge|knowledge(?= (?:provided|given|available)))s?"
    r"(?: (?:provided|given|above|itself|alone|you (?:have )?(?:provided|gave|given)|"
    r"(?:that )?i (?:have(?: access to)?|was given)))*"
)
"""What the answer should come from."""

PREAMBLE = re.compile(
    r"^(?:(?:"
    r"(?:(?:i|we) (?:am|are) )?(?:(?:very|so|really|truly) )?(?:sorry|afraid)|"
    r"(?:(?:i|my|we|please accept my) )?(?:sincere )?(?:apologi[sz]e|apologies)"
    r"(?: for (?:any )?(?:confusion|inconvenience))?|"
    r"(?:no|absolutely not)(?= (?:i|we)\b)|unfortunately|regrettably|sadly|again|currently|"
    r"at (?:this|moment)(?: (?:time|moment))?|"
    r"(?:i )?regret (?:to (?:say|inform you)|that)|hello|hi|hey|hm+|uh+|um+|oh|well|okay|ok|"
    r"alright|sure|certainly|"
    r"(?:quite )?honestly|frankly|actually|in short|to be (?:honest|fair|clear)|but|that|however|"
    r"(?:that is )?(?:good|great|interesting|excellent) question|"
    r"(?:thank you|thanks)(?: for (?:asking|your question|question))?|"
    r"(?:i would (?:love|like|be happy) to help|i wish i could(?: help)?)(?: you)?|"
    r"(?:as|i am) (?:(?:just|only|merely|large|ai|helpful|harmless|responsible|ethical|respectful|"
    r"virtual|digital|artificial|and) )*(?:language model|model|assistant|ai|intelligence)"
    r"(?: (?:language model|model|assistant))?(?: (?:developed|created|trained|made|designed) by "
    r"\w+)?(?: and| so)?|"
    r"as of (?:my )?(?:\w+ ){1,4}?(?:cutoff|update|date)|"
    r"it (?:seems|appears)|i (?:think|believe|guess|fear)|"
    r"without (?:more|further|additional|any|enough) (?:context|information|details?)|"
    r"for (?:\w+ )?(?:privacy|safety|legal|ethical) reasons|"
    rf"(?:based (?:\w+ )?(?:on|upon)|according to|given|from|in|with|looking at|"
    rf"(?:after|upon|on) (?:reading|reviewing|checking)) {SOURCE}|"
    rf"let (?:me|us) (?:check|see|look|think)(?: (?:at )?{SOURCE})?"
    r")(?: |$))+"
)
"""What may stand before a statement without changing it."""


@lru_cache(maxsize=4096)
def plain_words(text: str) -> str:
    """Text as lower-case words joined by blanks: contractions written out, no articles."""
    text = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)).lower()
    if _EXPANDABLE.search(text):
        for pattern, expansion in _EXPANSIONS:
            text = pattern.sub(expansion, text)
    return " ".join(word for word in _NO_WORD.sub(" ", text).split() if word not in _ARTICLES)


def statement_of(sentence: str) -> str:
    """The plain words of a sentence without its preamble or a clause like "If there are more,"."""
    return PREAMBLE.sub("", plain_words(_LEAD_IN.sub("", sentence)))


class Opening(NamedTuple):
    """The first sentence of a response that states something.

    ``words`` are its plain words, ``statement`` those without their preamble, and ``later`` are
    the sentences that follow.
    """

    sentence: str
    words: str
    statement: str
    later: list[str]


def opening(response: str, phrases: Collection[str] = ()) -> Opening | None:
    """Find the first sentence that is more than a preamble, or is one of ``phrases``.

    A label like "Answer:" before it is left out, and so is a clause like "If there are more,".
    ``None``: nothing is stated.
    """
    sentences = SENTENCE_END.split(_ANSWER_LABEL.sub("", response, count=1))
    for number, sentence in enumerate(sentences, start=1):
        words = plain_words(sentence)
        statement = statement_of(sentence)
        if statement or words in phrases:
            return Opening(sentence, words, statement, sentences[number:])
    return None
