"""How fast llama.cpp answers in this process, beside other ways to use it and beside the machine.

Run it from the repository's root: ``python benchmarks/local_speed.py [--items N] [--threads N]
[--folder FOLDER] [WORKLOAD …]``.
The model is made here: random weights, 12 layers, 150 MB. Passages have 467 tokens, ten questions
each of 30 more, and answers of 32. The workloads are:

- passages: the questions in the order of their passages;
- shuffled: in random order;
- samples: five samples of each question, at temperature 0.8;
- short: answers of 4 tokens;
- alone: prompts of 30 tokens that share nothing.

Measured in turn, each in a process of its own:

- ``assay``: llama_cpp_python, 16 sequences;
- ``one``: llama-cpp-python's own loop, one at a time, which reuses the prompt before;
- ``llama_cpp.server``: the same by HTTP, in an environment of its own (in FOLDER, which is kept);
- ``server 1``, ``4`` and ``8``: llama-server's code with so many slots and its prompt cache.

Printed are items per second and the share of the best possible time: different prefix tokens by the
speed of a long prompt, plus new tokens by the speed of 32 sequences, both as measured here.
``overhead`` is the time of assay outside of `llama_decode`. Seconds are computing time: the machine
may be busy with something else too.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import http.client
import json
import multiprocessing as mp
import random
import re
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from real_servers import KINDS, Place, free_port, serving, set_up
from structured_speed import VOCABULARY, write_model

CONTEXT, SEQUENCES, CELLS = 1024, 16, 8192
PASSAGE, QUESTION, ANSWER, QUESTIONS = 467, 30, 32, 10
SLOTS = (1, 4, 8)


class Asked(NamedTuple):
    """A request: prompt, in tokens and as text, longest answer, temperature and seed."""

    prompt: list[int]
    text: str
    longest: int
    temperature: float
    seed: int


Work = list[Asked]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="How fast llama.cpp answers in this process")
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where llama_cpp.server is set up, and kept")
    parser.add_argument("workloads", nargs="*", help="default: all")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        path = folder / "random.gguf"
        write_model(path)
        kept = (args.folder or folder).resolve() / "llama_cpp_server"
        place, kind = Place(kept, free_port(), path, args.threads), KINDS["llama_cpp_server"]
        set_up(kind, place)
        served = Served(place.port, stack.enter_context(serving(kind, place, changed=False)).pid)
        words = in_process(words_of, path)
        in_process(by_assay, path, args.threads, workloads(10, words)["short"])  # reads the file
        prompt_s, answer_s = in_process(token_seconds, path, args.threads)
        print(f"{1 / prompt_s:.0f} prompt tokens/s, {1 / answer_s:.0f} new tokens/s of 32 at once")
        for name, work in workloads(args.items, words).items():
            if args.workloads and name not in args.workloads:
                continue
            best_s = different(work) * prompt_s + sum(each.longest for each in work) * answer_s
            print(f"{name}: {len(work)} items, at best {len(work) / best_s:.2f} items/s")
            took = {}
            for label, seconds, remark in measured(path, args.threads, work, served):
                took[label] = seconds
                print(
                    f"  {label:16} {len(work) / seconds:6.2f} items/s, {best_s / seconds:5.2f} of "
                    f"the best, {seconds / took['assay']:5.2f} of assay's time{remark}",
                    flush=True,
                )


class Served(NamedTuple):
    """A server in a process of its own."""

    port: int
    process: int

    def cpu_seconds(self) -> float:
        """Return its computing time."""
        server = psutil.Process(self.process)
        times = [each.cpu_times() for each in (server, *server.children(recursive=True))]
        return sum(each.user + each.system for each in times)


Words = dict[int, str]
"""Tokens that are a word each behind a blank, so that texts of them have the same tokens again."""


def words_of(path: Path) -> Words:
    """Return words of the model's vocabulary."""
    from workflow_scripts.backends.binding_llama_cpp_python import Vocabulary

    vocabulary = Vocabulary(path, vocab_only=True)
    texts = {
        token: vocabulary.piece(token).decode("utf-8", "replace")
        for token in range(300, VOCABULARY)
    }
    return {
        token: text
        for token, text in texts.items()
        if re.fullmatch(" [a-z]+", text) and vocabulary.tokenize(text, special=False) == [token]
    }


