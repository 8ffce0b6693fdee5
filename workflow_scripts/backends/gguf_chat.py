"""Chats as the tokens of a GGUF model, by the model's own chat template."""

from __future__ import annotations

import datetime
import functools
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import jinja2.ext
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ..core.errors import UserError
from ..core.records import Message, Reasoning
from .client import RequestError
from .gguf_file import GgufFile
from .llama_cpp import template_told

THOUGHTS_BEGIN, THOUGHTS_END = "<think>", "</think>"
"""The tags of Qwen, DeepSeek and models made of them."""

_ORDINARY = frozenset({1, 5, 6})
"""Types of tokens that are no control tokens: normal, unused, byte (`llama_token_type`)."""

_LOOKS_SPECIAL = re.compile(r"\W?[<\[].+[>\]]", re.DOTALL)
"""llama.cpp takes some tokens for control tokens by their text, whatever their type."""

_PRIVATE_USE = range(0xE000, 0xF900)
"""Characters without a meaning (Unicode, private use area)."""


class Tokenizer(Protocol):
    """The tokenizer of one model, by llama.cpp."""

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Return the tokens of a text; texts of control tokens become these if ``special``."""
        ...

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has by itself, without control tokens."""
        ...


class ChatTokenizer:
    """Turns chats into the tokens of one GGUF model.

    Only the template's own control tokens (the markers of turns) become control tokens. In the
    text of a message they are ordinary text: no item can end its turn.

    Args:
        file: what the GGUF file says.
        tokenizer: llama.cpp's tokenizer of the same file.

    Raises:
        UserError: the file has no chat template.
    """

    def __init__(self, file: GgufFile, tokenizer: Tokenizer) -> None:
        self._file = file
        self._tokenizer = tokenizer
        self._template = chat_template(file)
        self._controls: dict[str, bool] = {}

    def tokens(self, messages: Sequence[Message], reasoning: Reasoning | None = None) -> list[int]:
        """Return the whole prompt as token ids, ready for the assistant's turn.

        ``reasoning`` is told to the template, which must know it (`check_reasoning`).

        Raises:
            RequestError: the model's template refuses the chat (some know no system role).
        """
        # Control texts in messages are hidden from the template behind a character that no
        # message has, so that those in the rendered prompt are the template's.
        mark = _unused_character(messages)
        hidden: list[str] = []

        def hide(found: re.Match[str]) -> str:
            if not self._is_control(found[0]):
                return found[0]
            hidden.append(found[0])
            return f"{mark}{len(hidden) - 1}{mark}"

        chat = [
            {"role": each.role, "content": self._candidates.sub(hide, each.content)}
            for each in messages
        ]
        tokens: list[int] = []
        for text, is_template in self._pieces(self._rendered(chat, reasoning), mark, hidden):
            tokens += self._tokenizer.tokenize(text, special=is_template)
        return tokens

    def opens_thoughts(self, messages: Sequence[Message], reasoning: Reasoning | None) -> bool:
        """Whether the prompt itself begins the thoughts, so that the model only ends them."""
        chat = [each.model_dump() for each in messages]
        return self._rendered(chat, reasoning).rstrip().endswith(THOUGHTS_BEGIN)

    def _rendered(self, chat: list[dict[str, str]], reasoning: Reasoning | None) -> str:
        try:
            return self._template.render(
                messages=chat,
                bos_token=self._file.special_text("bos"),
                eos_token=self._file.special_text("eos"),
                add_generation_prompt=True,
                **template_told(reasoning),
                **dict.fromkeys(("tools", "tool_choice", "functions", "function_call")),
            )
        except Exception as error:  # a template may raise anything it likes
            raise RequestError(f"the chat template refused: {error}", retryable=False) from error

    def _pieces(self, prompt: str, mark: str, hidden: list[str]) -> Iterator[tuple[str, bool]]:
        """Cut a prompt where hidden texts come back; yield whether control tokens are tokens.

        llama.cpp itself tokenizes what stands between two control tokens alone, so a cut there
        changes no token. A prompt without hidden texts is one piece.
        """
        together = ""
        for text in self._between_control(prompt) if hidden else [prompt]:
            if not hidden or mark not in text:
                together += text
                continue
            if together:
                yield together, True
            together = ""
            yield re.sub(f"{mark}(\\d+){mark}", lambda found: hidden[int(found[1])], text), False
        if together:
            yield together, True

    def _between_control(self, prompt: str) -> Iterator[str]:
        """The control tokens of a prompt, and what stands before, between and behind them."""
        begin = 0
        for found in self._candidates.finditer(prompt):
            if self._is_control(found[0]):
                yield prompt[begin : found.start()]
                yield found[0]
                begin = found.end()
        yield prompt[begin:]

    @functools.cached_property
    def _candidates(self) -> re.Pattern[str]:
        """Texts that may be control tokens; the longest that fits is found."""
        types = self._file.token_types
        texts = {
            word
            for token, word in enumerate(self._file.vocabulary)
            if (types and types[token] not in _ORDINARY) or _LOOKS_SPECIAL.fullmatch(word)
        } - {""}
        ordered = sorted(texts, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, ordered)) or "(?!)")

    def _is_control(self, text: str) -> bool:
        """Whether llama.cpp makes a token of a text only where it is told to."""
        if text not in self._controls:
            as_token = self._tokenizer.tokenize(text, special=True)
            self._controls[text] = as_token != self._tokenizer.tokenize(text, special=False)
        return self._controls[text]


