"""Read the weights of a demonstration model, and begin the training of another one with them."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer

from tools.demo_model.export import BLOCK_TENSORS
from tools.demo_model.model import Config, DemoModel


def read_model(path: Path) -> DemoModel:
    """Load the weights of a GGUF file written by ``export`` into PyTorch."""
    reader = gguf.GGUFReader(path)
    architecture = reader.fields["general.architecture"].contents()

    def number(key: str) -> float:
        return float(reader.fields[f"{architecture}.{key}"].contents())

    config = Config(
        vocabulary=int(number("vocab_size")),
        layers=int(number("block_count")),
        width=int(number("embedding_length")),
        heads=int(number("attention.head_count")),
        hidden=int(number("feed_forward_length")),
        context=int(number("context_length")),
        rope_base=number("rope.freq_base"),
        epsilon=number("attention.layer_norm_rms_epsilon"),
    )
    names = {"token_embd": "embedding", "output_norm": "norm"}
    for index in range(config.layers):
        for ours, theirs in BLOCK_TENSORS.items():
            names[f"blk.{index}.{theirs}"] = f"blocks.{index}.{ours}"
    weights = {
        f"{names[tensor.name.removesuffix('.weight')]}.weight": torch.tensor(
            tensor.data.astype(np.float32)
        )
        for tensor in reader.tensors
    }
    model = DemoModel(config)
    model.load_state_dict(weights)
    return model.eval()


@torch.no_grad()
def inherit(model: DemoModel, tokenizer: Tokenizer, path: Path) -> int:
    """Copy the weights of the GGUF file at ``path``; return how many tokens are new to it.

    The last layers are taken over as they are, and so are the embeddings of tokens that both
    models have.
    """
    given = read_model(path)
    model.norm.load_state_dict(given.norm.state_dict())
    last = model.blocks[len(model.blocks) - len(given.blocks) :]
    last.load_state_dict(given.blocks.state_dict())
    field = gguf.GGUFReader(path).fields["tokenizer.ggml.tokens"]
    rows = {token: row for row, token in enumerate(field.contents())}
    new = 0
    for token, own in tokenizer.get_vocab().items():
        if token in rows:
            model.embedding.weight[own] = given.embedding.weight[rows[token]]
        else:
            new += 1
    return new
