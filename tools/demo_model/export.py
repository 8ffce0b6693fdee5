r"""Write a checkpoint as a GGUF file that llama.cpp reads.

    python -m tools.demo_model.export \
        --checkpoint results/demo-model/model.pt --out resources/models/assay-demo.gguf
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer

from tools.demo_model.model import Config, DemoModel
from tools.demo_model.recipes import RECIPES, Recipe
from tools.demo_model.tokenizer import CHAT_TEMPLATE, END, SPECIAL_TOKENS

BLOCK_TENSORS = {
    "attention_norm": "attn_norm",
    "query": "attn_q",
    "key": "attn_k",
    "value": "attn_v",
    "output": "attn_output",
    "hidden_norm": "ffn_norm",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}


def load_checkpoint(path: Path) -> tuple[DemoModel, Tokenizer, Recipe]:
    """Read what ``train`` wrote."""
    saved = torch.load(path, map_location="cpu", weights_only=True)
    model = DemoModel(Config(**saved["config"]))
    model.load_state_dict(saved["model"])
    return model.eval(), Tokenizer.from_str(saved["tokenizer"]), RECIPES[saved["name"]]


def _write_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    """Store the vocabulary, the merges and the chat template."""
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    tokens = [token for token, _ in vocabulary]
    types = {
        added.content: gguf.TokenType.USER_DEFINED
        for added in tokenizer.get_added_tokens_decoder().values()
    }
    types |= dict.fromkeys(SPECIAL_TOKENS, gguf.TokenType.CONTROL)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([types.get(token, gguf.TokenType.NORMAL) for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in merges])
    end = tokenizer.token_to_id(END)
    writer.add_bos_token_id(end)  # never put in: add_bos is false
    writer.add_eos_token_id(end)
    writer.add_eot_token_id(end)
    writer.add_pad_token_id(end)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _write_weights(writer: gguf.GGUFWriter, model: DemoModel) -> None:
    """Store matrices as 16-bit floats and norms as 32-bit floats."""

    def add(name: str, weight: torch.Tensor) -> None:
        array = weight.detach().float().numpy()
        writer.add_tensor(name, array.astype(np.float16) if array.ndim == 2 else array)

    add("token_embd.weight", model.embedding.weight)
    add("output_norm.weight", model.norm.weight)
    for index, block in enumerate(model.blocks):
        for ours, theirs in BLOCK_TENSORS.items():
            add(f"blk.{index}.{theirs}.weight", getattr(block, ours).weight)


def export(model: DemoModel, tokenizer: Tokenizer, recipe: Recipe, path: Path) -> None:
    """Write ``model`` and ``tokenizer`` to ``path``."""
    config = model.config
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(str(path), recipe.architecture)
    writer.add_name(recipe.title)
    writer.add_author("The Assay authors")
    writer.add_license("mit")
    writer.add_description(recipe.description)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.hidden)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.heads)
    writer.add_rope_dimension_count(config.head_width)
    writer.add_rope_freq_base(config.rope_base)
    writer.add_layer_norm_rms_eps(config.epsilon)
    writer.add_vocab_size(config.vocabulary)
    if recipe.architecture == "llama-embed":
        writer.add_causal_attention(False)
        writer.add_pooling_type(gguf.PoolingType.MEAN)
    _write_tokenizer(writer, tokenizer)
    _write_weights(writer, model)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    """Read the arguments, export, and print the size and the SHA-256 of the file."""
    parser = argparse.ArgumentParser(description="Write a checkpoint as a GGUF file.")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    export(*load_checkpoint(arguments.checkpoint), arguments.out)
    data = arguments.out.read_bytes()
    print(f"{arguments.out}: {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
