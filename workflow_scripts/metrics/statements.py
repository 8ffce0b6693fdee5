"""The statements by which a response says that it gives no answer, as patterns.

They are matched from the start of plain words, see `workflow_scripts.metrics.wording`.
"""

from __future__ import annotations

import re

from .wording import SOURCE

_SUBJECT = (
    r"(?:it|this|that|(?:(?:this|that|exact|correct) )*"
    rf"(?:answer(?: to (?:this |that )?question)?|question|detail)|{SOURCE})"
    r"(?: (?:that )?you (?:\w+ ){0,2}?(?:for|about|need|want|seek|asked|requested))?"
)
_SAYS = (
    r"(?:mention|say|state|specify|provide|contain|give|include|indicate|explain|tell|answer|"
    r"address|discuss|describe|have|identify|name|reveal|clarify|list|disclose|define|offer|"
    r"refer|make|seem|appear|talk|cover|report|note|elaborate|detail|record|allow|suffice|show|go|"
    r"touch|extend|reflect|document|outline)"
)
_STATED = (
    r"(?:mentioned|stated|specified|given|provided|indicated|described|discussed|disclosed|named|"
    r"included|identified|addressed|covered|revealed|listed|recorded|explained|said)"
)
_MISSING = rf"(?:{_STATED}|found)"
_OTHER_PLACE = rf"(?! (?:again|until|before|after|since|to|as|in (?!{SOURCE})))"
_FINDABLE = (
    rf"(?:information|mention|(?<!to )answer|evidence(?= (?:\w+ ){{0,12}}?{SOURCE}|$)|indication|"
    rf"reference|record|data|details?|context|"
    r"statement|clue|knowledge)"
)
_NO_TURN = r"(?!(?:but|however|although|though|while|whose)\b)"
_DETERMINED = (
    rf"(?:determined|answered|known|inferred|deduced|established|verified|derived|"
    rf"found(?= (?:in|from) {SOURCE}))"
)
_TO_TELL = (
    r"to (?:say|tell|know|answer|determine|identify|infer|deduce|establish|verify|confirm|find|"
    r"conclude|give|provide|be (?:sure|certain))"
)
_DECIDE = (
    r"(?:answer|determine|say|identify|confirm|verify|infer|deduce|be (?:sure|certain)|"
    r"tell(?= you$|(?: you)? (?:from|based|what|which|who|whose|when|where|why|how|whether|if|that"
    r"|for|exactly)\b|$))"
)
_FIND_OUT = (
    rf"(?:{_DECIDE}|find|provide|give|know|recall|remember|locate|see|access|retrieve|offer|"
    r"explain|specify|name|list|pinpoint|ascertain|predict|look up|check)"
)

