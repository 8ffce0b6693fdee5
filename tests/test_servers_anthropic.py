"""The test server of Anthropic is faithful: the official client works with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from servers.anthropic import AnthropicServer
from servers.base import running
from servers.faults import always


@pytest.fixture
def of_anthropic() -> Iterator[AnthropicServer]:
    with running(AnthropicServer()) as server:
        assert isinstance(server, AnthropicServer)
        yield server


def claude(server: AnthropicServer, **changes: Any) -> anthropic.Anthropic:
    known: Any = {"base_url": server.url, "api_key": server.key, "max_retries": 0}
    return anthropic.Anthropic(**(known | changes))


def params(question: str, **changes: Any) -> Any:
    messages = [{"role": "user", "content": question}]
    return {"model": "claude-haiku-4-5", "max_tokens": 8, "messages": messages} | changes


def asked(*questions: str, **changes: Any) -> Any:
    return [
        {"custom_id": f"id-{number}", "params": params(question, **changes)}
        for number, question in enumerate(questions)
    ]


def test_a_message_of_anthropic(of_anthropic: AnthropicServer) -> None:
    message = claude(of_anthropic).messages.create(
        **params("one two three", max_tokens=2, system="Answer briefly.")
    )
    assert [block.text for block in message.content if block.type == "text"] == ["to one"]
    assert (message.role, message.stop_reason) == ("assistant", "max_tokens")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (5, 2)
    assert [job for job, _ in of_anthropic.bills] == ["alone"]


def test_claude_stops_thinks_and_caches(of_anthropic: AnthropicServer) -> None:
    client = claude(of_anthropic)
    message = client.messages.create(**params("one STOP two", stop_sequences=["STOP"]))
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "STOP")
    thinking = params("one", model="claude-opus-5-5", max_tokens=12)
    message = client.messages.create(**thinking)
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.usage.output_tokens == 12
    message = client.messages.create(**thinking | {"max_tokens": 9})
    assert ([block.type for block in message.content], message.stop_reason) == (
        ["thinking"],
        "max_tokens",
    )
    of_anthropic.least_cached = 3
    system = [
        {
            "type": "text",
            "text": "Be very brief.",
            "cache_control": {"type": "ephemeral", "ttl": "1h"},
        }
    ]
    usages = [client.messages.create(**params("one", system=system)).usage for _ in range(2)]
    assert [usage.cache_creation_input_tokens for usage in usages] == [3, 0]
    assert [usage.cache_read_input_tokens for usage in usages] == [0, 3]
    assert [usage.input_tokens for usage in usages] == [1, 1]
    assert usages[0].cache_creation is not None
    assert usages[0].cache_creation.ephemeral_1h_input_tokens == 3


OLD_VERSION = {"anthropic-version": "2023-06-01"}


def test_the_new_version_of_the_api_has_no_sampling_parameters(
    of_anthropic: AnthropicServer,
) -> None:
    sampled: Any = {**params("one"), "extra_body": {"temperature": 0.5}}
    with pytest.raises(anthropic.BadRequestError, match="temperature: Extra inputs"):
        claude(of_anthropic).messages.create(**sampled)
    assert claude(of_anthropic, default_headers=OLD_VERSION).messages.create(**sampled).id


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 3}, "seed: Extra inputs are not permitted"),
        ({"temperature": 1.5}, "temperature: Input should be less than or equal to 1"),
        ({"temperature": 0.5, "top_p": 0.9}, "cannot both be specified"),
        ({"model": "claude-opus-4-8", "temperature": 0.0}, "`temperature` is deprecated"),
        ({"model": "claude-sonnet-5-5", "thinking": {"type": "disabled"}}, "thinking.type.disabl"),
        ({"stop_sequences": ["\n"]}, "each stop sequence must contain non-whitespace"),
        ({"messages": [{"role": "system", "content": "x"}]}, 'Unexpected role "system"'),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
def test_claude_refuses_parameters(
    of_anthropic: AnthropicServer, changes: Any, message: str
) -> None:
    with pytest.raises(anthropic.BadRequestError, match=message) as caught:
        claude(of_anthropic, default_headers=OLD_VERSION).messages.create(
            **params("one"), extra_body=changes
        )
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id == "req_of_the_test"
    assert not of_anthropic.bills


def test_errors_of_anthropic(of_anthropic: AnthropicServer) -> None:
    client = claude(of_anthropic)
    with pytest.raises(anthropic.AuthenticationError, match="invalid x-api-key"):
        claude(of_anthropic, api_key="wrong").models.list()
    with pytest.raises(anthropic.NotFoundError, match="model: claude-9"):
        client.messages.create(**params("one", model="claude-9"))
    with pytest.raises(anthropic.NotFoundError, match="model: claude-9"):
        client.models.retrieve("claude-9")
    assert client.models.retrieve("claude-opus-5-5").id == "claude-opus-5-5"
    assert len(list(client.models.list(limit=2))) == len(of_anthropic.models)
    for status, kind in {
        429: anthropic.RateLimitError,
        500: anthropic.InternalServerError,
        529: anthropic.OverloadedError,
    }.items():
        of_anthropic.faults = always("one", str(status))
        with pytest.raises(kind):
            client.messages.create(**params("one"))
    of_anthropic.faults = lambda what, tries: "429" if what == "two" and tries == 0 else ""
    assert claude(of_anthropic, max_retries=1).messages.create(**params("two")).id
    assert of_anthropic.outcomes("429") == {"one": 1, "two": 1}


def test_a_batch_of_anthropic_from_creation_to_results(of_anthropic: AnthropicServer) -> None:
    client = claude(of_anthropic)
    of_anthropic.faults = always("broken", "500")
    batch = client.messages.batches.create(
        requests=[
            *asked("one", "two", "broken"),
            {"custom_id": "bad", "params": params("x", max_tokens=0)},
        ]
    )
    assert (batch.processing_status, batch.results_url) == ("in_progress", None)
    assert batch.request_counts.processing == 4
    of_anthropic.rows_per_poll = 3
    between = client.messages.batches.retrieve(batch.id)
    assert between.processing_status == "in_progress"
    assert between.request_counts.processing == 4  # no counts before the end
    of_anthropic.held = "in_progress"
    with pytest.raises(anthropic.AnthropicError, match="No `results_url`"):
        client.messages.batches.results(batch.id)
    of_anthropic.held = None
    ended = client.messages.batches.retrieve(batch.id)
    assert (ended.processing_status, ended.request_counts.to_dict()) == (
        "ended",
        {"processing": 0, "succeeded": 2, "errored": 2, "canceled": 0, "expired": 0},
    )
    results: Any = {
        each.custom_id: each.result for each in client.messages.batches.results(batch.id)
    }
    assert results["id-0"].message.content[0].text == "to one"
    assert results["id-0"].message.usage.service_tier == "batch"
    assert results["id-2"].error.error.type == "api_error"
    assert results["bad"].error.error.type == "invalid_request_error"
    assert [body["messages"][0]["content"] for _, body in of_anthropic.bills] == ["one", "two"]
    assert client.messages.batches.delete(batch.id).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.retrieve(batch.id)


def test_results_of_anthropic_come_in_another_order(of_anthropic: AnthropicServer) -> None:
    client = claude(of_anthropic)
    batch = client.messages.batches.create(requests=asked(*"abcdefgh"))
    client.messages.batches.retrieve(batch.id)
    ids = [each.custom_id for each in client.messages.batches.results(batch.id)]
    assert ids != sorted(ids)
    assert sorted(ids) == [f"id-{number}" for number in range(8)]


def test_a_canceled_batch_of_anthropic_has_partial_results(of_anthropic: AnthropicServer) -> None:
    client = claude(of_anthropic)
    of_anthropic.rows_per_poll = 1
    batch = client.messages.batches.create(requests=asked("one", "two", "three"))
    client.messages.batches.retrieve(batch.id)
    canceling = client.messages.batches.cancel(batch.id)
    assert canceling.processing_status == "canceling"
    assert canceling.cancel_initiated_at is not None
    counts = client.messages.batches.retrieve(batch.id).request_counts
    assert (counts.succeeded, counts.canceled) == (1, 2)
    kinds = [each.result.type for each in client.messages.batches.results(batch.id)]
    assert sorted(kinds) == ["canceled", "canceled", "succeeded"]
    assert len(of_anthropic.bills) == 1


def test_a_batch_of_anthropic_expires_and_is_archived(of_anthropic: AnthropicServer) -> None:
    client = claude(of_anthropic)
    of_anthropic.rows_per_poll = 2
    batch = client.messages.batches.create(requests=asked("one", "two", "three"))
    client.messages.batches.retrieve(batch.id)
    of_anthropic.ahead += 24 * 3600
    expired = client.messages.batches.retrieve(batch.id)
    assert (expired.processing_status, expired.request_counts.expired) == ("ended", 1)
    assert len(list(client.messages.batches.results(batch.id))) == 3
    of_anthropic.ahead += 29 * 24 * 3600
    assert client.messages.batches.retrieve(batch.id).archived_at is not None
    with pytest.raises(anthropic.NotFoundError, match="archived"):
        client.messages.batches.results(batch.id)


def test_batches_of_anthropic_are_listed_in_pages_newest_first(
    of_anthropic: AnthropicServer,
) -> None:
    client = claude(of_anthropic)
    ids = [client.messages.batches.create(requests=asked("one")).id for _ in range(5)]
    assert [batch.id for batch in client.messages.batches.list(limit=2)] == ids[::-1]
    before = client.messages.batches.list(before_id=ids[1], limit=2)
    assert [batch.id for batch in before.data] == [ids[3], ids[2]]
    with pytest.raises(anthropic.BadRequestError):
        client.messages.batches.list(limit=1001)


def test_anthropic_refuses_batches(of_anthropic: AnthropicServer) -> None:
    create = claude(of_anthropic).messages.batches.create
    with pytest.raises(anthropic.BadRequestError, match=r"requests.0.custom_id: String should"):
        create(requests=[{"custom_id": "a|b", "params": params("one")}])
    with pytest.raises(anthropic.BadRequestError, match="unique"):
        create(requests=[*asked("one"), *asked("two")])
    with pytest.raises(anthropic.BadRequestError, match="at least 1"):
        create(requests=[])
    of_anthropic.most_requests = 2
    with pytest.raises(anthropic.RequestTooLargeError):
        create(requests=asked("one", "two", "three"))
    assert not of_anthropic.batches


def test_faults_of_anthropic_before_and_after_the_effect(of_anthropic: AnthropicServer) -> None:
    client = claude(of_anthropic)
    create = "POST /v1/messages/batches"
    for fault, batches in {
        "500": 0,
        "reset": 0,
        "after 500": 1,
        "after reset": 2,
        "half": 2,
        "after half": 3,
    }.items():
        of_anthropic.faults = always(create, fault)
        with pytest.raises((anthropic.APIStatusError, anthropic.APIConnectionError)):
            client.messages.batches.create(requests=asked("one"))
        assert len(of_anthropic.batches) == batches, fault
    of_anthropic.faults = lambda what, tries: ""
    of_anthropic.unseen = of_anthropic.unlisted = 1
    batch = client.messages.batches.create(requests=asked("one"))
    assert len(client.messages.batches.list().data) == 3
    assert len(client.messages.batches.list().data) == 4
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.retrieve(batch.id)
    assert client.messages.batches.retrieve(batch.id).id == batch.id


def test_output_faults_of_anthropic(of_anthropic: AnthropicServer) -> None:
    client = claude(of_anthropic)
    batch = client.messages.batches.create(requests=asked("one", "two", "three"))
    client.messages.batches.retrieve(batch.id)
    of_anthropic.output_faults = ("missing", "twice", "unknown")
    ids = [each.custom_id for each in client.messages.batches.results(batch.id)]
    assert len(ids) == 4
    assert len(set(ids)) == 3
    assert "nobody-asked" in ids
    of_anthropic.output_faults = ("malformed",)
    with pytest.raises(json.JSONDecodeError):
        list(client.messages.batches.results(batch.id))
