"""How fast a part is answered over HTTP, beside bare clients, and how much memory it takes.

Run it from the repository's root: ``python benchmarks/http_throughput.py``. A server in another
process answers each chat after 50 ms. With 64 requests at once the ideal is 64 / 0.05 s = 1280
requests a second. Measured in turn, three times, each in a process of its own:

- a whole part as Snakemake's job answers it: journal, retries and raw file included;
- aiohttp alone, sending and reading the same;
- requests in threads, sending and reading the same.

Then the part's peak memory with ten times as many items. The best of three is printed, since a
machine may be busy with something else too.
"""

from __future__ import annotations

import argparse
import asyncio
import concurrent.futures
import multiprocessing as mp
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

AT_ONCE = 64
LATENCY_S = 0.05
IDEAL = AT_ONCE / LATENCY_S
MODEL = "echo"

Seconds = float
Work = Callable[[str, int], Seconds]


def answer(messages: list[dict[str, str]]) -> str:
    """What the server says."""
    return "to " + messages[-1]["content"][:20]


def serve(ready: Connection) -> None:
    """The server, until its process is ended."""
    from aiohttp import web

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": MODEL}]})

    async def chat(request: web.Request) -> web.Response:
        asked = await request.json()
        await asyncio.sleep(LATENCY_S)
        message = {"role": "assistant", "content": answer(asked["messages"])}
        return web.json_response(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 0,
                "model": MODEL,
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 40, "completion_tokens": 4, "total_tokens": 44},
            }
        )

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/v1/models", models)
        app.router.add_post("/v1/chat/completions", chat)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ready.send(f"http://127.0.0.1:{runner.addresses[0][1]}")
        await asyncio.Event().wait()

    asyncio.run(main())


def chats(items: int) -> Iterator[list[dict[str, str]]]:
    """Prompts of the length that the demonstration's have."""
    passage = "Mira Holt lives in Oslo, where she works as a baker. " * 8
    for number in range(items):
        yield [
            {"role": "system", "content": "Answer in a few words. " * 4},
            {"role": "user", "content": f"{passage}\n\nQuestion {number}: where does she live?"},
        ]


def part(url: str, items: int) -> Seconds:
    """Answer a part as `workflow_scripts.answers.send` does."""
    from workflow_scripts.answers.executor import SyncExecutor
    from workflow_scripts.backends.client import make_client
    from workflow_scripts.backends.settings import BackendSettings
    from workflow_scripts.core.files import read_jsonl, write_jsonl
    from workflow_scripts.core.records import Decoding, Message, RawLine, Request

    settings = BackendSettings(backend="openai_compatible", local_endpoint=url, model_id=MODEL)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_jsonl(
            folder / "part.jsonl",
            (
                Request(
                    custom_id=f"d|{number}|control|0.0|0|open_book", dataset="d",
                    item_id=str(number), prompt="control", temp="0.0", sample_index=0,
                    type="open_book", messages=[Message.model_validate(each) for each in messages],
                    decoding=Decoding(temperature=0.0, max_new_tokens=16, seed=0),
                )
                for number, messages in enumerate(chats(items))
            ),
        )  # fmt: skip
        executor = SyncExecutor(make_client(settings), folder / "journal", max_retries=2)
        started = time.perf_counter()
        executor.run_jsonl(folder / "part.jsonl", folder / "raw.jsonl", AT_ONCE)
        seconds = time.perf_counter() - started
        answered = sum(line.error is None for line in read_jsonl(folder / "raw.jsonl", RawLine))
        assert answered == items, answered
    return seconds


def bare_aiohttp(url: str, items: int) -> Seconds:
    """Send the same with aiohttp alone."""
    import aiohttp

    async def main() -> Seconds:
        started = time.perf_counter()
        waiting = chats(items)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def worker() -> None:
                for messages in waiting:
                    body = {"model": MODEL, "messages": messages, "max_tokens": 16}
                    async with session.post(f"{url}/v1/chat/completions", json=body) as response:
                        assert (await response.json())["choices"]

            await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
        return time.perf_counter() - started

    return asyncio.run(main())


def requests_in_threads(url: str, items: int) -> Seconds:
    """Send the same with requests, a session per thread."""
    import requests

    own = threading.local()

    def ask(messages: list[dict[str, str]]) -> None:
        if not hasattr(own, "session"):
            own.session = requests.Session()
            own.session.trust_env = False
        body = {"model": MODEL, "messages": messages, "max_tokens": 16}
        response = own.session.post(f"{url}/v1/chat/completions", json=body, timeout=60)
        assert response.json()["choices"]

    started = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(ask, chats(items)))
    return time.perf_counter() - started


def measure(work: Work, url: str, items: int, done: Connection) -> None:
    """Run in a process of its own; sends seconds, CPU seconds and peak memory in MiB."""
    seconds = work(url, items)
    done.send((seconds, time.process_time(), peak_memory_mib()))


def peak_memory_mib() -> float:
    """The most memory that this process ever held."""
    if sys.platform == "win32":
        import ctypes

        counters = (ctypes.c_size_t * 9)(72)
        kernel = ctypes.windll.kernel32
        kernel.K32GetProcessMemoryInfo(ctypes.c_void_p(-1), ctypes.byref(counters), 72)
        return counters[1] / 2**20
    import resource

    kib = 1024 if sys.platform == "darwin" else 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / kib / 1024


def in_own_process(work: Work, url: str, items: int) -> tuple[Seconds, Seconds, float]:
    """Seconds, CPU seconds and peak memory in MiB of one measurement."""
    here, there = mp.Pipe()
    process = mp.get_context("spawn").Process(target=measure, args=(work, url, items, there))
    process.start()
    there.close()  # so that a process that fails is noticed here
    measured: tuple[Seconds, Seconds, float] = here.recv()
    process.join()
    return measured


def show(work: Work, items: int, measured: tuple[Seconds, Seconds, float]) -> None:
    """Print one line of the table."""
    seconds, cpu_seconds, memory = measured
    rate = items / seconds
    print(
        f"{work.__name__:20} {items:6} items: {rate:5.0f} requests/s, {rate / IDEAL:4.0%} of the "
        f"ideal, {cpu_seconds / items * 1000:.2f} ms of CPU each, peak {memory:3.0f} MiB"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--items", type=int, default=2000, help="the smaller part")
    parser.add_argument("--rounds", type=int, default=3, help="the best of each counts")
    args = parser.parse_args()

    here, there = mp.Pipe()
    server = mp.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    there.close()
    url = here.recv()
    ways: tuple[Work, ...] = (part, bare_aiohttp, requests_in_threads)
    try:
        rounds = [
            [in_own_process(work, url, args.items) for work in ways] for _ in range(args.rounds)
        ]
        best = [min(of_one) for of_one in zip(*rounds, strict=True)]
        for work, measured in zip(ways, best, strict=True):
            show(work, args.items, measured)
        show(part, 10 * args.items, in_own_process(part, url, 10 * args.items))
        for work, measured in zip(ways[1:], best[1:], strict=True):
            print(f"part / {work.__name__}: {measured[0] / best[0][0]:.2f}")
    finally:
        server.terminate()


if __name__ == "__main__":
    main()
