"""InternLM2 weights become Llama's exactly: grouped from a random Llama and converted back, nothing changes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from medvlsam2.config import LanguageConfig
from medvlsam2.errors import CheckpointMismatch
from medvlsam2.model.language.convert_internlm2 import convert
from medvlsam2.model.language.model import LanguageModel
from medvlsam2.model.language.special_tokens import SpecialTokens

HEADS, KV_HEADS, HEAD_DIM, HIDDEN = 6, 2, 8, 48
RENAMED = {
    "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
}


def to_internlm2(llama: dict[str, Tensor]) -> dict[str, Tensor]:
    """Write a Llama in InternLM2's layout, row by row: per key-value head its queries, its key, its value."""
    stored = {
        "model.tok_embeddings.weight": llama["model.embed_tokens.weight"],
        "model.norm.weight": llama["model.norm.weight"],
        "output.weight": llama["lm_head.weight"],
    }
    per_group = HEADS // KV_HEADS
    for layer in range(2):
        prefix = f"model.layers.{layer}."
        for theirs, internlm2 in RENAMED.items():
            stored[f"{prefix}{internlm2}.weight"] = llama[f"{prefix}{theirs}.weight"]
        query, key, value = (llama[f"{prefix}self_attn.{x}_proj.weight"].split(HEAD_DIM) for x in "qkv")
        rows: list[Tensor] = []
        for head in range(KV_HEADS):
            rows += [*query[head * per_group : (head + 1) * per_group], key[head], value[head]]
        stored[f"{prefix}attention.wqkv.weight"] = torch.cat(rows)
    return stored


@pytest.fixture
def llama() -> LlamaForCausalLM:
    torch.manual_seed(2)
    config = LlamaConfig(
        vocab_size=120,
        hidden_size=HIDDEN,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
        initializer_range=0.2,
    )
    return LlamaForCausalLM(config).eval()


def test_converting_there_and_back_is_the_identity(llama):
    original = llama.state_dict()
    converted = convert(to_internlm2(original), HEADS, KV_HEADS)
    assert converted.keys() == original.keys()
    for name, value in original.items():
        torch.testing.assert_close(converted[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("prefix", ["", "language_model."])
def test_our_model_with_internlm2_weights_gives_llamas_logits(llama, prefix):
    stored = {prefix + name: value for name, value in to_internlm2(llama.state_dict()).items()}
    stored["vision_model.embeddings.class_embedding"] = torch.zeros(1)
    config = LanguageConfig(
        architecture="llama",
        vocab_size=121,
        hidden_size=HIDDEN,
        intermediate_size=64,
        num_layers=2,
        num_heads=HEADS,
        num_kv_heads=KV_HEADS,
        tie_word_embeddings=False,
        lora_rank=4,
        lora_alpha=8,
    )
    model = LanguageModel(config, SpecialTokens(image_context=110, seg=120, eos=112, pad=113)).eval()
    model.load_base_weights(stored)
    input_ids = torch.randint(0, 110, (2, 17))
    with torch.no_grad():
        ours = model(input_ids, torch.ones_like(input_ids), None).logits
        theirs = llama(input_ids=input_ids).logits
    torch.testing.assert_close(ours[..., :120], theirs, rtol=1e-5, atol=1e-5)
    # [SEG] has no row in the parent: it starts as the mean of all.
    torch.testing.assert_close(ours[..., 120], theirs.mean(dim=-1), rtol=1e-4, atol=1e-5)


def test_a_foreign_key_is_named():
    with pytest.raises(CheckpointMismatch, match=r"'model\.layers\.0\.attention\.wqkv\.bias' is not one"):
        convert({"model.layers.0.attention.wqkv.bias": torch.zeros(3)}, HEADS, KV_HEADS)


def test_wrong_head_counts_are_refused():
    stored = {"model.layers.0.attention.wqkv.weight": torch.zeros(80, HIDDEN)}
    with pytest.raises(CheckpointMismatch, match="80 rows, which do not divide among 7 heads and 7"):
        convert(stored, 7, 7)
