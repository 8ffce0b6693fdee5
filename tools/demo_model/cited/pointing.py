"""Let a model start out knowing, at each token of a passage, the number of the passage.

The first layer's first head attends to the nearest number before a token, and copies which number
it is. Without this start, a model of this size learns answers but not citations.
"""

from __future__ import annotations

import torch
from tokenizers import Tokenizer

from tools.demo_model.cited.notes import MOST_PASSAGES
from tools.demo_model.model import DemoModel

MARK = 1.5  # how far numbers of passages stand out from other tokens
NEAREST = (10, 12, 14, 16)  # channels whose frequencies tell apart distances up to 60 tokens
ANY = (28, 30)  # channels that hardly turn: a number at any distance
ATTENTION = 3.0
COPIED = 0.15


def cited(number: int) -> str:
    """Return the token by which an answer names a passage."""
    return f" [{number}]"


@torch.no_grad()
def start_pointing(model: DemoModel, tokenizer: Tokenizer) -> None:
    """Write this start into the first layer and into the embeddings of the numbers."""
    width = model.config.width
    axes, _ = torch.linalg.qr(torch.randn(width, MOST_PASSAGES + 1))
    axes = torch.linalg.qr(axes - axes.mean(0))[0].T  # apart from what all tokens share
    mark, codes = axes[0], axes[1:]
    for number, code in enumerate(codes, start=1):
        row = 0.1 + 0.1 * width**0.5 * code
        model.embedding.weight[tokenizer.token_to_id(f"[{number}]")] = row + MARK * mark
        model.embedding.weight[tokenizer.token_to_id(cited(number))] = row
    first = model.blocks[0]
    head = slice(0, model.config.head_width)
    first.query.weight[head] = 0
    first.key.weight[head] = 0
    for channel in (*NEAREST, *ANY):
        first.query.weight[channel] = ATTENTION / width
        first.key.weight[channel] = mark
    first.value.weight[head] = 0
    first.value.weight[:MOST_PASSAGES] = codes
    first.output.weight.mul_(0.1)
    first.output.weight[:, head] = 0
    first.output.weight[:, :MOST_PASSAGES] = COPIED * codes.T
