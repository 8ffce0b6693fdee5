"""Whatever a line of a job's results holds, reading it ends with a result or its error."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.backends.anthropic_client import AnthropicClient
from workflow_scripts.backends.chat_completions import batch_answer
from workflow_scripts.backends.client import RequestError, UnreadableReplyError
from workflow_scripts.backends.gemini_client import GeminiClient
from workflow_scripts.backends.hosted import read_row
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.core.records import Completion

Result = tuple[str, Completion | RequestError]
Reader = Callable[[bytes], Result]

KEY = "0f" * 32
NAMES = ("custom_id", "key", "response", "result", "error", "status_code", "body", "code", "type")
PROVIDERS = ("fireworks", "openai", "anthropic", "gemini")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*NAMES, "message", "candidates"]) | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def readers() -> dict[str, Reader]:
    """How each provider's client reads a line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANTHROPIC_API_KEY", "key")
        patch.setenv("GEMINI_API_KEY", "key")
        return {
            "fireworks": partial(batch_answer, "fireworks"),
            "openai": partial(batch_answer, "openai"),
            "anthropic": AnthropicClient(
                BackendSettings(backend="anthropic", model_id="m")
            )._result,
            "gemini": GeminiClient(BackendSettings(backend="gemini", model_id="m"))._result,
        }


@pytest.mark.parametrize("provider", PROVIDERS)
@given(line=json_values.map(json.dumps).map(str.encode) | st.binary(max_size=40))
def test_no_line_of_results_is_too_strange(
    provider: str, line: bytes, readers: dict[str, Reader]
) -> None:
    name, result = read_row(line, readers[provider])
    assert isinstance(name, str)
    assert isinstance(result, RequestError)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("line", "key"),
    [
        (f'{{"custom_id": "{KEY}", "key": "{KEY}", "resp', ""),
        (f'{{"custom_id": "{KEY}", "key": "{KEY}", "text": "\\ud83d"}}', KEY),
        (f'{{"custom_id":"{KEY}","key":"{KEY}","response":5,"result":5}}', KEY),
        ('{"custom', ""),
        ("[]", ""),
        ("null", ""),
        (f'{{"text": "\\"key\\": \\"{KEY}\\""', ""),
    ],
)
def test_a_line_that_cannot_be_read_is_kept_and_one_that_is_cut_is_no_result(
    provider: str, line: str, key: str, readers: dict[str, Reader]
) -> None:
    name, error = read_row(line.encode(), readers[provider])
    assert name == key
    assert isinstance(error, UnreadableReplyError)
    assert not error.retryable
    assert error.reply == line


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_line_with_neither_an_answer_nor_an_error_is_not_bought_again(
    provider: str, readers: dict[str, Reader]
) -> None:
    line = {"custom_id": KEY, "key": KEY, "result": {"type": "something new"}}
    name, error = read_row(json.dumps(line).encode(), readers[provider])
    assert name == KEY
    assert isinstance(error, UnreadableReplyError)
