"""The adapter is LoRA as written, W + (alpha / r) B A, and nothing else moves when it is trained."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from medvlsam2.config import LanguageConfig
from medvlsam2.model.language.decoder import LORA_TARGETS
from medvlsam2.model.language.model import LanguageModel
from medvlsam2.model.language.special_tokens import SpecialTokens

TOKENS = SpecialTokens(image_context=290, seg=291, eos=292, pad=293, new=(294,))
SIZES = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
}


def plain_copy(model: LanguageModel, state_dict: dict[str, Tensor]) -> Qwen2ForCausalLM | LlamaForCausalLM:
    """A transformers model without peft, with these weights."""
    tied = model.config.tie_word_embeddings
    if model.config.architecture == "qwen2":
        plain = Qwen2ForCausalLM(Qwen2Config(**SIZES, rms_norm_eps=1e-6, tie_word_embeddings=tied))
    else:
        plain = LlamaForCausalLM(LlamaConfig(**SIZES, rms_norm_eps=1e-5, tie_word_embeddings=tied))
    plain.load_state_dict(state_dict, strict=True)
    return plain.eval()


def base_weights(model: LanguageModel) -> dict[str, Tensor]:
    return {
        name.removeprefix("base_model.model.").replace(".base_layer.", "."): value.clone()
        for name, value in model.decoder.state_dict().items()
        if ".lora_" not in name
    }


def merged_weights(model: LanguageModel) -> dict[str, Tensor]:
    """W + (alpha / r) B A for each target, and the new tokens' offsets added to their rows."""
    adapted = model.decoder.state_dict()
    merged = base_weights(model)
    for name in merged:
        stem = f"base_model.model.{name.removesuffix('.weight')}"
        if f"{stem}.lora_A.default.weight" in adapted:
            a, b = adapted[f"{stem}.lora_A.default.weight"], adapted[f"{stem}.lora_B.default.weight"]
            merged[name] += model.config.lora_alpha / model.config.lora_rank * b @ a
    rows = torch.tensor([291, 294])
    merged["model.embed_tokens.weight"][rows] += model.new_tokens.embedding.detach()
    tied = model.new_tokens.output is None
    merged["lm_head.weight"][rows] += (model.new_tokens.embedding if tied else model.new_tokens.output).detach()
    return merged


def logits(model: LanguageModel, input_ids: Tensor) -> Tensor:
    with torch.no_grad():
        return model(input_ids, torch.ones_like(input_ids), None).logits


def take_steps(model: LanguageModel, input_ids: Tensor) -> None:
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(input_ids, torch.ones_like(input_ids), None, labels=input_ids).loss.backward()
        optimizer.step()
    model.eval()


@pytest.fixture(params=[("qwen2", True), ("qwen2", False), ("llama", False)], ids=["qwen2-tied", "qwen2", "llama"])
def model(request) -> LanguageModel:
    torch.manual_seed(3)
    architecture, tied = request.param
    config = LanguageConfig(
        architecture=architecture,
        vocab_size=300,
        hidden_size=64,
        intermediate_size=128,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        tie_word_embeddings=tied,
        lora_rank=4,
        lora_alpha=8,
    )
    return LanguageModel(config, TOKENS).eval()


@pytest.fixture
def input_ids() -> Tensor:
    ids = torch.randint(0, 290, (2, 15), generator=torch.Generator().manual_seed(4))
    ids[0, 6], ids[1, 9] = 291, 294
    return ids


def test_before_training_the_logits_are_the_bases_own(model, input_ids):
    plain = plain_copy(model, base_weights(model))
    with torch.no_grad():
        expected = plain(input_ids=input_ids).logits
    torch.testing.assert_close(logits(model, input_ids), expected, rtol=0, atol=0)


def test_every_linear_layer_has_an_adapter(model):
    adapted = {name for name, _ in model.decoder.named_parameters() if ".lora_A." in name}
    assert len(adapted) == 2 * len(LORA_TARGETS) == 14


def test_training_moves_the_adapter_and_the_new_tokens_alone(model, input_ids):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    take_steps(model, input_ids)
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    expected = {name for name in before if ".lora_" in name or name.startswith("new_tokens.")}
    assert moved == expected


def test_merged_weights_give_the_same_logits(model, input_ids):
    take_steps(model, input_ids)
    adapted = logits(model, input_ids)
    plain = plain_copy(model, merged_weights(model))
    with torch.no_grad():
        merged = plain(input_ids=input_ids).logits
    with model.decoder.disable_adapter():
        base = logits(model, input_ids)
    assert (adapted - base).abs().max() > 0.1
    torch.testing.assert_close(adapted, merged, rtol=1e-4, atol=1e-4)
