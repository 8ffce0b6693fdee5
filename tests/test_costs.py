"""Prices, token counts, what is written down as paid, and costs.json."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
from answering import CAPITAL, GREEDY, Scripted, ask, chat, completion, request, use
from batch_provider import REQUESTS, SETTINGS, Provider, run_part
from conftest import REPOSITORY
from hypothesis import given
from report_files import make_report, write_trial
from servers.base import running
from servers.openai_compatible import CompatibleServer
from trial_parts import trial_parts

from workflow_scripts.answers import collect, poll, submit
from workflow_scripts.answers.executor import SyncExecutor
from workflow_scripts.answers.parts import TrialParts
from workflow_scripts.answers.predictions import answer, answers
from workflow_scripts.backends import ledger as spending
from workflow_scripts.backends import prices
from workflow_scripts.backends.client import InferenceClient, RequestError, make_client
from workflow_scripts.backends.http import HttpServer
from workflow_scripts.backends.ledger import (
    Embedded,
    Entry,
    JobSpending,
    Ledger,
    LedgerFile,
    RequestSpending,
    Reservation,
    SpendingSettings,
    Spent,
    last_entry,
)
from workflow_scripts.backends.prices import Price, Quote, Rates, no_price, quote
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.backends.table import BACKENDS
from workflow_scripts.backends.tokens import (
    BytesCounter,
    GgufCounter,
    TokenizersCounter,
    counter,
    tokenizer_of,
)
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_jsonl, write_jsonl
from workflow_scripts.core.records import (
    Completion,
    Decoding,
    Failure,
    Message,
    RawLine,
    Request,
    RequestMeta,
    Usage,
)
from workflow_scripts.costs.local import TimeTotals
from workflow_scripts.costs.records import Costs
from workflow_scripts.costs.settings import (
    ArmCostSettings,
    PaidEmbedder,
    RewritingCostSettings,
    TrialCostSettings,
)
from workflow_scripts.costs.trial import trial_costs

HOSTED = BackendSettings(model_id="m", use_batch_api=False)
ONE_DOLLAR_A_TOKEN = Rates(input_per_million=1e6, output_per_million=1e6)
"""Prices at which dollars are tokens."""


def hosted(backend: Any, model: str) -> BackendSettings:
    return BackendSettings(backend=backend, model_id=model, local_endpoint="http://localhost:1")


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


# Prices


def test_the_shipped_prices_are_valid_and_say_where_they_come_from() -> None:
    table = prices.price_table(prices.PRICE_TABLE)
    assert table.keys() == {name for name, each in BACKENDS.items() if each.is_hosted}
    for provider_prices in table.values():
        assert provider_prices.source.startswith("https://")
        assert provider_prices.batch_discount == 0.5
        assert provider_prices.models
        for price in provider_prices.models.values():
            cached = price.cached_input_per_million
            assert cached is None or cached < price.input_per_million <= price.output_per_million
            long = price.long_prompts
            assert long is None or long.input_per_million > price.input_per_million


def test_costs_by_hand() -> None:
    found = quote(hosted("openai", "gpt-4o-mini"), {})
    assert found is not None
    # 800 at 0.15, 200 from the cache at 0.075, 50 answered at 0.60; half of it in a batch job
    single = (800 * 0.15 + 200 * 0.075 + 50 * 0.60) / 1e6
    assert found.usd(1000, 50, cached=200, batch=False) == pytest.approx(single, rel=1e-12)
    assert found.usd(1000, 50, cached=200, batch=True) == pytest.approx(single / 2, rel=1e-12)
    assert found.usd_of(Usage(prompt_tokens=1000), batch=False) is None


def test_what_is_put_into_the_cache_has_a_price_of_its_own() -> None:
    found = quote(hosted("anthropic", "claude-haiku-4-5"), {})
    assert found is not None
    usage = Usage(prompt_tokens=1000, completion_tokens=0, cache_write_tokens=900)
    assert found.usd_of(usage, batch=False) == pytest.approx((100 * 1 + 900 * 1.25) / 1e6)
    # batch jobs ask for a cache of an hour
    assert found.usd_of(usage, batch=True) == pytest.approx((100 * 1 + 900 * 2) / 1e6 / 2)


def test_each_anthropic_price_knows_what_a_cache_write_costs() -> None:
    """1.25 times a prompt token for five minutes, twice for an hour (Anthropic's pricing page)."""
    for model in prices.price_table(prices.PRICE_TABLE)["anthropic"].models:
        shipped = quote(hosted("anthropic", model), {})
        assert shipped is not None
        for rates in filter(None, (shipped.rates, shipped.long_prompts)):
            assert rates.cache_write_per_million == pytest.approx(1.25 * rates.input_per_million)
            assert rates.cache_write_1h_per_million == pytest.approx(2 * rates.input_per_million)
    own = Price(input_per_million=8, output_per_million=9)
    found = quote(hosted("anthropic", "claude-next"), {"claude-next": own})
    assert found is not None
    assert found.rates.cache_write_per_million == 10
    assert found.rates.cache_write_1h_per_million == 16
    plain = quote(hosted("openai", "gpt-9"), {"gpt-9": own})
    assert plain is not None
    assert plain.rates.cache_write_per_million is None


def test_a_long_prompt_changes_the_price_of_the_whole_request() -> None:
    found = quote(hosted("anthropic", "claude-haiku-5-5"), {})
    assert found is not None
    assert found.usd(100_000, 100, batch=False) == pytest.approx((1e5 * 0.1 + 100 * 0.5) / 1e6)
    assert found.usd(100_001, 100, batch=False) == pytest.approx((100_001 * 0.5 + 250) / 1e6)


def test_the_config_wins_over_the_table_and_an_unknown_model_has_no_price() -> None:
    mini = hosted("openai", "gpt-4o-mini")
    own = quote(mini, {"gpt-4o-mini": Price(input_per_million=9, output_per_million=9)})
    assert own is not None
    assert own.rates.input_per_million == 9
    assert own.batch_discount == 0.5  # still the provider's
    assert own.source == "the config (pricing)"
    full = Price(input_per_million=9, output_per_million=9, batch_discount=0)
    without = quote(mini, {"gpt-4o-mini": full})
    assert without is not None
    assert without.batch_discount == 0
    assert quote(hosted("openai", "gpt-9"), {}) is None
    assert quote(hosted("openai_compatible", "gpt-4o-mini"), {}) is None


def test_local_engines_cost_nothing_unless_the_config_says_so() -> None:
    local = BackendSettings(backend="local", local_engine="ollama", local_model="q:7b")
    free = quote(local, {})
    assert free is not None
    assert free.is_free
    own = quote(local, {"q:7b": Price(input_per_million=0, output_per_million=1)})
    assert own is not None
    assert not own.is_free


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("openai: 3\n", r"pricing\.yaml: openai: "),
        ("opnai: {}\n", r"pricing\.yaml: opnai.*did you mean 'openai'"),
        ("openai: [\n", r"pricing\.yaml, line 2: not valid YAML"),
        (None, r"pricing\.yaml: no such file"),
    ],
)
def test_a_damaged_table_is_told(
    text: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prices, "PRICE_TABLE", tmp_path / "pricing.yaml")
    if text is not None:
        (tmp_path / "pricing.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        quote(HOSTED, {})


COUNTS = st.integers(0, 10**6)
DOLLARS = st.floats(0, 1000, allow_nan=False)


@given(
    first=st.tuples(COUNTS, COUNTS),
    second=st.tuples(COUNTS, COUNTS),
    rates=st.tuples(DOLLARS, DOLLARS),
    off=st.floats(0, 1),
)
def test_costs_add_up(
    first: tuple[int, int], second: tuple[int, int], rates: tuple[float, float], off: float
) -> None:
    """Two requests cost what one with all their tokens costs, whatever the price."""
    price = Quote(
        rates=Rates(input_per_million=rates[0], output_per_million=rates[1]),
        batch_discount=off,
        source="test",
    )
    both = tuple(map(sum, zip(first, second, strict=True)))
    for batch in (False, True):
        apart = price.usd(*first, batch=batch) + price.usd(*second, batch=batch)
        assert price.usd(*both, batch=batch) == pytest.approx(apart, rel=1e-9, abs=1e-12)
    assert price.usd(*both, batch=True) <= price.usd(*both, batch=False)


# Token counts


def test_bytes_are_counted_not_characters() -> None:
    count = BytesCounter()
    assert [count.text(text) for text in ("", "abcd", "abcde", "日本")] == [0, 1, 2, 2]
    # "Answer." 2, "Question 0?" 3, and what a chat template adds: 3 a message, 3 for the reply
    assert count.prompt(request().messages) == 2 + 3 + 3 * 3
    assert not count.exact


def test_a_local_model_s_own_tokenizer_counts_as_the_engine_does(
    demo: Any, demo_model: Path
) -> None:
    settings = BackendSettings(
        backend="local", local_engine="llama_cpp", local_model=str(demo_model)
    )
    count = counter(tokenizer_of(settings))
    assert isinstance(count, GgufCounter)
    assert count.exact
    answer = ask(demo, CAPITAL, GREEDY)
    assert count.prompt(chat(CAPITAL)) == answer.usage.prompt_tokens
    assert count.text(answer.response_text) == answer.usage.completion_tokens


def test_a_tokenizer_file_counts_for_a_hosted_model(tmp_path: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))  # noqa: S106 - no password
    words.pre_tokenizer = Whitespace()
    path = tmp_path / "tokenizer.json"
    words.save(str(path))
    count = counter(tokenizer_of(HOSTED.model_copy(update={"tokenizer": str(path)})))
    assert isinstance(count, TokenizersCounter)
    assert count.text("one two, three") == 4
    assert count.prompt(request().messages) == 2 + 3 + 3 * 3


