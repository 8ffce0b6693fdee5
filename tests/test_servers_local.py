"""The test servers of local backends are faithful: the providers' own clients work with them."""

from __future__ import annotations

from typing import Any

import ollama
import openai
import pytest
from local_backends import (
    Backend,
    always,
    first_try,
)


def test_ollamas_own_client_works_with_the_server(of_ollama: Backend) -> None:
    client = ollama.Client(host=of_ollama.server.url)
    assert [model.model for model in client.list().models] == ["tiny:3m", "other:latest"]
    assert client.show("other").capabilities == ["completion", "tools"]
    messages = [{"role": "user", "content": "one two three"}]
    answer = client.chat("other", messages, options={"num_predict": 2})
    assert (answer.message.content, answer.done_reason) == ("to one", "length")
    assert (answer.prompt_eval_count, answer.eval_count) == (3, 2)
    text = client.generate("other", "one two three", options={"num_predict": 2})
    assert (text.response, text.done_reason) == ("to one", "length")
    chat_parts = list(client.chat("tiny:3m", messages, stream=True))
    assert "".join(part.message.content or "" for part in chat_parts) == "to one two three"
    assert [part.done for part in chat_parts] == [False, True]
    text_parts = list(client.generate("tiny:3m", "one two three", stream=True))
    assert "".join(part.response for part in text_parts) == "to one two three"
    with pytest.raises(ollama.ResponseError, match="model 'none' not found") as caught:
        client.chat("none", messages)
    assert caught.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="does not support thinking"):
        client.chat("other", messages, think=True)
    of_ollama.server.faults = always("503")
    with pytest.raises(ollama.ResponseError, match="service unavailable"):
        client.chat("tiny:3m", messages)


def test_openais_own_client_works_with_the_server(of_openai: Backend) -> None:
    server = of_openai.server
    server.key = "right"
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="right", max_retries=1)
    assert [model.id for model in client.models.list()] == ["tiny-3m", "other"]
    messages: Any = [{"role": "user", "content": "one two three"}]
    server.faults = first_try("429")  # the client tries again by itself
    answer = client.chat.completions.create(model="tiny-3m", messages=messages, max_tokens=2)
    assert answer.choices[0].message.content == "to one"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 5
    parts = client.chat.completions.create(model="tiny-3m", messages=messages, stream=True)
    assert "".join(part.choices[0].delta.content or "" for part in parts) == "to one two three"
    with pytest.raises(openai.NotFoundError, match="does not exist") as caught:
        client.chat.completions.create(model="none", messages=messages)
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.AuthenticationError, match="Incorrect API key provided: wrong"):
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong").models.list()
    server.faults = always("500")
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="tiny-3m", messages=messages)
