"""How much of its prompts a server evaluates, with requests in file order and in prefix order.

Run it from the repository's root: ``python benchmarks/prefix_order.py SQUAD [--items N] [--slots N
…]`` with a file of SQuAD 2.0 (``.json`` or ``.json.gz``). The first N questions are asked in random
order through `SyncExecutor`, of llama-server's code (xllamacpp) with the embedded model. Its second
cache, in RAM, is off: it holds all prompts of so small a model, and few of a large one. Printed are
the share of prompt tokens that the server took from a slot's cache, as it says itself, and its CPU
seconds.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing as mp
import random
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from unittest import mock

from workflow_scripts.answers import part as part_module
from workflow_scripts.answers.executor import SyncExecutor
from workflow_scripts.answers.prefix_order import prefix_order
from workflow_scripts.backends.client import make_client
from workflow_scripts.backends.settings import BackendSettings
from workflow_scripts.core.files import read_jsonl, write_jsonl
from workflow_scripts.core.records import Decoding, Message, RawLine, Request

MODEL = Path("resources/models/assay-demo.gguf")
SYSTEM = "Answer the question from the passage in a few words. " * 8
CONTEXT = 4096

ORDERS: dict[str, Callable[..., list[int]]] = {
    "file order": lambda prompts: list(range(sum(1 for _ in prompts))),
    "prefix order": prefix_order,
}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="Prompts evaluated by a server, by order")
    parser.add_argument("squad", type=Path)
    parser.add_argument("--items", type=int, default=150)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 4])
    args = parser.parse_args()
    requests = squad_requests(args.squad, args.items)
    print("slots  order          cached  CPU seconds")
    for slots in args.slots:
        for name, order in ORDERS.items():
            cached, seconds = measured(requests, slots, order)
            print(f"{slots:>5}  {name:<12} {cached:>8.1%}  {seconds:>11.1f}", flush=True)


def squad_requests(path: Path, items: int) -> list[Request]:
    """Return the first questions of the file, shuffled."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as stream:
        articles = json.load(stream)["data"]
    paragraphs = [each for article in articles for each in article["paragraphs"]]
    asked = [
        f"{paragraph['context']}\n\nQuestion: {question['question']}"
        for paragraph in paragraphs
        for question in paragraph["qas"]
    ][:items]
    random.Random(1).shuffle(asked)
    return [
        Request(
            custom_id=f"d|{number}|control|0.0|0|open_book", dataset="d", item_id=str(number),
            prompt="control", temp="0.0", sample_index=0, type="open_book",
            messages=[Message(role="system", content=SYSTEM), Message(role="user", content=text)],
            decoding=Decoding(temperature=0.0, max_new_tokens=8, seed=0),
        )
        for number, text in enumerate(asked)
    ]  # fmt: skip


def serve(slots: int, pipe: Connection) -> None:
    """The server, until the pipe says that all is answered."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(MODEL)
    parameters.n_ctx = CONTEXT * slots
    parameters.n_parallel = slots
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.verbosity = 1
    parameters.cache_ram_mib = 0
    server = xllamacpp.Server(parameters)
    pipe.send(server.listening_address)
    began = time.process_time()
    pipe.recv()
    pipe.send(time.process_time() - began)
    pipe.recv()


def measured(
    requests: list[Request], slots: int, order: Callable[..., list[int]]
) -> tuple[float, float]:
    """Return the share of prompt tokens from the server's cache, and its CPU seconds."""
    ours, theirs = mp.get_context("spawn").Pipe()
    process = mp.get_context("spawn").Process(target=serve, args=(slots, theirs))
    process.start()
    settings = BackendSettings(
        backend="openai_compatible", local_endpoint=ours.recv(), model_id=MODEL.stem,
        model_check="off",
    )  # fmt: skip
    with (
        tempfile.TemporaryDirectory() as name,
        mock.patch.object(part_module, "prefix_order", order),
    ):
        folder = Path(name)
        write_jsonl(folder / "part.jsonl", requests)
        executor = SyncExecutor(make_client(settings), folder / "journal", max_retries=0)
        executor.run_jsonl(folder / "part.jsonl", folder / "raw.jsonl", slots)
        lines = list(read_jsonl(folder / "raw.jsonl", RawLine))
    ours.send(None)
    seconds = ours.recv()
    process.kill()
    problems = [line.error.message for line in lines if line.error]
    if problems:
        raise SystemExit(problems[0])
    usages = [line.usage for line in lines if line.usage is not None]
    prompt = sum(usage.prompt_tokens or 0 for usage in usages)
    return sum(usage.cached_tokens or 0 for usage in usages) / prompt, seconds


if __name__ == "__main__":
    main()
