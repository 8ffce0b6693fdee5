"""Replies stand in the journal as they came, and a better reader reads them again for nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from answering import journaled, request
from hypothesis import given
from hypothesis import strategies as st
from local_backends import Backend, run
from local_backends import of_ollama as ollama_server
from local_backends import of_openai as openai_server

from workflow_scripts.answers.journal import Journal, identity_of, sample_in
from workflow_scripts.answers.part import Part
from workflow_scripts.answers.replies import pack, unpack
from workflow_scripts.answers.reread import Replies, Reread, parts_in
from workflow_scripts.backends import chat_completions
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import read_jsonl
from workflow_scripts.core.records import RawLine
from workflow_scripts.verify.answers import AnswerCheck

DIGEST = "ab" * 32
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(reply=JSON, sample=JSON, answer=st.dictionaries(st.text(), st.text(), max_size=3))
def test_a_packed_reply_comes_back_letter_by_letter(
    reply: Any, sample: Any, answer: dict[str, str]
) -> None:
    text, like = (json.dumps(each, indent=2) for each in (reply, sample))
    packed = pack(text, like, DIGEST, answer)
    assert unpack(packed, like, DIGEST, answer) == text
    with pytest.raises(UserError, match="cannot be unpacked"):
        unpack(packed, like, "cd" * 32, answer)
    with pytest.raises(UserError, match="cannot be unpacked"):
        unpack(packed[:-1], like, DIGEST, answer)


@pytest.mark.parametrize("server", [ollama_server, openai_server])
def test_what_a_server_sent_stands_in_the_journal_and_costs_little(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: set[str] = set()
    with server() as backend:
        handler = backend.server.RequestHandlerClass

        def send(self: Any, status: int, content: bytes, kind: str, *rest: Any) -> None:
            sent.add(content.decode())
            plain(self, status, content, kind, *rest)

        plain = handler.send
        monkeypatch.setattr(handler, "send", send)
        lines = run(tmp_path, backend.client(), [request(number) for number in range(20)])
    (path,) = (tmp_path / "journal").rglob("*.jsonl")
    sample = sample_in(path)
    digests = [str(line.request_digest) for line in lines]
    readings = Journal(path.parent).readings(digests)
    kept = {each.answer.reply(sample) for [each] in readings.values()}
    assert len(kept) == len(lines)
    assert kept <= sent
    packed = [each["reply"] for each in journaled(tmp_path)]
    assert sum(map(len, packed)) < 0.3 * sum(map(len, kept))


@pytest.fixture
def results(of_openai: Backend, tmp_path: Path) -> Path:
    """A results folder whose answers come from a reader that knows nothing of thoughts."""

    def chat(handler: Any, body: Any) -> None:
        asked = body["messages"][-1]["content"]
        handler.server.record(asked, "answered")
        message = {"role": "assistant", "content": f"to {asked}", "reasoning": f"Hm, {asked}"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
        handler.send_json(200, {"id": f"of {asked}", "choices": [choice], "usage": usage})

    plain = of_openai.server.RequestHandlerClass
    of_openai.server.RequestHandlerClass = type("Thinking", (plain,), {"chat": chat})
    folder = tmp_path / "results"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chat_completions.ChatMessage, "thoughts", None)
        run(tmp_path, of_openai.client(), [request(number) for number in range(4)])
    for name, place in (("raw", "one/server/tiny/default/raw"), ("input", "one/inputs/default")):
        (folder / place).mkdir(parents=True)
        shutil.move(
            tmp_path / f"{name}.jsonl", folder / place / "closed_book.control.t0.0.p000.jsonl"
        )
    shutil.move(tmp_path / "journal", folder / "journal")
    return folder


def raw_lines(results: Path) -> list[RawLine]:
    ((_, raw),) = parts_in(results)
    return list(read_jsonl(raw, RawLine))


def reread(results: Path) -> Reread:
    ((requests, raw),) = parts_in(results)
    return Replies(results / "journal").reread(requests, raw)


def test_a_better_reader_reads_the_replies_again_for_nothing(
    of_openai: Backend, results: Path, tmp_path: Path
) -> None:
    before = raw_lines(results)
    assert [line.thoughts for line in before] == [None] * 4
    of_openai.server.shutdown()  # nobody is asked
    assert reread(results) == Reread(4, 4)
    after = raw_lines(results)
    assert [line.thoughts for line in after] == [f"Hm, Question {n}?" for n in range(4)]
    same = {"thoughts": None, "answer_checksum": None}
    assert [line.model_copy(update=same) for line in after] == [
        line.model_copy(update=same) for line in before
    ]
    assert of_openai.server.outcomes("answered").total() == 4
    ((requests, raw),) = parts_in(results)
    check = AnswerCheck(results / "journal")
    check.add_part(requests, raw)
    assert check.compare().in_journal == 4
    assert not check.problems
    # What the journal gives from now on is the new reading, and a second time changes nothing.
    assert reread(results) == Reread(4, 0)
    (path, *_) = sorted((results / "journal").rglob("*.jsonl"))
    part = Part(requests, identity_of(path) or {}, results / "journal")
    part.look_up()
    part.write(tmp_path / "again.jsonl")
    assert list(read_jsonl(tmp_path / "again.jsonl", RawLine)) == after


def test_a_kill_between_journal_and_raw_part_adds_no_second_reading(results: Path) -> None:
    ((_, raw),) = parts_in(results)
    old = raw.read_bytes()
    reread(results)
    raw.write_bytes(old)
    assert reread(results) == Reread(4, 4)
    assert len(journaled(results)) == 8


def test_a_reader_that_finds_no_answer_leaves_it(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = raw_lines(results)
    monkeypatch.setattr(chat_completions, "content_text", lambda content: None)
    assert reread(results) == Reread(4, 0)
    assert raw_lines(results) == before


def test_a_reply_that_was_changed_is_found(results: Path) -> None:
    (path,) = (results / "journal").rglob("*.jsonl")
    line = journaled(results)[0]
    text = path.read_text("utf-8")
    changed = line["reply"][:-1] + ("0" if line["reply"][-1] != "0" else "1")
    path.write_text(text.replace(line["reply"], changed), encoding="utf-8", newline="")
    with pytest.raises(UserError, match="cannot be unpacked"):
        reread(results)
    ((requests, raw),) = parts_in(results)
    check = AnswerCheck(results / "journal")
    check.add_part(requests, raw)
    check.compare()
    assert [problem.path for problem in check.problems] == [path]