def workloads(items: int, words: Words) -> dict[str, Work]:
    """Return the requests of each workload."""
    drawn, known = random.Random(0), sorted(words)

    def tokens(length: int) -> list[int]:
        return drawn.choices(known, k=length)

    def work(prompts: Iterable[list[int]], longest: int = ANSWER, samples: int = 1) -> Work:
        return [
            Asked(each, "".join(map(words.__getitem__, each)), longest, 0.8 * (samples > 1), seed)
            for each in prompts
            for seed in range(samples)
        ]

    passages = [tokens(PASSAGE) for _ in range(max(1, items // QUESTIONS))]
    prompts = [passage + tokens(QUESTION) for passage in passages for _ in range(QUESTIONS)]
    return {
        "passages": work(prompts),
        "shuffled": work(drawn.sample(prompts, len(prompts))),
        "samples": work(prompts[::5], samples=5),
        "short": work(prompts, longest=4),
        "alone": work(tokens(QUESTION) for _ in prompts),
    }


def different(work: Work) -> int:
    """Return how many different prefixes the prompts have, in tokens."""
    found = set()
    for asked in work:
        prefix = 0
        for token in asked.prompt:
            prefix = hash((prefix, token))
            found.add(prefix)
    return len(found)


def measured(
    path: Path, threads: int, work: Work, served: Served
) -> Iterable[tuple[str, float, str]]:
    """Yield for each engine its name, its seconds, and a remark."""
    seconds, outside = in_process(by_assay, path, threads, work)
    yield "assay", seconds, f", overhead {100 * outside:.1f}%"
    yield "one", in_process(by_library, path, threads, work), ""
    before = served.cpu_seconds()
    asking = in_process(by_completions, served.port, work)
    yield "llama_cpp.server", asking + served.cpu_seconds() - before, ""
    for slots in SLOTS:
        yield f"server {slots}", in_process(by_server, path, threads, work, slots), ""


def in_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process of its own."""
    with mp.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def by_assay(path: Path, threads: int, work: Work) -> tuple[float, float]:
    """Return the seconds, and the share of them that is not spent in `llama_decode`."""
    model = _loaded(path, threads)
    inside = 0.0
    decode = model._context.decode

    def timed(*arguments: Any) -> None:
        nonlocal inside
        began = time.thread_time()
        decode(*arguments)
        inside += time.thread_time() - began

    model._context.decode = timed
    from workflow_scripts.core.records import Decoding

    began = time.process_time()
    futures = [
        model.submit(
            asked.prompt,
            Decoding(temperature=asked.temperature, max_new_tokens=asked.longest, seed=asked.seed),
        )
        for asked in work
    ]
    for future in futures:
        future.result()
    seconds = time.process_time() - began
    model.close()
    # The other threads of llama.cpp compute as long as the scheduler's own.
    return seconds, 1 - threads * inside / seconds


def _loaded(path: Path, threads: int) -> Any:
    from workflow_scripts.backends.llama_cpp_binding import LoadOptions, binding

    options = LoadOptions(CONTEXT, n_threads=threads, sequences=SEQUENCES, cells=CELLS)
    return binding("llama_cpp_python").load(path, options)


def by_library(path: Path, threads: int, work: Work) -> float:
    """Return the seconds of llama-cpp-python, one request at a time."""
    import llama_cpp

    llama = llama_cpp.Llama(
        str(path), n_ctx=CONTEXT, n_threads=threads, n_threads_batch=threads, verbose=False
    )
    began = time.process_time()
    for asked in work:
        llama.set_seed(asked.seed)
        options = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "repeat_penalty": 1.0}
        generated = llama.generate(asked.prompt, temp=asked.temperature, **options)
        for made, token in enumerate(generated, start=1):
            if token == llama.token_eos() or made == asked.longest:
                break
    return time.process_time() - began


def by_completions(port: int, work: Work) -> float:
    """Ask a server for completions, one at a time; return the seconds of this process."""
    began = time.process_time()
    for asked in work:
        body = {
            "prompt": asked.text,
            "max_tokens": asked.longest,
            "temperature": asked.temperature,
            "seed": asked.seed,
            "top_k": 0,
            "top_p": 1.0,
            "min_p": 0.0,
            "repeat_penalty": 1.0,
        }
        usage = json.loads(post(port, "/v1/completions", body))["usage"]
        if usage["prompt_tokens"] != len(asked.prompt):
            raise RuntimeError(f"the text has {usage['prompt_tokens']} tokens")
    return time.process_time() - began


def post(port: int, path: str, body: dict[str, Any]) -> bytes:
    """Return what a server of this machine answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    with contextlib.closing(connection):
        headers = {"Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        reply = connection.getresponse()
        text = reply.read()
    if reply.status != http.client.OK:
        raise RuntimeError(text)
    return text


def by_server(path: Path, threads: int, work: Work, slots: int) -> float:
    """Return the seconds of llama-server in this process, asked by HTTP."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = CONTEXT * slots
    parameters.n_parallel = slots
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.verbosity = 1
    server = xllamacpp.Server(parameters)
    port = int(server.listening_address.rsplit(":", 1)[1])

    def ask(asked: Asked) -> None:
        body = {
            "prompt": asked.prompt,
            "n_predict": asked.longest,
            "temperature": asked.temperature,
            "seed": asked.seed,
            "cache_prompt": True,
            "samplers": ["temperature"],
        }
        post(port, "/completion", body)

    began = time.process_time()
    with concurrent.futures.ThreadPoolExecutor(slots) as pool:
        list(pool.map(ask, work))
    return time.process_time() - began


def token_seconds(path: Path, threads: int) -> tuple[float, float]:
    """Return the seconds of a token in a long prompt, and of a new one with 32 sequences."""
    from workflow_scripts.backends.binding_llama_cpp_python import Context, Vocabulary
    from workflow_scripts.backends.llama_cpp_binding import LoadOptions

    vocabulary = Vocabulary(path)
    options = LoadOptions(CONTEXT, n_threads=threads, sequences=32, cells=CELLS)
    context = Context(path, vocabulary, options)

    def evaluate(sequences: list[int], length: int, start: int) -> float:
        began = time.process_time()
        every = np.repeat(np.array(sequences, np.int32), length)
        positions = np.tile(np.arange(start, start + length, dtype=np.int32), len(sequences))
        wanted = np.tile(np.arange(length) == length - 1, len(sequences)).astype(np.int8)
        context.decode(positions + 300, positions, every, wanted)
        return time.process_time() - began

    prompts, answers = [], []
    for _ in range(4):
        prompts.append(evaluate([0], PASSAGE + QUESTION, 0) / (PASSAGE + QUESTION))
        context.cut(0, 0)
        everyone = list(range(32))
        evaluate(everyone, 8, 0)
        answers += [evaluate(everyone, 1, 8 + step) / 32 for step in range(4)]
        for sequence in everyone:
            context.cut(sequence, 0)
    return min(prompts), min(answers)


if __name__ == "__main__":
    main()