_SPEAKER_DOES_NOT_KNOW = (
    r"(?:(?:i|we) )?(?:\w+ly |just |still )?(?:do|(?<=i )did|(?<=we )did|would) not (?:\w+ly )?"
    r"(?:know|recall|remember)\b",
    r"(?:i|we) do not (?:think|believe) (?:that )?(?:i|we) (?:know|can|have)\b",
    rf"(?:i|we) (?:\w+ly )?(?:do|did) not (?:\w+ly )?(?:possess|see|find) (?:\w+ ){{0,4}}?"
    rf"(?:{_FINDABLE}|anything|in {SOURCE})\b",
    r"(?:i|we) (?:\w+ly )?(?:do|did) not (?:\w+ly )?have "
    r"(?!to\b|(?:\w+ ){0,2}(?:(?:ability|capability|capacity)"
    r"(?! to (?:\w+ )?(?:access|look|browse|search|retrieve|verify|check))|feelings?|emotions?|"
    r"opinions?|beliefs?|"
    r"preferences?|favou?rites?|body|consciousness|experiences?)\b)",
    r"(?:i|we) neither (?:have|know)\b",
    r"(?:i|we) wish (?:i|we) knew\b",
    r"(?:i|we) (?:only )?have (?:only )?limited (?:information|knowledge)\b",
    rf"(?:i|we) have not been able to (?:\w+ly )?{_FIND_OUT}\b",
    rf"(?:i|we) do not (?:think|believe) (?:that )?{SOURCE}\b",
    r"(?:i|we) (?:am|are|was|were) not told\b",
    rf"(?:i|we) have not (?:been (?:given|provided|told)|got|seen|found)(?: \w+){{0,4}}? "
    rf"{_FINDABLE}\b",
    r"(?:i|we) have not (?:\w+ ){0,2}(?:idea|clue)\b",
    r"(?:i|we) (?:\w+ly )?have (?:\w+ly )?no (?:\w+ )?(?:idea|clue|information|details?|knowledge|"
    r"answer|data|way|access|recollection|memory|source|context|record)\b",
    rf"you (?:have|did) not (?:provided?|given?|shared?|included?|attached?) "
    rf"(?:\w+ ){{0,2}}?{SOURCE}\b",
    r"(?:i|we) (?:would )?(?:need|require|lack) (?:more |further |additional |enough |sufficient )*"
    r"(?:information|context|details?|knowledge)\b",
    r"(?:i|we) (?:would|could) (?:only |just |have to )+(?:be )?guess",
    r"(?:i|we) (?:have|had) never (?:heard|read)\b",
    r"(?:(?:i|we) (?:am|are) )?(?:\w+ly )?not (?:\w+ly )?(?:sure|certain|aware|familiar)\b",
    r"(?:i|we) (?:am|are|was|were) (?:\w+ly )?(?:unsure|uncertain|unaware)\b",
    rf"(?:i|we|one) (?:\w+ly )?(?:can|could) not (?:\w+ly )?{_FIND_OUT}\b",
    rf"(?:can|could) not (?:\w+ly )?{_DECIDE}\b",
    rf"(?:i|we) (?:am|are|was|were) (?:\w+ly )?(?:unable|not able) to (?:\w+ly )?{_FIND_OUT}\b",
    rf"(?:unable|not able) to (?:\w+ly )?{_DECIDE}\b",
    rf"(?:it is )?(?:impossible|hard|difficult|not possible) (?:for me )?{_TO_TELL}\b",
    r"my (?:\w+ )?(?:knowledge(?: base)?|database|data|sources?|information|memory|records?) "
    r"(?:(?:does|do|did|is|are) not|has no|have no|lacks?|is limited)\b",
    r"(?:this|that|it) is (?:beyond|outside) (?:of )?my knowledge\b",
    r"(?:(?:this|that|it) )?is not something (?:that )?(?:i|we) (?:have|know|can)\b",
    r"no (?:idea|clue)\b",
    r"(?:it |that )?beats me\b",
    r"(?:i am )?drawing blank\b",
    rf"(?:i|we) (?:have )?(?:found|find|saw|see) (?:nothing|no (?:\w+ ){{0,3}}?{_FINDABLE})\b",
    r"your guess is as good\b",
)
_SOURCE_DOES_NOT_SAY = (
    rf"{SOURCE} (?:(?:do|does|did) not|fails? to|never) (?:\w+ly )?{_SAYS}s?\b",
    rf"{SOURCE} (?:only |just )?(?:(?:has|have|contains?|provides?|gives?|includes?|offers?|"
    r"makes?) no|lacks?|omits?)\b",
    rf"{SOURCE} (?:says?|mentions?|states?|tells? us|gives?|reveals?|contains?) nothing\b",
    rf"{SOURCE} leaves? (?:\w+ ){{1,3}}(?:open|unclear|unspecified|unanswered)\b",
    rf"{SOURCE} (?:is|are) (?:silent|unclear|insufficient)\b",
    rf"(?:nothing|nowhere|none of|none|neither) (?:(?:in|of) )?{SOURCE}\b",
    rf"nothing (?:is|was) {_MISSING}\b",
    rf"none of (?:\w+ ){{1,5}}?(?:is|are) {_MISSING}\b",
    rf"not something (?:that )?{SOURCE}\b",
    rf"{_FINDABLE} not (?:{_MISSING}|available)\b",
    r"(?:(?:it|this|that|question) )?(?:do|does) not (?:\w+ly )?"
    r"(?:mention|say|state|specify|tell|name|indicate)\b",
    rf"there (?:is|are|seems to be|appears to be) (?:\w+ly )?(?:no|nothing|not (?:any|enough|"
    rf"sufficient)|insufficient) (?:\w+ ){{0,3}}?(?:{_FINDABLE}|"
    rf"way (?:{_TO_TELL}|of (?:knowing|telling))|in {SOURCE})\b",
    rf"there (?:do|does|did) not (?:\w+ )?(?:seem|appear)(?: to be)? (?:\w+ ){{0,3}}?"
    rf"(?:{_FINDABLE}|anything)\b",
    rf"no (?:\w+ ){{0,2}}?{_FINDABLE}\b"
    rf"(?! (?:is|are|was|were) (?!{_MISSING}|available|known|there|present|made))",
    rf"no (?:\w+ ){{1,4}}?(?:is|are|was|were) {_STATED}\b",
    rf"it (?:gives|provides|contains|has|offers|includes) no (?:\w+ )?{_FINDABLE}\b",
    r"(?:not enough|insufficient) (?:\w+ )?(?:information|context|data|details?)\b",
    r"(?:information|details?) (?:about|on|regarding) (?:\w+ ){1,12}?(?:is|are) not\b",
    r"(?:(?:exact|precise|specific|actual) )?(?:\w+ )?(?:name|date|year|time|number|amount|figure|"
    r"reason|cause|identity|location|origin|detail)s? (?:\w+ ){0,8}?(?:is|are|remains?) (?:\w+ly )?"
    r"(?:not (?:\w+ly )?(?:known|clear|available|present)|unknown|unclear|unavailable|missing)$",
    r"question (?:does not have|has no) (?:\w+ )?answer\b",
    rf"{_SUBJECT} (?:is|are|was|were) not (?:\w+ly )?(?:{_MISSING}{_OTHER_PLACE}|known|clear|"
    rf"available|answerable|possible {_TO_TELL}|present|in {SOURCE}|"
    rf"something (?:that )?{SOURCE})\b",
    rf"{_SUBJECT} (?:is|are|was|were|remains?) (?:\w+ly )?(?:unknown(?! to)|unclear|unspecified|"
    rf"unanswerable|impossible {_TO_TELL}|unavailable|missing|undetermined)\b",
    rf"(?:{_SUBJECT} )?(?:can|could) not be (?:\w+ly )?{_DETERMINED}\b",
    rf"not (?:\w+ly )?(?:{_MISSING}{_OTHER_PLACE}|known|available|answerable|applicable|"
    rf"in {SOURCE})\b",
    r"(?:impossible|not possible) to (?:answer|determine|infer|deduce)\b",
    rf"(?:unanswerable|unknown|unclear|unspecified) (?:(?:from|based on|in|given) )?{SOURCE}\b",
    # "The name of the king is not mentioned in the passage", but no claim that goes on otherwise.
    rf"(?:{_NO_TURN}\w+ ){{1,15}}?(?<!which )(?<!that )(?<!who )"
    rf"(?:(?:is|are) (?:not|never) (?:\w+ly )?(?:{_STATED}|found(?= in))|"
    r"(?:was|were) (?:not|never) (?:\w+ly )?(?:mentioned|stated|specified|indicated|disclosed)|"
    r"(?:does|do) not appear(?= in))"
    rf"(?: (?:(?:in|by|within) {SOURCE}|anywhere|here|explicitly|directly)\b.*)?$",
    rf"(?:{_NO_TURN}\w+ ){{1,15}}?can not be (?:determined|inferred|deduced)"
    rf"(?: (?:(?:from|by|based on) {SOURCE}|with certainty)\b.*)?$",
    rf"(?:\w+ )*(?:question|answer) can not be (?:\w+ly )?{_DETERMINED}\b",
)
BY_SPEAKER = re.compile("|".join(_SPEAKER_DOES_NOT_KNOW))
"""Starts of statements that the speaker does not know."""

