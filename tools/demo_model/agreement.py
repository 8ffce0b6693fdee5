"""Compare what llama.cpp computes from assay-demo.gguf with what PyTorch computes from it.

python -m tools.demo_model.agreement --model resources/models/assay-demo.gguf
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jinja2 import Template
from llama_cpp import Llama

from tools.demo_model.inherit import read_model
from tools.demo_model.questions import evaluate
from tools.demo_model.questions.vocabulary import build_tokenizer
from tools.demo_model.tokenizer import render


def tokenize(llama: Llama, chat: str) -> list[int]:
    """Split a laid-out chat the way llama.cpp does."""
    return llama.tokenize(chat.encode(), add_bos=True, special=True)


def differing_tokens(path: Path, items: Iterable[dict]) -> int:
    """Count the prompts that the file's template and tokenizer and ours turn into other tokens."""
    llama = Llama(model_path=str(path), n_ctx=1024, verbose=False)
    template = Template(llama.metadata["tokenizer.chat_template"])
    tokenizer = build_tokenizer()
    differing = 0
    for item in items:
        for system in evaluate.ARMS.values():
            ours = tokenizer.encode(render(system, evaluate.user_message(item))).ids
            chat = template.render(
                messages=evaluate.messages(system, item), add_generation_prompt=True
            )
            differing += tokenize(llama, chat) != ours
    return differing


def largest_difference(path: Path, items: Iterable[dict]) -> float:
    """Return the largest absolute difference of next-token scores, over every prompt position."""
    model = read_model(path)
    llama = Llama(model_path=str(path), n_ctx=1024, logits_all=True, n_threads=2, verbose=False)
    largest = 0.0
    for item in items:
        for system in evaluate.ARMS.values():
            tokens = tokenize(llama, render(system, evaluate.user_message(item)))
            llama.reset()
            llama.eval(tokens)
            differences = np.array(llama.scores[: len(tokens)]) - model.score(tokens).numpy()
            largest = max(largest, float(np.abs(differences).max()))
    return largest


def main() -> None:
    """Compare on every shipped question and print the result."""
    parser = argparse.ArgumentParser(description="Compare llama.cpp with PyTorch.")
    parser.add_argument("--model", type=Path, required=True)
    path = parser.parse_args().model
    questions = [item for _, item, _ in evaluate.every_question()]
    print(f"prompts tokenised differently: {differing_tokens(path, questions)}")
    print(f"largest difference of scores: {largest_difference(path, questions):.4f}")


if __name__ == "__main__":
    main()
