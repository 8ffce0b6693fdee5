"""Train the encoder of the demonstration from scratch on a CPU.

    python -m tools.demo_model.encoder.train --out results/demo-model/encoder.pt

A text's vector is the mean of its tokens' last hidden states, of length 1. The loss is InfoNCE
(van den Oord et al. 2018, arXiv:1807.03748): for each question, the cross-entropy of its passage
among all passages of the batch.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from tools.demo_model.encoder.pairs import Pairs, draw_pairs
from tools.demo_model.model import DemoModel
from tools.demo_model.questions.language import seeded
from tools.demo_model.recipes import ENCODERS
from tools.demo_model.train import learning_scale, new_model, optimizers, save

NAME = "assay-encoder"
TEMPERATURE = 0.05
CHECKED_NOTES = 110


def vectors(model: DemoModel, tokenizer: Tokenizer, texts: Sequence[str]) -> Tensor:
    """Return the vectors (text, width) of texts; a token sees its whole text."""
    tokens = nn.utils.rnn.pad_sequence(
        [torch.tensor(each.ids) for each in tokenizer.encode_batch(list(texts))],
        batch_first=True,
        padding_value=-1,
    )
    is_token = tokens >= 0
    count, length = tokens.shape
    positions = torch.arange(length).expand(count, length)
    mask = is_token.unsqueeze(1).expand(count, length, length)
    hidden = model(tokens.clamp(min=0), positions, mask) * is_token.unsqueeze(2)
    return functional.normalize(hidden.sum(1), dim=1)  # the length of a mean does not matter


def cosines(model: DemoModel, tokenizer: Tokenizer, pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Return the cosines (question, passage), and the right passage of each question."""
    passages = vectors(model, tokenizer, pairs.passages)
    return vectors(model, tokenizer, pairs.questions) @ passages.T, torch.tensor(pairs.rows)


@torch.no_grad()
def recall(model: DemoModel, tokenizer: Tokenizer, pairs: Pairs, k: int) -> float:
    """Return the share of questions whose passage is among the first ``k``."""
    found, right = cosines(model, tokenizer, pairs)
    better = found > found.gather(1, right.unsqueeze(1))
    return float((better.sum(1) < k).float().mean())


def train(arguments: argparse.Namespace) -> None:
    """Train, log the recall on held-out names, and write the checkpoint at every evaluation."""
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    recipe = ENCODERS[NAME]
    tokenizer = recipe.tokenizer()
    model = new_model(recipe, tokenizer, arguments.layers, arguments.width)
    rng = seeded(f"encoder-train-{arguments.seed}")
    checked = draw_pairs(seeded(f"encoder-valid-{arguments.seed}"), "valid", CHECKED_NOTES)
    chosen = optimizers(model, arguments.rate, arguments.rate)
    schedulers = [
        torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_scale(step, arguments.steps)
        )
        for optimizer in chosen
    ]
    started, total = time.perf_counter(), 0.0
    for step in range(1, arguments.steps + 1):
        pairs = draw_pairs(rng, "train", arguments.notes)
        found, right = cosines(model, tokenizer, pairs)
        loss = functional.cross_entropy(found / TEMPERATURE, right)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, scheduler in zip(chosen, schedulers, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
        total += loss.item()
        if step % arguments.every == 0 or step == arguments.steps:
            shares = " ".join(
                f"recall@{k}={recall(model, tokenizer, checked, k):.3f}" for k in (1, 3, 5)
            )
            seconds = time.perf_counter() - started
            print(
                f"step {step} {seconds:.0f}s loss {total / arguments.every:.3f} {shares}",
                flush=True,
            )
            total = 0.0
            save(arguments.out, NAME, model, tokenizer)


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(description="Train the encoder of the demonstration.")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--every", type=int, default=50, help="steps between evaluations")
    parser.add_argument("--notes", type=int, default=32, help="in a batch")
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--width", type=int, default=128, help="a multiple of 32")
    parser.add_argument("--rate", type=float, default=2e-3, help="learning rate")
    parser.add_argument("--threads", type=int, default=1)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
