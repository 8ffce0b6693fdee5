"""The most that requests can cost: bounds on tokens, and budgets that no provider's bill passes."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from answering import completion, request
from hypothesis import given
from scipy.optimize import linprog

from workflow_scripts.backends import bounds
from workflow_scripts.backends import ledger as spending
from workflow_scripts.backends.bounds import Counted, UpperBound, certain_tokens, request_sizes
from workflow_scripts.backends.client import RequestError
from workflow_scripts.backends.ledger import (
    JobSpending,
    Ledger,
    RequestSpending,
    Reservation,
    SpendingSettings,
)
from workflow_scripts.backends.prices import Quote, Rates
from workflow_scripts.backends.tokens import (
    BytesCounter,
    GgufCounter,
    TokenizerFile,
    added,
    text_sizes,
)
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.records import Completion, Message, Request, Usage

BYTES = BytesCounter()
QUOTE = Quote(
    rates=Rates(
        input_per_million=1e6,
        cached_input_per_million=1e5,
        cache_write_per_million=1.25e6,
        cache_write_1h_per_million=2e6,
        output_per_million=5e6,
    ),
    batch_discount=0.5,
    source="test",
)

WORDS = [
    "the",
    "city",
    "lies",
    "on",
    "a",
    "river",
    "and",
    "was",
    "founded",
    "in",
    "about",
    "by",
    "king",
    "who",
    "built",
    "its",
    "first",
    "bridge",
]
THAI = ["ภาษาไทย", "เป็นภาษา", "ที่มี", "ระดับเสียง", "ของคำ", "กรุงเทพ", "เมืองหลวง", "ประเทศ"]
ARABIC = [
    "اللغة",
    "العربية",
    "هي",
    "أكثر",
    "اللغات",
    "السامية",
    "تحدثا",
    "وإحدى",
    "انتشارا",
    "في",
    "العالم",
]
CHINESE = list("北京市是中华人民共和国的首都全政治中心文化国际交往和科技创新")
EMOJI = ["😀", "😂", "🥰", "🚀", "👍🏽", "👩‍👩‍👧", "🇫🇮", "🔥", "✅", "❌"]


def english(chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randrange(30, 200))).capitalize() + "."


def code(chance: random.Random) -> str:
    names = ["self._items", "request_id", "maxRetries", "x", "HttpError", "await", "return"]
    lines = (
        f"    {chance.choice(names)} = {chance.choice(names)}({chance.randrange(100)})"
        for _ in range(9)
    )
    return "\n".join(lines)


def a_json(chance: random.Random) -> str:
    values = [None, True, "a7f3", [1, 2.5], {"id": 77}]
    return json.dumps({f"key_{n}": chance.choice([*values, chance.random()]) for n in range(20)})


def joined(words: list[str], separator: str) -> Callable[[random.Random], str]:
    return lambda chance: separator.join(chance.choices(words, k=chance.randrange(20, 120)))


TEXTS: dict[str, Callable[[random.Random], str]] = {
    "english": english,
    "code": code,
    "json": a_json,
    "digits": lambda chance: " ".join(str(chance.randrange(10**9)) for _ in range(40)),
    "base64": lambda chance: base64.b64encode(chance.randbytes(chance.randrange(50, 300))).decode(),
    "thai": joined(THAI, ""),
    "arabic": joined(ARABIC, " "),
    "chinese": joined(CHINESE, ""),
    "emoji": joined(EMOJI, ""),
}


def tokenizer(chance: random.Random) -> Callable[[str], int]:
    """A tokenizer that cuts a text as published ones do, and each piece after so many bytes.

    One to four bytes of each script make a token; the spaces before words are theirs.
    """
    bytes_per_token = {script: chance.uniform(1, 4) for script in ("letters", "digits", "rest")}
    wide = {start: chance.uniform(1, 4) for start in range(0, 0x20000, 0x400)}
    wide |= dict.fromkeys(range(0x2C00, 0xA000, 0x400), wide[0x4C00])

    def count(text: str) -> int:
        found = 0
        for piece in re.findall(r" ?[A-Za-z]+|\d{1,3}|\s+|[^\x00-\x7f]+|.", text):
            if ord(piece[-1]) > 127:
                size = wide[ord(piece[0]) // 0x400 * 0x400]
            else:
                kind = "digits" if piece.isdigit() else "letters" if piece[-1].isalpha() else "rest"
                size = bytes_per_token[kind]
            found += math.ceil(len(piece.encode()) / size)
        return found

    return count


def asked(text: str, dataset: str = "d", system: str = "Answer.") -> Request:
    messages = [Message(role="system", content=system), Message(role="user", content=text)]
    return request(0, dataset=dataset, messages=messages)


def counted(requests: list[Request], count: Callable[[Request], int]) -> Counted:
    found = Counted()
    for each in requests:
        sizes = request_sizes(BYTES, each)
        found += Counted(answers=1, tokens=count(each), sizes=sizes)
    return found


def sizes_of(requests: list[Request]) -> dict[str, float]:
    found: dict[str, float] = {}
    for each in requests:
        found = added(found, request_sizes(BYTES, each))
    return found


# Kinds of text


@hypothesis.settings(max_examples=50)
@given(st.text())
def test_each_byte_is_of_one_kind(text: str) -> None:
    sizes = text_sizes(text)
    assert all(size > 0 for size in sizes.values())
    assert sum(sizes.values()) >= len(text.encode())
    if text.isascii():
        assert sum(sizes.values()) == len(text.encode())


def test_kinds_by_hand() -> None:
    assert text_sizes("Two words, maxRetries=10\n") == {
        "word": 8, "letter": 10, "digit": 2, "space": 3, "sign": 2,
    }  # fmt: skip
    assert text_sizes("é 北京 ไทย 🚀") == {"latin": 2, "han": 6, "thai": 9, "emoji": 4, "space": 3}


@hypothesis.settings(max_examples=50)
@given(text=st.text(max_size=60))
def test_a_real_tokenizer_makes_no_more_tokens_than_is_certain(text: str, demo_model: Path) -> None:
    real = GgufCounter(demo_model, "xllamacpp", exact=True)
    messages = [Message(role="user", content=text)]
    assert real.prompt(messages) <= certain_tokens(BYTES.sizes(messages))


def test_a_schema_is_part_of_what_is_sent() -> None:
    plain = request(0)
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    decoding = plain.decoding.model_copy(update={"json_schema": schema})
    bound = certain_tokens(request_sizes(BYTES, request(0, decoding=decoding)))
    assert bound >= certain_tokens(request_sizes(BYTES, plain)) + len(json.dumps(schema))


# What agrees with the counts


@hypothesis.settings(max_examples=50)
@given(data=st.data())
def test_the_most_is_the_optimum_of_a_linear_program(data: st.DataObject) -> None:
    """Against scipy's solver: the rates that agree with the counts and make the most tokens."""
    kinds = ["d|word", "d|digit", "d|han", "e|word", "d|message"]
    certain = [1, 1, 1, 1, 16]
    before = data.draw(st.lists(st.integers(0, 300), min_size=5, max_size=5))
    sizes = data.draw(st.lists(st.integers(0, 300), min_size=5, max_size=5))
    most_before = int(np.dot(certain, before))
    hypothesis.assume(most_before > 0)
    tokens = data.draw(st.integers(0, most_before))
    known = Counted(answers=10**9, tokens=tokens, sizes=dict(zip(kinds, before, strict=True)))
    found = known.most(dict(zip(kinds, sizes, strict=True)), 10**9)
    best = linprog(
        -np.array(sizes),
        A_ub=[before],
        b_ub=[tokens * (1 + bounds._MARGIN)],
        bounds=[(0, each) for each in certain],
    )
    assert found == pytest.approx(-best.fun, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("kind", TEXTS)
def test_a_hundred_counts_bring_the_bound_close_and_never_too_low(kind: str) -> None:
    for seed in range(6):
        chance = random.Random(f"{kind}{seed}")
        count = tokenizer(chance)

        def tokens(each: Request, count: Callable[[str], int] = count) -> int:
            return sum(count(message.content) + 4 for message in each.messages) + 3

        first, then = ([asked(TEXTS[kind](chance)) for _ in range(100)] for _ in range(2))
        real = sum(map(tokens, then))
        bound = counted(first, tokens).most(sizes_of(then), len(then))
        assert 1 <= bound / real < 1.3, (seed, bound / real)


@pytest.mark.parametrize("kind", TEXTS)
def test_counts_of_english_do_not_make_another_text_too_cheap(kind: str) -> None:
    for seed in range(4):
        chance = random.Random(f"{kind}{seed}")
        count = tokenizer(chance)

        def tokens(each: Request, count: Callable[[str], int] = count) -> int:
            return sum(count(message.content) + 4 for message in each.messages) + 3

        known = counted([asked(english(chance)) for _ in range(100)], tokens)
        other = [asked(TEXTS[kind](chance)) for _ in range(50)]
        assert known.most(sizes_of(other), 50) >= sum(map(tokens, other)), seed


def test_another_data_set_is_bounded_by_its_bytes() -> None:
    """French has the letters of English, and more tokens."""
    known = counted([asked("plain words " * 50)] * 50, lambda each: 150)
    assert known.most(sizes_of([asked("plain words " * 50)]), 1) < 250
    assert known.most(sizes_of([asked("plain words " * 50, dataset="other")]), 1) > 600


def test_a_provider_that_counts_more_than_is_certain_is_believed() -> None:
    each = asked("word")
    many = 3 * int(certain_tokens(request_sizes(BYTES, each)))
    known = counted([each] * 50, lambda _: many)
    assert known.beyond == pytest.approx(3, abs=0.01)
    assert known.most(sizes_of([each] * 50), 50) >= 50 * many
    assert known.most(sizes_of([asked("word", dataset="other")]), 1) >= many


def test_nothing_counted_and_nothing_asked() -> None:
    assert Counted().most({"d|word": 7, "d|message": 1}, 1) == 7 + 16
    assert counted([asked("x")], lambda _: 5).most({}, 0) == 0


# What the provider's cache may cost


@given(
    batch=st.booleans(),
    cached=st.integers(0, 40),
    written=st.integers(0, 40),
    completion=st.integers(0, 8),
)
def test_whatever_is_put_into_the_cache_costs_no_more(
    batch: bool, cached: int, written: int, completion: int
) -> None:
    """Anthropic's is asked to keep the system prompt; others may keep whatever they like."""
    system, prompt = 30, 80
    written, cached = min(written, prompt), min(cached, prompt - min(written, prompt))
    each = asked("u" * 40, system="s" * 30)
    for engine, most_written in (("openai", prompt), ("anthropic", system)):
        bound = UpperBound(QUOTE, BYTES, engine=engine, batch=batch)
        bound.add(each)
        usage = Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            cached_tokens=cached,
            cache_write_tokens=min(written, most_written),
        )
        cost = QUOTE.usd_of(usage, batch=batch)
        assert cost is not None
        assert cost <= bound.certain_usd(1.0)
    whole = UpperBound(QUOTE, BYTES, engine="openai", batch=batch)
    whole.add(each)
    assert bound.certain_usd(1.0) < whole.certain_usd(1.0)


