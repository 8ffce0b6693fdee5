"""The final answer of a response, told apart from the reasoning around it.

Models that reason do so before they answer, in tags of their chat format or as prose. Scoring
begins here, so that all metrics see the same text. The first rule that finds something counts:

1. Reasoning in tags is left out: ``<think>…</think>`` and its kin (see `_REASONING`), also where
   the opening tag stood in the prompt. Where it was never closed, the model gave no answer.
2. An ``<answer>`` block, a ``\\boxed{}``, or what follows a label ("Final answer:", "Answer:",
   "####", and "Answer:" in other languages). The last one counts.
3. A response that begins by thinking aloud ("Let me check the passage.") answers in its last
   paragraph, if that is a single line and no courtesy ("Let me know …").

Left out, too, are an explanation under its own label behind the answer ("Explanation: …"), and
what follows where a model goes on to ask itself the next question ("Question: …").
Anything else is the answer as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from .normalisation import is_blank

_TAG = r"(?:\w{1,8}:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|analysis|reflection|scratchpad)"
_REASONING = tuple(
    (re.compile(opened), re.compile(closed))
    for opened, closed in (
        (
            rf"(?i:<{_TAG}>)",
            rf"(?i:</{_TAG}>)",
        ),  # DeepSeek, Qwen, GLM, Seed, EXAONE, prompted models
        (r"\[THINK\]", r"\[/THINK\]"),  # Magistral
        (r"◁think▷", r"◁/think▷"),  # Kimi
        (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),  # Command
        (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),  # Sky-T1, OpenThinker
        (r"<\|channel\|>(?:analysis|commentary)\b", r"<\|channel\|>final\b[^<]{0,40}<\|message\|>"),
        (r"<\|channel>thought\b", r"<channel\|>"),  # Gemma
        (r"Here is my thought process:", r"Here is my response:"),  # Granite
    )
)
"""The opening and closing marks of reasoning."""

_CONTROL = re.compile(
    r"<\|(?:end|return|im_end|eot_id|(?:START|END)_RESPONSE|(?:begin|end)_of_solution)\|>"
)
_BLOCK = re.compile(
    r"<(?P<tag>answer|final_answer)>(?P<answer>.*?)(?:</(?P=tag)>|\Z)", re.DOTALL | re.IGNORECASE
)
_BOXED = re.compile(
    r"\\boxed\{(?:\\text\w*\{(?P<text>[^{}]*)\}|(?P<answer>(?:[^{}]|\{[^{}]*\})*))\}"
)
_MARKS = r"[ \t>#*_-]{0,9}"
_LABEL_END = re.compile(r"[:：][*_]{0,3}|(?P<hashes>^####)(?= )", re.MULTILINE)
_LABEL = re.compile(
    rf"(?:{_MARKS}|.*[.!?。।] [*_]{{0,3}})(?:(?:my|the|so|thus|therefore|hence),? )*"
    r"(?:(?:(?:final|short|correct|direct|concise|brief) )*answer(?: is)?|final response|"
    r"conclusion|respuesta(?: final)?|réponse(?: finale)?|resposta(?: final)?|"
    r"risposta(?: finale)?|antwort|ответ|jawaban|(?:最终|最終)?(?:答案|回答|答え)|उत्तर|উত্তর|"
    r"الإجابة|الجواب|جواب)[*_]{0,3} ?|####",
    re.IGNORECASE,
)
_EXPLANATION = re.compile(
    rf"{_MARKS}(?:explanation|reasoning|rationale|justification|evidence|confidence)[*_]{{0,3}} ?",
    re.IGNORECASE,
)
_NEXT_QUESTION = re.compile(rf"{_MARKS}(?:next )?question(?: \d+)?[*_]{{0,3}} ?", re.IGNORECASE)
_LONGEST_LABEL = 60
"""Characters before a colon among which a label is looked for."""
THINKING_ALOUD = re.compile(
    r"\W*(?:let me|let us|let['’]s|okay|ok|alright|hmm+|wait|first(?:ly)?,? (?:i|we|let)|"
    r"to (?:answer|find|determine|solve|figure|work)|(?:i|we) (?:need|want|have) to|"
    r"(?:i|we)(?:['’]ll| will| should)(?! not)|reasoning|thoughts?|thinking|analysis|explanation|"
    r"(?:the|this) (?:question|user|problem) (?:asks|is asking|wants)|so,)(?!\w)",
    re.IGNORECASE,
)
"""The beginning of a response that reasons before it answers."""

_LIST_MARK = re.compile(r"\s*(?:[-*•]|\d+[.)])\s")
COURTESY = re.compile(
    r"\W*(?:(?:i |we )?hope|(?:just )?let me know|feel free|please|if you|is there|"
    r"(?:would|do|could|can) you|i(?:['’]d| would)? (?:recommend|suggest|be happy)|"
    r"(?:(?:however|but),? )?(?:if you|"
    r"(?:i|you) (?:can|could|may|might|should)(?!['’]t|n['’]t| not)))\b",
    re.IGNORECASE,
)
"""The beginning of a sentence that offers help or sends the reader elsewhere."""
_LONGEST_LINE = 300
"""Characters; a longer last paragraph belongs to the prose."""


@lru_cache(maxsize=4096)
def final_answer(response: str) -> str:
    """Return the final answer; blank only where the response has none."""
    text = _before(_NEXT_QUESTION, without_reasoning(response))
    for part in (_marked(text), _last_line(text)):
        if not is_blank(part):
            return _before(_EXPLANATION, part).strip()
    return _before(_EXPLANATION, text)


def without_reasoning(response: str) -> str:
    """Return what a response says outside of tags for reasoning."""
    text = _CONTROL.sub("", response)
    for opened, closed in _REASONING:
        start = opened.search(text)
        ends = [mark.end() for mark in closed.finditer(text)]
        behind = text[ends[-1] :] if ends else ""
        if start is not None and is_blank(behind):
            text = text[: start.start()]
        elif ends:
            text = behind
    return response if text == response else text.strip()


def _marked(text: str) -> str:
    """Return the text of the last block, box or label, or nothing."""
    blocks = [match["answer"] for match in _BLOCK.finditer(text)]
    boxes = [match["text"] or match["answer"] or "" for match in _BOXED.finditer(text)]
    labelled = [text[end:] for _, end in list(_labels(text, _LABEL))[-1:]]
    return next((found[-1] for found in (blocks, boxes, labelled) if found), "")


def _labels(text: str, label: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Where labels begin and end."""
    for end in _LABEL_END.finditer(text):
        line = text.rfind("\n", 0, end.start()) + 1
        start = max(line, end.start() - _LONGEST_LABEL)
        if label.fullmatch(end["hashes"] or text[start : end.start()]):
            yield start, end.end()


def _last_line(text: str) -> str:
    """Return a last paragraph of one line that ends thinking aloud, or nothing."""
    *before, last = text.rstrip().rpartition("\n")
    apart = before[0].endswith("\n") and len(last) <= _LONGEST_LINE and THINKING_ALOUD.match(text)
    return "" if not apart or _LIST_MARK.match(last) or COURTESY.match(last) else last


def _before(label: re.Pattern[str], text: str) -> str:
    """Return what stands before the first such label; the text itself if nothing does."""
    for start, _ in _labels(text, label):
        before = text[:start].rstrip()
        return text if is_blank(before) else before
    return text