def check_reasoning(file: GgufFile, reasoning: Reasoning) -> None:
    """See that a model's chat template can do what is asked.

    Raises:
        UserError: it would ignore it.
    """
    text = file.chat_template or ""
    switch = re.search(r"\b(enable_thinking|thinking)\b", text)
    levels = re.search(r"\breasoning_effort\b", text)
    is_level = reasoning in ("minimal", "low", "medium", "high")
    off = reasoning == "none"
    if (is_level and not levels) or (off and not switch and (THOUGHTS_BEGIN in text or levels)):
        takes = [*(["none"] if switch else []), *(["low, medium, high"] if levels else [])]
        raise UserError(
            f"{file.path.as_posix()}: its chat template cannot do reasoning {reasoning}; it takes "
            f"{', '.join([*takes, 'default', 'budget_tokens'])}"
        )


def chat_template(file: GgufFile) -> jinja2.Template:
    """Return a model's template, in the environment that Hugging Face's templates expect.

    Raises:
        UserError: it has none, or one that is no template.
    """
    if file.chat_template is None:
        raise UserError(
            f"{file.path.as_posix()}: this GGUF file has no chat template. "
            "Use an instruction-tuned (chat) model."
        )
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols, _Generation]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _refuse, "strftime_now": _now}
    try:
        return environment.from_string(file.chat_template)
    except jinja2.TemplateError as error:
        raise UserError(f"{file.path.as_posix()}: its chat template is broken ({error})") from error


class _Generation(jinja2.ext.Extension):
    """`{% generation %}`: marks the assistant's texts for training, and changes nothing."""

    tags = {"generation"}  # noqa: RUF012 - Jinja reads it so

    def parse(self, parser: Parser) -> Node | list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _to_json(value: Any, **options: Any) -> str:
    """Jinja's own escapes for HTML."""
    return json.dumps(value, **{"ensure_ascii": False, **options})


def _refuse(message: str) -> None:
    raise ValueError(message)


def _now(form: str) -> str:
    return datetime.datetime.now().strftime(form)


def _unused_character(messages: Sequence[Message]) -> str:
    """A character of the private use area that stands in no message."""
    used = {character for each in messages for character in each.content}
    return next(mark for mark in map(chr, _PRIVATE_USE) if mark not in used)