def test_an_unusable_tokenizer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("{}", encoding="utf-8")
    tokenizer = tokenizer_of(HOSTED.model_copy(update={"tokenizer": str(path)}))
    with pytest.raises(UserError, match=r"tokenizer\.json: not a tokenizer\.json"):
        counter(tokenizer)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UserError, match="pip install tokenizers"):
        counter(tokenizer)


# What is paid, and the budget


def write_entries(path: Path, *totals: tuple[float, float]) -> None:
    lines = [json.dumps({"paid_usd": paid, "reserved_usd": held}) for paid, held in totals]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def test_the_last_totals_of_all_files_are_summed(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "spending")
    assert ledger.spent() == Spent()
    write_entries(tmp_path / "spending/a.jsonl", (0.5, 0.25), (1.0, 0.0))
    write_entries(tmp_path / "spending/b.jsonl", (2.0, 0.125))
    (tmp_path / "spending/c.jsonl").touch()
    assert ledger.spent() == Spent(3.0, 0.125)
    write_entries(tmp_path / "spending/b.jsonl", (2.0, 0.125), (4.0, 0.0))
    assert ledger.spent() == Spent(5.0, 0.0)


@given(amounts=st.lists(st.integers(0, 10**6), min_size=1, max_size=8), data=st.data())
def test_a_torn_line_hides_no_earlier_one(
    amounts: list[int], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Wherever a file is cut, the last whole line before the cut counts."""
    path = tmp_path_factory.mktemp("cut") / "a.jsonl"
    write_entries(path, *((float(amount), 0.0) for amount in amounts))
    text = path.read_bytes()
    cut = data.draw(st.integers(0, len(text)))
    path.write_bytes(text[:cut])
    whole = text[:cut].count(b"\n")
    entry = last_entry(path)
    assert (entry.paid_usd if entry else None) == (amounts[whole - 1] if whole else None)


def settings(folder: Path, budget: float | None) -> SpendingSettings:
    price = Quote(rates=ONE_DOLLAR_A_TOKEN, source="test", batch_discount=0.5)
    return SpendingSettings(
        folder=(folder / "spending").as_posix(),
        engine="openai",
        model="openai/m",
        tokenizer=tokenizer_of(HOSTED),
        quote=price,
        budget_usd=budget,
    )


def answered(tokens: int, prompt: int = 14) -> Completion:
    usage = Usage(prompt_tokens=prompt, completion_tokens=tokens)
    return completion("x").model_copy(update={"usage": usage})


PROMPT = BytesCounter().prompt(request().messages)
MOST = 7.0 + 11 + 2 * 16 + 128 + 8
"""What one of the test's requests may cost: a token for each byte of "Answer." and "Question 0?",
the most that a chat template adds, and 8 tokens of the longest answer."""


@pytest.mark.parametrize("seed", range(5))
def test_processes_that_race_never_pass_the_budget_and_use_it_up(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    budget = chance.uniform(300, 3000)
    refused = []

    async def process(name: str) -> None:
        with RequestSpending(settings(tmp_path, budget), name) as account:

            async def send(reserved: Reservation) -> None:
                await asyncio.sleep(chance.uniform(0, 0.01))
                failed = chance.random() < 0.2
                refused = RequestError("refused", retryable=False)
                account.settle(reserved, refused if failed else answered(chance.randint(1, 8)))

            try:
                async with asyncio.TaskGroup() as group:
                    while True:
                        group.create_task(send(await account.reserve(request())))
                        assert Ledger(tmp_path / "spending").spent().paid_usd <= budget
            except* UserError as error:
                refused.extend(error.exceptions)

    async def all_processes() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(process(f"p{number}"))

    asyncio.run(all_processes())
    spent = Ledger(tmp_path / "spending").spent()
    assert len(refused) == 4
    assert budget - MOST < spent.paid_usd <= budget
    assert spent.reserved_usd == 0


def test_what_a_killed_process_had_under_way_stays_reserved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def kill_one_and_go_on() -> float:
        killed = RequestSpending(settings(tmp_path, 2.15 * MOST), "killed")
        reserved = await killed.reserve(request())
        killed.settle(reserved, answered(8))
        await killed.reserve(request(1))  # and no more is heard of it
        monkeypatch.setattr(spending, "_PATIENCE_S", 0.1)
        with RequestSpending(settings(tmp_path, 2.15 * MOST), "next") as account:
            account.settle(await account.reserve(request(2)), answered(1))
            with pytest.raises(
                UserError, match=r"is reached: \$37\.00 paid, up to \$186\.00 for what is under way"
            ):
                await account.reserve(request(3))
        return account.most(request())

    assert asyncio.run(kill_one_and_go_on()) == MOST
    assert Ledger(tmp_path / "spending").spent() == Spent(22 + 15, MOST)


def run_sync(
    folder: Path, client: Scripted, count: int, budget: float | None, at_once: int = 1
) -> list[RawLine]:
    write_jsonl(folder / "input.jsonl", [request(number) for number in range(count)])
    with RequestSpending(settings(folder, budget), "input") as account:
        executor = SyncExecutor(client, folder / "journal", max_retries=0, spending=account)
        executor.run_jsonl(folder / "input.jsonl", folder / "raw.jsonl", at_once)
    return list(read_jsonl(folder / "raw.jsonl", RawLine))


@pytest.mark.parametrize("at_once", [1, 7])
def test_a_part_stops_cleanly_at_the_budget_and_goes_on_with_a_higher_one(
    tmp_path: Path, at_once: int
) -> None:
    # An answer costs 3 + 1 tokens, and may cost 187 ("Question 20?"): 21 are let through.
    client = Scripted()
    with pytest.raises(UserError, match=r"budget_usd=270 is reached: \$84\.00 paid; the next"):
        run_sync(tmp_path, client, 40, 270, at_once)
    assert len(client.asked) == 21
    assert client.closed
    assert not (tmp_path / "raw.jsonl").exists()
    spent = Ledger(tmp_path / "spending").spent()
    assert spent == Spent(21 * 4.0, 0.0)

    again = Scripted()
    lines = run_sync(tmp_path, again, 40, 400, at_once)
    assert len(again.asked) == 40 - 21
    assert not [line for line in lines if line.error]
    assert Ledger(tmp_path / "spending").spent() == Spent(160.0, 0.0)


def test_answers_from_the_journal_cost_nothing_and_lost_replies_may(tmp_path: Path) -> None:
    """With or without a budget: the provider may have charged a request that failed."""
    run_sync(tmp_path, Scripted({"Question 1?": ["lost"]}), 3, None)
    assert Ledger(tmp_path / "spending").spent() == Spent(8.0, 0.0, MOST)
    run_sync(tmp_path, Scripted(), 3, None)
    assert Ledger(tmp_path / "spending").spent() == Spent(12.0, 0.0, MOST)


def test_an_answer_without_counts_costs_what_was_set_aside(tmp_path: Path) -> None:
    account = RequestSpending(settings(tmp_path, None), "x")
    silent = completion("four, or so").model_copy(update={"usage": Usage()})
    account.settle(asyncio.run(account.reserve(request())), silent)
    assert Ledger(tmp_path / "spending").spent() == Spent(MOST)


def test_what_is_under_way_is_written_down_without_a_budget_too(tmp_path: Path) -> None:
    killed = RequestSpending(settings(tmp_path, None), "killed")
    asyncio.run(killed.reserve(request()))
    assert Ledger(tmp_path / "spending").spent() == Spent(0.0, MOST)


def test_each_try_that_may_have_been_charged_is_booked(tmp_path: Path) -> None:
    lost = RequestError("no reply within 60 s", retryable=True, may_be_charged=True)
    refused = RequestError("status 429", retryable=True)

    async def tries() -> None:
        account = RequestSpending(settings(tmp_path, 3.5 * MOST), "x")
        reserved = await account.reserve(request())
        await account.again(reserved, lost)
        await account.again(reserved, refused)
        await account.again(reserved, lost)
        assert Ledger(tmp_path / "spending").spent() == Spent(0.0, MOST, 2 * MOST)
        with pytest.raises(UserError, match=r"up to \$558\.00 charged for replies that were lost"):
            await account.again(reserved, lost)
        account.settle(reserved, None)

    asyncio.run(tries())
    assert Ledger(tmp_path / "spending").spent() == Spent(0.0, 0.0, 3 * MOST)


def test_a_failure_that_reports_its_tokens_costs_those(tmp_path: Path) -> None:
    usage = Usage(prompt_tokens=14, completion_tokens=5)
    unreadable = RequestError("?", retryable=False, may_be_charged=True, usage=usage)
    account = RequestSpending(settings(tmp_path, None), "x")
    account.settle(asyncio.run(account.reserve(request())), unreadable)
    assert Ledger(tmp_path / "spending").spent() == Spent(0.0, 0.0, 19.0)


@pytest.mark.parametrize(
    ("fault", "may_be_charged"),
    [
        ("400", False), ("429", False), ("500", False), ("503", False), ("502", True),
        ("504", True), ("reset", True), ("half", True), ("half JSON", True),
    ],
)  # fmt: skip
def test_a_request_that_was_refused_is_free_and_a_lost_reply_may_not_be(
    fault: str, may_be_charged: bool
) -> None:
    with running(CompatibleServer()) as server:
        backend = BackendSettings(
            backend="openai_compatible", model_id="tiny-3m", local_endpoint=server.url
        )

        async def ask_in_vain(client: InferenceClient) -> None:
            server.faults = lambda question, tries: fault
            await client.generate(chat("?"), GREEDY)

        with pytest.raises(RequestError) as failed:
            use(make_client(backend), ask_in_vain)
    assert failed.value.may_be_charged is may_be_charged


def test_a_request_that_reached_no_server_is_free() -> None:
    async def ask_nobody() -> None:
        server = HttpServer("http://127.0.0.1:9", timeout_s=1)
        try:
            await server.send("POST", "/v1/chat/completions")
        finally:
            await server.close()

    with pytest.raises(RequestError) as failed:
        asyncio.run(ask_nobody())
    assert not failed.value.may_be_charged


def test_retries_of_a_part_are_booked(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "input.jsonl", [request(0)])
    with RequestSpending(settings(tmp_path, None), "input") as account:
        executor = SyncExecutor(
            Scripted({"Question 0?": ["lost", "busy", "lost"]}),
            tmp_path / "journal",
            max_retries=3,
            spending=account,
        )
        executor.run_jsonl(tmp_path / "input.jsonl", tmp_path / "raw.jsonl", 1)
    assert Ledger(tmp_path / "spending").spent() == Spent(4.0, 0.0, 2 * MOST)


def test_a_try_that_a_vanishing_server_cut_off_is_booked(tmp_path: Path) -> None:
    class Vanishing(Scripted):
        async def generate(self, messages: Sequence[Message], decoding: Decoding) -> Completion:
            raise RequestError("reset", retryable=True, away=True, may_be_charged=True)

        async def check(self) -> str:
            raise UserError("no server")

    with pytest.raises(UserError, match="no server"):
        run_sync(tmp_path, Vanishing(), 1, None)
    assert Ledger(tmp_path / "spending").spent() == Spent(0.0, 0.0, MOST)


def test_an_answer_of_a_server_that_was_exchanged_is_booked(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "input.jsonl", [request(0)])
    with running(CompatibleServer()) as server:
        server.be_vllm("vllm-0.23.0-00000000")
        client = make_client(
            BackendSettings(
                backend="openai_compatible", model_id="tiny-3m", local_endpoint=server.url
            )
        )

        def answer(question: str) -> str:
            if question == "Question 0?":
                server.fingerprint = "vllm-0.23.0-11111111"
            return "Oslo"

        server.answer = answer
        with RequestSpending(settings(tmp_path, None), "input") as account:
            executor = SyncExecutor(client, tmp_path / "journal", max_retries=0, spending=account)
            with pytest.raises(UserError, match="now answers as"):
                executor.run_jsonl(tmp_path / "input.jsonl", tmp_path / "raw.jsonl", 1)
    spent = Ledger(tmp_path / "spending").spent()
    assert spent.lost_usd > 0
    assert spent == Spent(lost_usd=spent.lost_usd)


def test_a_request_that_waited_for_the_budget_and_is_not_sent_sets_nothing_aside(
    tmp_path: Path,
) -> None:
    class Stopping(Scripted):
        async def generate(self, messages: Sequence[Message], decoding: Decoding) -> Completion:
            await asyncio.sleep(0)
            raise UserError("stop")

    with pytest.raises(UserError, match="stop"):
        run_sync(tmp_path, Stopping(), 2, MOST, at_once=2)
    assert Ledger(tmp_path / "spending").spent() == Spent()


def test_a_full_disk_stops_the_sending(tmp_path: Path) -> None:
    (tmp_path / "spending").write_text("no folder", encoding="utf-8")
    client = Scripted()
    with pytest.raises(UserError, match="the ledger of what is paid cannot be written"):
        run_sync(tmp_path, client, 5, None)
    assert len(client.asked) < 5


def test_an_answer_that_the_ledger_cannot_take_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reservation is on disk already, so it is no less than paid."""
    append = spending.LedgerFile.append

    def full(self: Any, line: str) -> int:
        if json.loads(line)["paid_usd"]:
            raise OSError(28, "No space left on device")
        return append(self, line)

    monkeypatch.setattr(spending.LedgerFile, "append", full)
    with pytest.raises(UserError, match=r"No space left on device.*All answers are kept"):
        run_sync(tmp_path, Scripted(), 5, None)
    monkeypatch.undo()
    monkeypatch.chdir(REPOSITORY)
    again = Scripted()
    run_sync(tmp_path, again, 5, None)
    assert len(again.asked) == 4
    assert Ledger(tmp_path / "spending").spent() == Spent(16.0, MOST)


# Batch jobs


def batch_settings(folder: Path, budget: float | None) -> Any:
    return SETTINGS.model_copy(update={"spending": settings(folder, budget)})


@pytest.fixture
def priced(provider: Provider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs a part as `run_part` does, with a price; writing what is paid is a step, too."""
    write = spending.LedgerFile.write

    def counted(self: Any, entry: Entry) -> None:
        provider.step()
        write(self, entry)
        provider.step()

    monkeypatch.setattr(spending.LedgerFile, "write", counted)

    def run(folder: Path, budget: float | None, requests: list[Request] = REQUESTS) -> list[Any]:
        return run_part(folder, requests, settings=batch_settings(folder, budget))

    return run


BATCH_ANSWER = 4 * 0.5
BATCH_MOST = MOST * 0.5


def test_a_job_is_reserved_until_it_is_collected(
    priced: Any, provider: Provider, tmp_path: Path
) -> None:
    seen = []
    provider.outcome = lambda key, attempt: (
        seen.append(Ledger(tmp_path / "spending").spent()) or completion("x")
    )
    priced(tmp_path, 5 * BATCH_MOST)
    assert seen[0] == Spent(0.0, 5 * BATCH_MOST)
    assert Ledger(tmp_path / "spending").spent() == Spent(5 * BATCH_ANSWER, 0.0)


def test_wherever_it_is_killed_each_job_is_paid_for_once(
    priced: Any, provider: Provider, tmp_path: Path
) -> None:
    priced(tmp_path / "undisturbed", 5 * BATCH_MOST)
    steps = provider.steps
    assert steps > 20
    for kill_at in range(1, steps + 1):
        provider.__init__(kill_at=kill_at)
        folder = tmp_path / f"killed-{kill_at}"
        assert not [line for line in priced(folder, 5 * BATCH_MOST) if line.error], kill_at
        assert Ledger(folder / "spending").spent() == Spent(5 * BATCH_ANSWER, 0.0), kill_at


def test_a_job_that_may_pass_the_budget_is_not_submitted(
    priced: Any, provider: Provider, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"budget_usd=464 is reached.*the next batch job may cost"):
        priced(tmp_path, 464.0)
    assert provider.jobs == {}
    assert Ledger(tmp_path / "spending").spent() == Spent()
    assert not list((tmp_path / "journal").rglob("assay-*"))
    assert not [line for line in priced(tmp_path, 465.0) if line.error]


def test_a_job_that_the_provider_refuses_costs_nothing(
    priced: Any, provider: Provider, tmp_path: Path
) -> None:
    provider.create_errors = [RequestError("bad model", retryable=False)]
    with pytest.raises(UserError, match="bad model"):
        priced(tmp_path, 500.0)
    assert Ledger(tmp_path / "spending").spent() == Spent()
    assert not [line for line in priced(tmp_path, 500.0) if line.error]
    assert Ledger(tmp_path / "spending").spent() == Spent(5 * BATCH_ANSWER, 0.0)


def test_a_job_that_another_experiment_collected_is_settled_all_the_same(
    provider: Provider, tmp_path: Path
) -> None:
    """The raw part may never be made by the experiment that submitted it."""
    journal, part, more = (tmp_path / name for name in ("journal", "part.jsonl", "more.jsonl"))
    write_jsonl(part, REQUESTS)
    write_jsonl(more, [request(99)])
    ours, theirs = batch_settings(tmp_path, None), batch_settings(tmp_path / "other", None)
    submitted = asyncio.run(submit.submit(part, ours, journal))
    completed = asyncio.run(poll.poll(submitted, theirs, journal))
    asyncio.run(collect.collect(part, completed, theirs, journal, tmp_path / "raw.jsonl"))
    assert Ledger(tmp_path / "other/spending").spent() == Spent()
    assert Ledger(tmp_path / "spending").spent() == Spent(0.0, 5 * BATCH_MOST)
    asyncio.run(submit.submit(more, ours, journal))
    spent = Ledger(tmp_path / "spending").spent()
    assert spent.paid_usd == 5 * BATCH_ANSWER
    assert BATCH_ANSWER < spent.reserved_usd < BATCH_MOST  # its prompt is reserved as counted


def test_results_that_cannot_be_read_cost_what_was_set_aside(tmp_path: Path) -> None:
    account = JobSpending(settings(tmp_path, None))
    account.reserve("assay-1", map(request, range(4)))
    account.settle("assay-1", 4, [answered(1, prompt=3)], lost=2)
    assert Ledger(tmp_path / "spending").spent() == Spent(BATCH_ANSWER, 0.0, 2 * BATCH_MOST)


def test_the_most_of_a_job_follows_what_earlier_ones_counted(tmp_path: Path) -> None:
    account = JobSpending(settings(tmp_path, None))
    account.reserve("assay-1", map(request, range(10)))
    certain = 10 * BATCH_MOST
    assert Ledger(tmp_path / "spending").spent().reserved_usd == certain
    account.settle("assay-1", 10, [answered(8)] * 10)  # 14 tokens of the prompt each
    account.reserve("assay-2", map(request, range(10)))
    real = 10 * (14 + 8) * 0.5
    assert real < Ledger(tmp_path / "spending").spent().reserved_usd < 1.15 * real
    other = settings(tmp_path, None).model_copy(update={"model": "openai/other"})
    JobSpending(other).reserve("assay-3", map(request, range(10)))
    assert Ledger(tmp_path / "spending").spent().reserved_usd > certain


# costs.json, local_costs.json


def raw(number: int, usage: Usage, latency_s: float | None = 0.1, **changes: Any) -> RawLine:
    meta = request(number).model_dump(include=set(RequestMeta.model_fields))
    answer = completion("four, or so").model_copy(update={"usage": usage, "latency_s": latency_s})
    named = {"request_digest": f"{number:064x}"}  # the response id is "r" on each line
    return RawLine(**{**meta, **answer.model_dump(), **named, **changes})


def settings_of(
    parts: TrialParts, prices: Mapping[str, Quote | None], folder: Path
) -> TrialCostSettings:
    arms = {
        condition: ArmCostSettings(
            parts=arm,
            system="",
            model=f"model of {condition}",
            tokenizer=tokenizer_of(HOSTED),
            n_ctx=9,
            quote=prices[condition],
            note=no_price(HOSTED) if prices[condition] is None else None,
        )
        for condition, arm in parts.arms.items()
    }
    return TrialCostSettings(arms=arms, spending_folder=(folder / "spending").as_posix())


def costs_of(
    folder: Path, lines: list[RawLine], price: Quote | None, other: Quote | str | None = "same"
) -> dict[str, Any]:
    """costs.json of two arms with the same answers; ``other`` is the treatment's price."""
    write_jsonl(folder / "inputs/part.jsonl", [request(number) for number in range(9)])
    write_jsonl(folder / "raw/part.jsonl", lines)
    arms = {"control": ["part.jsonl"], "treatment": ["part.jsonl"]}
    parts = trial_parts(folder / "inputs", folder / "raw", arms)
    prices = {"control": price, "treatment": price if isinstance(other, str) else other}
    costs, _ = trial_costs(settings_of(parts, prices, folder), answers(parts))
    return costs.model_dump(mode="json")


PRICE = Quote(
    rates=Rates(input_per_million=1.0, cached_input_per_million=0.1, output_per_million=10.0),
    batch_discount=0.5,
    source="test",
    date="2026-11",
)


def test_costs_of_an_arm_by_hand(tmp_path: Path) -> None:
    counts = Usage(prompt_tokens=100, completion_tokens=10, total_tokens=110, cached_tokens=40)
    failed = request(3).model_dump(include=set(RequestMeta.model_fields))
    lines = [
        raw(0, counts),
        raw(1, counts, latency_s=None),  # from a batch job
        raw(2, counts, request_digest=f"{0:064x}"),  # equal to the first: one answer, paid for once
        RawLine(**failed, error=Failure(type="t", message="m")),
    ]
    found = costs_of(tmp_path, lines, PRICE)
    one = (60 * 1.0 + 40 * 0.1 + 10 * 10.0) / 1e6
    arm = found["by_condition"]["control"]
    assert arm == {
        "model": "model of control",
        "price": PRICE.model_dump(mode="json"),
        "note": None,
        "requests": 4,
        "answers": 2,
        "unidentified": 0,
        "from_batch_jobs": 1,
        "prompt_tokens": {"engine": 200, "estimate": 0},
        "completion_tokens": {"engine": 20, "estimate": 0},
        "cached_tokens": 80,
        "estimated_by": None,
        "cost_usd": pytest.approx(one + one / 2, abs=1e-10),
    }
    assert found["by_condition"]["treatment"] == {**arm, "model": "model of treatment"}
    assert found["cost_usd"] == pytest.approx(3 * one, abs=1e-9)


def test_an_arm_s_costs_have_its_rewriting_and_a_trial_counts_it_once(tmp_path: Path) -> None:
    def line(number: int, prompt: int, completion: int) -> RawLine:
        return raw(number, Usage(prompt_tokens=prompt, completion_tokens=completion), latency_s=0.5)

    names = {"answers": [line(0, 100, 10)], "texts": [line(5, 40, 4), line(6, 50, 5)]}
    for name, lines in names.items():
        write_jsonl(tmp_path / f"raw/{name}.jsonl", lines)
    arms = {"control": ["answers.jsonl"], "treatment": ["answers.jsonl"], "texts": ["texts.jsonl"]}
    parts = trial_parts(tmp_path / "inputs", tmp_path / "raw", arms)
    rewriting = RewritingCostSettings(name="m (b), rewrite, rag", parts=parts.arms.pop("texts"))
    settings = settings_of(parts, dict.fromkeys(parts.arms, PRICE), tmp_path)
    for name in ("control", "treatment"):
        shared = {"rewritings": [rewriting]}
        settings.arms[name] = settings.arms[name].model_copy(update=shared)
    costs, _ = trial_costs(settings, answers(parts))
    answered, rewritten = (100 + 10 * 10) / 1e6, (90 + 9 * 10) / 1e6
    for arm in costs.by_condition.values():
        assert (arm.requests, arm.prompt_tokens.engine) == (1, 100)  # of answers alone
        assert arm.cost_usd == pytest.approx(answered + rewritten, abs=1e-10)
        [each] = arm.rewritings
        assert (each.requests, each.total_tokens, each.total_latency_s) == (2, 99, 1.0)
        assert each.cost_usd == pytest.approx(rewritten, abs=1e-10)
    assert costs.cost_usd == pytest.approx(2 * answered + rewritten, abs=1e-10)
    assert [each.name for each in costs.rewritings] == ["m (b), rewrite, rag"]
    assert Costs.model_validate_json(costs.model_dump_json()) == costs


def test_embedders_are_told_with_what_they_cost(tmp_path: Path) -> None:
    got = Embedded(embedder="small", model="embed-3", texts=5, tokens=90)
    for name, embedded in (("a", got), ("b", got), ("c", None)):
        file = LedgerFile(tmp_path / f"spending/{name}.jsonl")
        file.write(Entry(paid_usd=0.25, reserved_usd=0.0, lost_usd=0.5, embedded=embedded))
        file.close()
    settings = settings_of(TrialParts(arms={}), {}, tmp_path)
    known = PaidEmbedder(embedder="small", model="embed-3", quote=PRICE, note=None)
    unknown = PaidEmbedder(embedder="own", model="embed-3", quote=None, note="add a price")
    settings = settings.model_copy(update={"embedders": [known, unknown]})
    costs, _ = trial_costs(settings, [])
    first, second = costs.model_dump(mode="json")["embedders"]
    assert (first["texts"], first["tokens"], first["paid_usd"], first["lost_usd"]) == (
        10, 180, 0.5, 1.0,
    )  # fmt: skip
    assert first["price"]["source"] == "test"
    assert second["paid_usd"] is None
    assert second["note"] == "add a price"
    assert costs.experiment.paid_usd == 0.75  # with the answers
    assert Costs.model_validate_json(costs.model_dump_json()) == costs


def test_each_arm_pays_the_price_of_its_own_model(tmp_path: Path) -> None:
    lines = [raw(0, Usage(prompt_tokens=100, completion_tokens=10))]
    dear = PRICE.model_copy(update={"rates": Rates(input_per_million=5, output_per_million=50)})
    found = costs_of(tmp_path, lines, PRICE, dear)
    costs = {arm: each["cost_usd"] for arm, each in found["by_condition"].items()}
    assert costs == pytest.approx({"control": 200 / 1e6, "treatment": 1000 / 1e6}, abs=1e-10)
    assert found["cost_usd"] == pytest.approx(1200 / 1e6, abs=1e-10)
    one = costs_of(tmp_path, lines, PRICE, None)
    assert one["by_condition"]["control"]["cost_usd"] == costs["control"]
    assert one["by_condition"]["treatment"]["cost_usd"] is one["cost_usd"] is None


def test_answers_without_a_digest_count_one_by_one(tmp_path: Path) -> None:
    """Lines of versions before 0.2 have none; a response id that repeats hides no answer."""
    counts = Usage(prompt_tokens=100, completion_tokens=10)
    lines = [raw(number, counts, request_digest=None) for number in range(3)]
    arm = costs_of(tmp_path, lines, PRICE)["by_condition"]["control"]
    assert (arm["requests"], arm["answers"], arm["unidentified"]) == (3, 3, 3)
    assert arm["cost_usd"] == pytest.approx(3 * (100 + 10 * 10) / 1e6, abs=1e-10)


def test_what_the_engine_did_not_count_is_estimated_apart(tmp_path: Path) -> None:
    lines = [
        raw(0, Usage(prompt_tokens=100, completion_tokens=10)),
        raw(1, Usage()),
        raw(2, Usage(prompt_tokens=100)),
    ]
    arm = costs_of(tmp_path, lines, PRICE)["by_condition"]["control"]
    assert arm["prompt_tokens"] == {"engine": 200, "estimate": PROMPT}
    assert arm["completion_tokens"] == {"engine": 10, "estimate": 6}
    assert arm["estimated_by"] == "estimated as 4 bytes of text a token"
    assert arm["cached_tokens"] is None
    assert arm["cost_usd"] == pytest.approx((200 + PROMPT + 16 * 10) / 1e6, abs=1e-10)


def test_without_a_price_the_cost_is_null_and_the_note_says_what_to_do(tmp_path: Path) -> None:
    found = costs_of(tmp_path, [raw(0, Usage())], None)
    arm = found["by_condition"]["control"]
    assert found["cost_usd"] is arm["cost_usd"] is arm["price"] is None
    assert "no price is known for m; add it to the config, pricing: {m: {" in arm["note"]
    json.dumps(found, allow_nan=False)


@hypothesis.settings(max_examples=20)
@given(cuts=st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_costs_do_not_depend_on_how_parts_are_cut(
    cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    lines = [
        raw(number, Usage(prompt_tokens=number, completion_tokens=1) if number % 2 else Usage())
        for number in range(9)
    ]
    whole = costs_of(folder, lines, PRICE)
    names, start = [], 0
    for size in [*cuts, 9]:
        stop = min(9, start + size)
        names.append(f"p{len(names)}.jsonl")
        write_jsonl(folder / "raw" / names[-1], lines[start:stop])
        asked = [request(number) for number in range(start, stop)]
        write_jsonl(folder / "inputs" / names[-1], asked)
        start = stop
    arms = {"control": names, "treatment": names}
    cut = trial_parts(folder / "inputs", folder / "raw", arms)
    settings = settings_of(cut, dict.fromkeys(arms, PRICE), folder)
    assert trial_costs(settings, answers(cut))[0].model_dump(mode="json") == whole


def local(lines: list[RawLine]) -> dict[str, Any]:
    totals = TimeTotals()
    list(totals.adding(answer("control", line) for line in lines))
    return totals.times([]).model_dump(mode="json")


def test_local_costs_are_sums_and_quantiles_over_answered_requests() -> None:
    counts = Usage(prompt_tokens=10, completion_tokens=2, total_tokens=12)
    lines = [raw(number, counts, latency_s=float(number)) for number in range(1, 5)]
    lines[0] = raw(1, counts, latency_s=1.0, finish_reason="length")
    failed = request(9).model_dump(include=set(RequestMeta.model_fields))
    error = RawLine(**failed, error=Failure(type="t", message="m"))
    found = local([*lines, error])
    assert (found["requests"], found["failed"], found["truncated"]) == (5, 1, 1)
    assert (found["prompt_tokens"], found["completion_tokens"], found["total_tokens"]) == (
        40,
        8,
        48,
    )
    # by hand: linear interpolation between the order statistics 1, 2, 3, 4
    assert found["latency_s"] == {"mean": 2.5, "p50": 2.5, "p95": 3.85}
    assert local([raw(1, Usage())])["prompt_tokens"] is None
    assert local([error])["latency_s"] is None
    assert found["requests_at_once"] is None


def test_local_costs_tell_how_many_requests_were_in_flight() -> None:
    lines = [raw(number, Usage(), at_once=number) for number in (1, 4, 4)]
    assert local([*lines, raw(9, Usage())])["requests_at_once"] == 3.0


def test_the_page_shows_what_may_have_been_charged(tmp_path: Path) -> None:
    write_trial(tmp_path)
    page = make_report(tmp_path).read_text(encoding="utf-8")
    assert "together had paid 0.0369 US$ for answers; up to 0.0020 US$ more may have been" in page
    assert "up to 0.0010 US$ were reserved for requests under way" in page