def test_a_prompt_that_may_be_long_is_reserved_at_the_price_of_long_ones() -> None:
    long = {"over_tokens": 1000, "input_per_million": 5e6, "output_per_million": 5e6}
    quote = QUOTE.model_validate({**QUOTE.model_dump(), "long_prompts": long})
    known = counted([asked("some words " * 100)] * 100, lambda _: 300)
    for text, is_long in (("some words " * 100, False), ("some words " * 300, True)):
        bound = UpperBound(quote, BYTES, engine="openai", batch=False)
        bound.add(asked(text))
        plain = UpperBound(QUOTE, BYTES, engine="openai", batch=False)
        plain.add(asked(text))
        assert (bound.usd(known) > 2 * plain.usd(known)) is is_long


# Budgets


class KilledError(BaseException):
    """The process is killed here."""


class Provider:
    """Counts tokens in its own way, charges for all that reaches it, and may kill its caller.

    Every other one charges the most it can: long answers, and all prompts put into its cache.
    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.count = tokenizer(self.chance)
        self.charged = 0.0
        self.is_dear = seed % 2 == 1
        self.kill_in = 10**9

    def step(self) -> None:
        self.kill_in -= 1
        if self.kill_in <= 0:
            raise KilledError

    def usage(self, each: Request) -> Usage:
        prompt = sum(self.count(message.content) + 4 for message in each.messages) + 3
        longest = each.decoding.max_new_tokens
        cached = 0 if self.is_dear else self.chance.choice([0, prompt // 2])
        written = prompt if self.is_dear else self.chance.choice([0, prompt - cached])
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=longest if self.is_dear else self.chance.randint(0, longest),
            cached_tokens=cached,
            cache_write_tokens=written,
        )

    def answer(self, each: Request, *, batch: bool) -> Completion:
        usage = self.usage(each)
        cost = QUOTE.usd_of(usage, batch=batch)
        assert cost is not None
        self.charged += cost
        tells = batch or self.chance.random() < 0.8
        return completion().model_copy(update={"usage": usage if tells else Usage()})

    async def generate(self, each: Request) -> Completion:
        self.step()
        await asyncio.sleep(0)
        if self.chance.random() < 0.1:
            raise RequestError("status 429", retryable=True)
        answer = self.answer(each, batch=False)
        self.step()
        if self.chance.random() < 0.1:
            raise RequestError("the connection failed", retryable=True, may_be_charged=True)
        return answer


def spending_settings(folder: Path, budget: float) -> SpendingSettings:
    return SpendingSettings(
        folder=folder.as_posix(),
        engine="openai",
        model="openai/m",
        tokenizer=TokenizerFile(path=None, is_own=False),
        quote=QUOTE,
        budget_usd=budget,
    )


def requests_of_all_kinds(chance: random.Random) -> Iterator[Request]:
    while True:
        kind = chance.choice(list(TEXTS))
        yield asked(TEXTS[kind](chance), dataset=kind)


async def send_until_refused(account: RequestSpending, provider: Provider) -> None:
    async def send(reserved: Reservation) -> None:
        for _ in range(3):
            try:
                answer = await provider.generate(reserved.request)
            except RequestError as error:
                last = error
                await account.again(reserved, error)
            else:
                account.settle(reserved, answer)
                return
        account.settle(reserved, None if last.may_be_charged else last)

    async with asyncio.TaskGroup() as group:
        for each in requests_of_all_kinds(provider.chance):
            group.create_task(send(await account.reserve(each)))
            await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(8))
def test_no_kill_makes_the_bill_pass_the_budget(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts of all kinds, lost replies, repeated tries, answers without counts, kills anywhere."""
    provider = Provider(seed)
    budget = provider.chance.uniform(20_000, 60_000)
    write = spending.LedgerFile.write

    def killable(self: spending.LedgerFile, entry: spending.Entry) -> None:
        provider.step()
        write(self, entry)
        provider.step()

    monkeypatch.setattr(spending.LedgerFile, "write", killable)
    monkeypatch.setattr(spending, "_LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(spending, "_PATIENCE_S", 0.0)
    kills = 0
    for number in range(8):
        last = number == 7
        provider.kill_in = 10**9 if last else provider.chance.randint(1, 300)
        account = RequestSpending(spending_settings(tmp_path, budget), f"p{number}")
        try:
            with account:
                asyncio.run(send_until_refused(account, provider))
        except* KilledError:
            kills += 1
        except* UserError as refused:
            assert "is reached" in str(refused.exceptions[0])
        assert provider.charged <= Ledger(tmp_path).spent().total_usd + 1e-6
        assert provider.charged <= budget
    assert kills
    assert provider.charged > 0


@pytest.mark.parametrize("seed", range(8))
def test_jobs_of_any_text_never_pass_the_budget(seed: int, tmp_path: Path) -> None:
    """Jobs are reserved by what earlier ones counted; each is of its own mix of texts."""
    provider = Provider(seed)
    chance = provider.chance
    budget = chance.uniform(200_000, 400_000)
    account = JobSpending(spending_settings(tmp_path, budget))
    for number in range(200):
        kinds = chance.sample(list(TEXTS), chance.randint(1, 3))
        job = [asked(TEXTS[chance.choice(kinds)](chance)) for _ in range(chance.randint(5, 60))]
        try:
            account.reserve(f"assay-{number}", job)
        except UserError as refused:
            assert "the next batch job may cost" in str(refused)
            break
        else:
            answers = [provider.answer(each, batch=True) for each in job]
            assert provider.charged <= Ledger(tmp_path).spent().total_usd
            account.settle(f"assay-{number}", len(job), answers)
        spent = Ledger(tmp_path).spent()
        assert provider.charged - 1e-6 <= spent.total_usd <= budget + 1e-6
    assert provider.charged > budget / 3
