"""Requests that begin alike go out one after another, otherwise in the order of the file."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from answering import Scripted, request

from workflow_scripts.answers import prefix_order as module
from workflow_scripts.answers.executor import SyncExecutor
from workflow_scripts.answers.prefix_order import prefix_order
from workflow_scripts.core.files import read_jsonl, write_jsonl
from workflow_scripts.core.records import Message, RawLine

SYSTEMS = ("A" * 300, "B" * 300)
PASSAGES = tuple(str(number) * 600 for number in range(4))


def test_prompts_are_walked_as_a_tree_in_the_order_in_which_branches_come() -> None:
    texts = [
        (system + passage + f"question {number}")
        for system in SYSTEMS
        for passage in PASSAGES
        for number in range(3)
    ]
    random.Random(1).shuffle(texts)
    walked = [texts[number] for number in prefix_order(text.encode() for text in texts)]
    assert sorted(walked) == sorted(texts)
    for length in (300, 900):  # each beginning once, the one that comes first in the file first
        shared = [text[:length] for text in walked]
        runs = [text for text, before in zip(shared, ["", *shared], strict=False) if text != before]
        assert runs == sorted(set(runs), key=runs.index)
    assert walked[0] == texts[0]
    leaf = [text for text in texts if text[:900] == texts[0][:900]]
    assert walked[: len(leaf)] == leaf


def test_prompts_with_nothing_in_common_keep_their_order() -> None:
    texts = [f"{number}" * 200 for number in (3, 1, 2)]
    assert prefix_order(text.encode() for text in texts) == [0, 1, 2]
    assert prefix_order([]) == []
    assert prefix_order([b"", b"a", b""]) == [0, 2, 1]


def test_a_full_tree_orders_by_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_NODES", 2)
    texts = [begin * 256 + end for end in "12" for begin in "ab"]
    walked = prefix_order(text.encode() for text in texts)
    assert [texts[number][0] for number in walked] == ["b", "b", "a", "a"]


def test_a_part_is_sent_in_this_order_and_written_in_that_of_the_file(tmp_path: Path) -> None:
    numbers = [0, 1, 2, 3, 4, 5]
    requests = [
        request(
            number, messages=[Message(role="user", content=f"{PASSAGES[number % 2]} {number} ä")]
        )
        for number in numbers
    ]
    write_jsonl(tmp_path / "in.jsonl", [*requests, requests[0]])
    client = Scripted()
    client.max_concurrent = 1
    SyncExecutor(client, tmp_path / "journal", max_retries=0).run_jsonl(
        tmp_path / "in.jsonl", tmp_path / "out.jsonl", 1
    )
    assert [int(text.split()[1]) for text in client.asked] == [0, 2, 4, 1, 3, 5]
    lines = read_jsonl(tmp_path / "out.jsonl", RawLine)
    assert [line.item_id for line in lines] == ["0", "1", "2", "3", "4", "5", "0"]