BY_SOURCE = re.compile("|".join(_SOURCE_DOES_NOT_SAY))
"""Starts of statements that the source does not say, or that it cannot be known."""

LACKING = re.compile(
    rf"(?:i )?(?:found (?:nothing|no (?:\w+ ){{0,3}}?{_FINDABLE})|(?:can|could|did) not find)\b|"
    r"(?:(?:it|or) )?(?:(?:do|does) not (?:\w+ly )?" + _SAYS + r"\b|"
    r"not (?:what|who|whom|whose|which|when|where|why|how|whether|its?|his|her|their)\b)"
)
"""How a response that retells the source may go on to what is lacking, besides `BY_SOURCE`."""

RETELLING = re.compile(
    rf"^(?:(?:while|although|though|even though) )?(?:(?:{SOURCE}|question|it) "
    r"(?:(?:only|just|also|mainly|does|do) )*(?:discuss|describ|mention|stat|sa(?:ys?|id)\b|talk|"
    r"cover|refer|focus|ask|list|explain|not(?:es?|ed)\b|tells?\b|gives?\b|report|impl|suggest|"
    r"provid|is about\b)|"
    r"(?:i|we) (?:have )?(?:look|search|check|read|review|are told)|\w+(?: \w+)? (?:is|are) "
    r"(?:mentioned|discussed|described)\b)"
)
"""Starts that retell the source instead of answering."""

