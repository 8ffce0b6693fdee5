"""Train a demonstration model from scratch on a CPU.

    python -m tools.demo_model.train assay-demo --out results/demo-model/model.pt

Training starts with one-fact passages and grows to longer ones. Matrices inside the layers are
trained by Muon, everything else by AdamW; both learning rates fall along a cosine.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from tools.demo_model.batches import Batch
from tools.demo_model.inherit import inherit
from tools.demo_model.model import Config, DemoModel, turn_mask
from tools.demo_model.recipes import ANSWERS, Recipe

WARM_UP_STEPS = 100


def run(model: DemoModel, batch: Batch, *, half: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return logits, targets and weights of the answer tokens, and their (row, column) places."""
    tokens, segments = torch.from_numpy(batch.tokens), torch.from_numpy(batch.segments)
    weights = torch.from_numpy(batch.weights)
    places = weights.nonzero()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        hidden = model(tokens, torch.from_numpy(batch.positions), turn_mask(segments))
    rows, columns = places.unbind(1)
    logits = model.logits(hidden[rows, columns].float())
    return logits, tokens[rows, columns + 1], weights[rows, columns], places


def measure(model: DemoModel, batches: list[Batch], *, half: bool) -> dict[str, float]:
    """Return the share of turns, by kind, whose whole target is what greedy decoding gives."""
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    with torch.no_grad():
        for batch in batches:
            logits, targets, _, places = run(model, batch, half=half)
            wrong = {
                (int(row), int(batch.segments[row, column]))
                for (row, column), miss in zip(
                    places.tolist(), (logits.argmax(1) != targets).tolist(), strict=True
                )
                if miss
            }
            for turn, kind in batch.kinds.items():
                asked[kind] += 1
                right[kind] += turn not in wrong
    return {kind: right[kind] / asked[kind] for kind in sorted(asked)}


def optimizers(model: DemoModel, muon_rate: float, adam_rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for the embedding and the norms."""
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if all(p is not matrix for matrix in matrices)]
    return [
        torch.optim.Muon(matrices, lr=muon_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=adam_rate, betas=(0.9, 0.98), weight_decay=0.01),
    ]


def learning_scale(step: int, steps: int) -> float:
    """Rise linearly, then fall along a cosine to 2 % of the peak."""
    if step < WARM_UP_STEPS:
        return (step + 1) / WARM_UP_STEPS
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps))


def new_model(recipe: Recipe, tokenizer: Tokenizer, layers: int, width: int) -> DemoModel:
    """Return a model with its first weights."""
    config = Config(
        vocabulary=tokenizer.get_vocab_size(),
        layers=layers,
        width=width,
        heads=width // 32,
        hidden=int(width * 2.7) // 16 * 16,
        context=recipe.context,
    )
    model = DemoModel(config)
    size = sum(p.numel() for p in model.parameters())
    print(f"{size:,} parameters, {config.vocabulary} tokens", flush=True)
    return model


def save(path: Path, name: str, model: DemoModel, tokenizer: Tokenizer) -> None:
    """Write the checkpoint of a recipe's model, which ``export`` reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    saved = {
        "name": name,
        "config": asdict(model.config),
        "model": model.state_dict(),
        "tokenizer": tokenizer.to_str(),
    }
    torch.save(saved, path)


def train(arguments: argparse.Namespace) -> None:
    """Train, log validation shares, and write the checkpoint at every evaluation."""
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    recipe, half = ANSWERS[arguments.model], not arguments.full_precision
    tokenizer = recipe.tokenizer()
    model = new_model(recipe, tokenizer, arguments.layers, arguments.width)
    if arguments.begin_with is not None:
        new = inherit(model, tokenizer, arguments.begin_with)
        print(f"{new} tokens are new to {arguments.begin_with}", flush=True)
    if recipe.start is not None:
        recipe.start(model, tokenizer)
    corpus = recipe.corpus(tokenizer, arguments.seed)
    held_out = recipe.corpus(tokenizer, arguments.seed, validation=True)
    checks = [held_out.draw(32, arguments.length, recipe.most_facts) for _ in range(4)]
    chosen = optimizers(model, arguments.muon_rate, arguments.adam_rate)
    schedulers = [
        torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_scale(step, arguments.steps)
        )
        for optimizer in chosen
    ]
    started, total = time.perf_counter(), 0.0
    for step in range(1, arguments.steps + 1):
        most_facts = min(
            recipe.most_facts, 1 + int(recipe.most_facts * step / arguments.curriculum_steps)
        )
        batch = corpus.draw(arguments.batch, arguments.length, most_facts)
        logits, targets, weights, _ = run(model, batch, half=half)
        losses = functional.cross_entropy(logits, targets, reduction="none")
        loss = (losses * weights).sum() / weights.sum()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, scheduler in zip(chosen, schedulers, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
        total += loss.item()
        if step % arguments.every == 0 or step == arguments.steps:
            shares = " ".join(f"{k}={v:.2f}" for k, v in measure(model, checks, half=half).items())
            seconds = time.perf_counter() - started
            print(
                f"step {step} {seconds:.0f}s facts<={most_facts}",
                f"loss {total / arguments.every:.3f} {shares}",
                flush=True,
            )
            total = 0.0
            save(arguments.out, arguments.model, model, tokenizer)


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(description="Train a demonstration model.")
    parser.add_argument("model", choices=ANSWERS, help="the model to train")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--begin-with", type=Path, help="a GGUF file of the same sizes")
    parser.add_argument(
        "--full-precision", action="store_true", help="faster on processors without AMX"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--curriculum-steps", type=int, default=400)
    parser.add_argument("--every", type=int, default=200, help="steps between evaluations")
    parser.add_argument("--batch", type=int, default=16, help="sequences per step")
    parser.add_argument("--length", type=int, default=256, help="tokens per sequence")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=160, help="a multiple of 32")
    parser.add_argument("--muon-rate", type=float, default=2e-3)
    parser.add_argument("--adam-rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=2)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
