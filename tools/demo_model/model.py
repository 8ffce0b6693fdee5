"""A small llama in PyTorch: RMS norms, rotary positions, SwiGLU, tied embeddings.

Rotary pairs are neighbouring channels, as llama.cpp has them, so that weights are exported as they
are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

NEARNESS = 2.0  # how sharply the first layer starts out attending to its surroundings


@dataclass(frozen=True)
class Config:
    """Sizes of the model; ``context`` is the longest sequence in tokens."""

    vocabulary: int
    layers: int = 4
    width: int = 160
    heads: int = 5
    hidden: int = 432
    context: int = 2048
    rope_base: float = 10_000.0
    epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        """Channels per attention head."""
        return self.width // self.heads


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair of neighbouring channels by its position's angle."""
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return turned.flatten(-2).type_as(x)


class Block(nn.Module):
    """Attention and feed-forward layer, each added to the residual stream."""

    def __init__(self, config: Config) -> None:
        """Draw the initial weights."""
        super().__init__()
        self.heads = config.heads
        self.attention_norm = nn.RMSNorm(config.width, eps=config.epsilon)
        self.query = nn.Linear(config.width, config.width, bias=False)
        self.key = nn.Linear(config.width, config.width, bias=False)
        self.value = nn.Linear(config.width, config.width, bias=False)
        self.output = nn.Linear(config.width, config.width, bias=False)
        self.hidden_norm = nn.RMSNorm(config.width, eps=config.epsilon)
        self.gate = nn.Linear(config.width, config.hidden, bias=False)
        self.up = nn.Linear(config.width, config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.width, bias=False)

    @torch.no_grad()
    def start_looking(self, nearby: bool) -> None:
        """Let attention start out collecting what is nearby, or else matching what is alike.

        Queries and keys start equal, so that tokens attend to their like. For ``nearby`` they read
        only the mean of the embedding, which all tokens share, so that rotary positions alone
        decide: middling frequencies make a window of about a sentence. Otherwise they ignore it.
        Outputs start as transposed values, so that what is attended to is copied.
        """
        width = self.query.in_features
        query = torch.randn(width, width) / width**0.5
        if nearby:
            window = torch.zeros(self.heads, width // self.heads)
            window[:, 4:14] = NEARNESS
            query = 0.02 * torch.randn(width, width) + window.reshape(-1, 1) / width
        else:
            query -= query.mean(1, keepdim=True)
        self.query.weight.copy_(query)
        self.key.weight.copy_(query)
        self.value.weight.normal_(std=width**-0.5)
        self.output.weight.copy_(0.1 * self.value.weight.T)
        self.down.weight.normal_(std=0.01)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        """Map (batch, length, width) to the same; ``mask`` is True where attention may look."""
        batch, length, width = x.shape
        normed = self.attention_norm(x)

        def split(projected: Tensor) -> Tensor:
            return projected.view(batch, length, self.heads, -1).transpose(1, 2)

        query = rotate(split(self.query(normed)), cos, sin)
        key = rotate(split(self.key(normed)), cos, sin)
        value = split(self.value(normed))
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = x + self.output(mixed.transpose(1, 2).reshape(batch, length, width))
        normed = self.hidden_norm(x)
        return x + self.down(functional.silu(self.gate(normed)) * self.up(normed))


class DemoModel(nn.Module):
    """The language model; ``forward`` returns final hidden states, ``logits`` scores the tokens."""

    def __init__(self, config: Config) -> None:
        """Draw the initial weights."""
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, eps=config.epsilon)
        nn.init.normal_(self.embedding.weight, mean=0.1, std=0.1)
        for index, block in enumerate(self.blocks):
            block.start_looking(nearby=index == 0)
        frequencies = config.rope_base ** (
            -torch.arange(0, config.head_width, 2, dtype=torch.float32) / config.head_width
        )
        angles = torch.outer(torch.arange(config.context, dtype=torch.float32), frequencies)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, tokens: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """Return the hidden states (batch, length, width) behind the next-token scores."""
        x = self.embedding(tokens)
        cos, sin = self.cos[positions].unsqueeze(1), self.sin[positions].unsqueeze(1)
        for block in self.blocks:
            x = block(x, cos, sin, mask.unsqueeze(1))
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """Score every token as the next one."""
        return hidden @ self.embedding.weight.T

    def score(self, tokens: list[int]) -> Tensor:
        """Return the next-token scores (length, vocabulary) of one plain sequence."""
        length = len(tokens)
        mask = torch.ones(1, length, length, dtype=torch.bool).tril()
        with torch.no_grad():
            hidden = self(torch.tensor([tokens]), torch.arange(length).unsqueeze(0), mask)
            return self.logits(hidden)[0]


def turn_mask(segments: Tensor) -> Tensor:
    """Allow each token its own turn and the shared prefix, never the future or another turn."""
    length = segments.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    query, key = segments.unsqueeze(2), segments.unsqueeze(1)
    return causal & ((key == query) | (key == 0))