CONCLUSION = re.compile(
    r"(?:(?:so|therefore|thus|hence|consequently|accordingly|overall|ultimately|as result|"
    r"in (?:conclusion|summary|short)|to conclude|for (?:this|these) reasons?|this means|"
    r"(?:my )?(?:final )?(?:answer|conclusion|response) (?:is|must be|would be|"
    r"remains?))(?: that)? )+"
)
"""How the last sentence of a response that reasons begins."""

WHOLE = re.compile(
    rf"(?:(?:i|we) (?:(?:just|simply|really|honestly|truly|still) )?)?do not know"
    rf"(?: (?:answer|that|this|it))?(?: to (?:this|that|"
    rf"your)? ?question)?|"
    rf"(?:(?:this|that|your) )*(?:question|it|answer|this|that) (?:is unanswerable|"
    rf"can not be (?:\w+ly )?{_DETERMINED}|is unknown|is not (?:{_MISSING}|known))"
    rf"(?: (?:(?:from|based on|in|by|with) )*{SOURCE})?|"
    rf"(?:i|we) (?:can not|am unable to|are unable to) (?:answer|determine|say|tell)"
    rf"(?: (?:this|that|it|(?:(?:this|that|your) )?question|answer))?"
    rf"(?: (?:(?:from|based on|with) )*{SOURCE})?|(?:not enough|insufficient) information|"
    rf"can not be (?:\w+ly )?{_DETERMINED}|not (?:{_MISSING}|applicable)|no answer|"
    rf"(?:i|we) have no idea|"
    r"(?:i|we) (?:(?:would )?have to|must|would) say (?:that )?(?:i|we) do not know"
)
"""Sentences that, whatever came before them, say that there is no answer to the question."""

SINGLE_WORDS = frozenset(
    (
        "unknown",
        "unanswerable",
        "unsure",
        "uncertain",
        "unclear",
        "unspecified",
        "unavailable",
        "undetermined",
        "indeterminate",
        "unanswered",
    )
)
"""Words that abstain on their own."""
