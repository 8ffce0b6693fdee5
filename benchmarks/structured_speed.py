"""How much a JSON schema slows llama.cpp down, by both libraries and on two models.

Run it from the repository's root: ``python benchmarks/structured_speed.py``. The embedded model has
2,382 tokens. The larger one is made here: random weights of 150 MB, and a vocabulary of 32,000
tokens that is trained on this repository's texts. Each library answers in a process of its own, on
one thread, in turn without and with a schema. The schema asks for an object of long texts, numbers
and lists, so that each answer has all its tokens. ``library`` is llama-cpp-python's own
`LlamaGrammar.from_json_schema`. Printed are:

- tokens a second, the best of all rounds;
- the ratio of constrained to free;
- the overhead of a token;
- the time to the first token by the size of the schema, when it is new and when it is known.

Seconds are computing time of one core, since a machine may be busy with something else too.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.backends.llama_cpp import BindingName
from workflow_scripts.backends.llama_cpp_binding import LoadOptions, binding
from workflow_scripts.core.records import Decoding
from workflow_scripts.schemas.dialects import LLGUIDANCE

ROOT = Path(__file__).parents[1]
EMBEDDED = ROOT / "resources/models/assay-demo.gguf"
BINDINGS: tuple[BindingName, ...] = ("llama_cpp_python", "xllamacpp")
WIDTH, HIDDEN, LAYERS, HEADS, CONTEXT, VOCABULARY = 512, 1408, 12, 8, 2048, 32_000
END = "<|end|>"
TOKENS = 128
PROMPT = list(range(300, 364))
Schema = dict[str, Any]


def main() -> None:
    """Measure, and print a table for each model."""
    parser = argparse.ArgumentParser(description="How much a JSON schema slows llama.cpp down")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "random.gguf"
        write_model(made)
        for path in (EMBEDDED, made):
            print(f"{path.name}, {path.stat().st_size / 1e6:.0f} MB")
            for name in BINDINGS:
                for row in in_process(name, path, args.rounds):
                    print(f"  {name:17} {row}", flush=True)
            for row in in_process(None, path, args.rounds):
                print(f"  {'library':17} {row}", flush=True)


def in_process(name: BindingName | None, path: Path, rounds: int) -> list[str]:
    """Measure in a process of its own: llama.cpp keeps a vocabulary for all models of a process."""
    with mp.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (name, path, rounds))


def _measured(name: BindingName | None, path: Path, rounds: int) -> list[str]:
    ask, close = _by_binding(name, path) if name else _by_library(path)
    rows = list(_speed(ask, rounds))
    if name:
        rows += list(_first_token(ask, rounds))
    close()
    return rows


Ask = Callable[[Schema | None, int], tuple[int, float]]
"""Answer with at most some tokens; return how many were made, and the seconds."""


def _by_binding(name: BindingName, path: Path) -> tuple[Ask, Callable[[], None]]:
    model = binding(name).load(path, LoadOptions(n_ctx=512, n_threads=1))

    def ask(schema: Schema | None, most: int) -> tuple[int, float]:
        sent = None if schema is None else LLGUIDANCE.sent(schema).schema
        decoding = Decoding(temperature=1.0, max_new_tokens=most, seed=1, json_schema=sent)
        started = time.process_time()
        answer = model.submit(PROMPT, decoding).result()
        return answer.tokens, time.process_time() - started

    return ask, model.close


def _by_library(path: Path) -> tuple[Ask, Callable[[], None]]:
    import llama_cpp

    llama = llama_cpp.Llama(
        str(path), n_ctx=512, n_batch=64, n_threads=1, n_threads_batch=1, verbose=False
    )
    options: dict[str, Any] = {"temp": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}

    def ask(schema: Schema | None, most: int) -> tuple[int, float]:
        llama.set_seed(1)
        started = time.process_time()
        grammar = None
        if schema is not None:
            grammar = llama_cpp.LlamaGrammar.from_json_schema(json.dumps(schema), verbose=False)
        made = 0
        for token in llama.generate(PROMPT, grammar=grammar, **options):
            if token == llama.token_eos():
                break
            made += 1
            if made == most:
                break
        return made, time.process_time() - started

    return ask, llama.close


def _speed(ask: Ask, rounds: int) -> Iterator[str]:
    """A free answer may end early; its first token takes as long as that of a constrained one."""
    free, held = [], []
    for _ in range(rounds + 1):  # the first one also loads and compiles
        free.append(_per_token(ask, None))
        held.append(_per_token(ask, answers(8)))
    without, with_schema = min(free[1:]), min(held[1:])
    yield (
        f"free {1 / without:6.0f} tokens/s, with a schema {1 / with_schema:6.0f}, "
        f"ratio {without / with_schema:.2f}, overhead {1e6 * (with_schema - without):5.0f} µs/token"
    )


def _per_token(ask: Ask, schema: Schema | None) -> float:
    """Return the seconds of a token after the first."""
    made, whole = ask(schema, TOKENS)
    if made < 2:
        return float("inf")
    _, first = ask(schema, 1)
    return (whole - first) / (made - 1)


def _first_token(ask: Ask, rounds: int) -> Iterator[str]:
    _, free = min((ask(None, 1) for _ in range(rounds)), key=lambda pair: pair[1])
    for size in (1, 10, 100, 500):
        schema = answers(size)
        LLGUIDANCE.sent(schema)  # once, when a run starts
        _, new = ask(schema, 1)
        _, known = min((ask(schema, 1) for _ in range(rounds)), key=lambda pair: pair[1])
        yield (
            f"first token: schema of {len(json.dumps(schema)):6} characters new {1e3 * new:5.0f} "
            f"ms, known {1e3 * known:5.0f} ms, without {1e3 * free:5.0f} ms"
        )


def answers(size: int) -> Schema:
    """Return the schema of an object that takes more than `TOKENS` tokens."""
    fields: Schema = {"first": {"type": "string", "minLength": 600}}
    for number in range(size):
        fields |= {
            f"text_{number}": {"type": "string", "maxLength": 80},
            f"number_{number}": {"type": "integer", "minimum": 0, "maximum": 1000},
            f"kinds_{number}": {
                "type": "array",
                "items": {"enum": [f"kind {each}" for each in range(5)]},
                "maxItems": 4,
            },
        }
    required = list(fields)
    return {
        "type": "object",
        "properties": fields,
        "required": required,
        "additionalProperties": False,
    }


def write_model(path: Path) -> None:
    """Write a chat model with random weights and a vocabulary that works."""
    import gguf

    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    tokens, merges = vocabulary()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([control if token == END else normal for token in tokens])
    writer.add_token_merges(merges)
    end = tokens.index(END)
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    writer.add_add_bos_token(False)
    drawn = np.random.default_rng(0)

    def matrix(name: str, *shape: int) -> None:
        weights = drawn.normal(0, 0.02, shape).astype(np.float16)
        writer.add_tensor(f"{name}.weight", weights)

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))

    matrix("token_embd", VOCABULARY, WIDTH)
    matrix("output", VOCABULARY, WIDTH)
    norm("output_norm")
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"blk.{layer}.{name}", WIDTH, WIDTH)
        matrix(f"blk.{layer}.ffn_gate", HIDDEN, WIDTH)
        matrix(f"blk.{layer}.ffn_up", HIDDEN, WIDTH)
        matrix(f"blk.{layer}.ffn_down", WIDTH, HIDDEN)
        norm(f"blk.{layer}.attn_norm")
        norm(f"blk.{layer}.ffn_norm")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def vocabulary() -> tuple[list[str], list[str]]:
    """Return tokens and merges of a byte-level BPE, filled up with numbers if texts are short."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [
        each
        for folder, pattern in (("docs", "*.md"), ("workflow_scripts", "*.py"), ("tests", "*.py"))
        for each in sorted((ROOT / folder).rglob(pattern))
    ]
    tokenizer.train([str(each) for each in texts], trainer)
    by_number = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    tokens = [token for token, _ in by_number]
    tokens += [f"<unused {number}>" for number in range(VOCABULARY - len(tokens))]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return tokens, [" ".join(pair) for pair in merges]


if __name__ == "__main__":
    main()
