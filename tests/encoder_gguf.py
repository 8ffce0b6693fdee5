"""Tiny encoders with random weights, as GGUF files."""

from __future__ import annotations

import string
from pathlib import Path

import gguf
import numpy as np

WIDTH = 32
CONTEXT = 64
_HIDDEN = 64
_LAYERS = 2
_WORDS = ["harbour", "ship", "ice", "winter", "light", "house", "def", "return", "the", "of", "in"]


def _vocabulary() -> tuple[list[str], list[int]]:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    tokens = [*special, *(f"\u2581{each}" for each in [*_WORDS, *letters]), *letters]
    kinds = [gguf.TokenType.CONTROL] * len(special)
    kinds += [gguf.TokenType.NORMAL] * (len(tokens) - len(special))
    return tokens, [int(each) for each in kinds]


def write_encoder(path: Path, pooling: gguf.PoolingType | None = gguf.PoolingType.MEAN) -> Path:
    """Write a BERT of two layers: about 30 kB."""
    random = np.random.default_rng(7)
    tokens, kinds = _vocabulary()
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name("random encoder")
    writer.add_block_count(_LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(_HIDDEN)
    writer.add_head_count(2)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    if pooling is not None:
        writer.add_pooling_type(pooling)
    writer.add_tokenizer_model("bert")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_type_count(2)
    for name in ("unk", "pad", "bos", "sep", "eos", "mask", "cls"):
        text = {"bos": "[CLS]", "eos": "[SEP]"}.get(name, f"[{name.upper()}]")
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", tokens.index(text))

    def tensor(name: str, *shape: int, ones: bool = False) -> None:
        values = random.standard_normal(shape) * 0.3 + ones
        writer.add_tensor(name, values.astype(np.float32))

    tensor("token_embd.weight", len(tokens), WIDTH)
    tensor("position_embd.weight", CONTEXT, WIDTH)
    tensor("token_types.weight", 2, WIDTH)
    tensor("token_embd_norm.weight", WIDTH, ones=True)
    tensor("token_embd_norm.bias", WIDTH)
    for layer in range(_LAYERS):
        block = f"blk.{layer}."
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensor(f"{block}{name}.weight", WIDTH, WIDTH)
            tensor(f"{block}{name}.bias", WIDTH)
        tensor(f"{block}ffn_up.weight", _HIDDEN, WIDTH)
        tensor(f"{block}ffn_up.bias", _HIDDEN)
        tensor(f"{block}ffn_down.weight", WIDTH, _HIDDEN)
        tensor(f"{block}ffn_down.bias", WIDTH)
        for name in ("attn_output_norm", "layer_output_norm"):
            tensor(f"{block}{name}.weight", WIDTH, ones=True)
            tensor(f"{block}{name}.bias", WIDTH)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
