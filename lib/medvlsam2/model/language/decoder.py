"""The decoder: ``transformers``' own Qwen2 or Llama, wrapped by ``peft`` for its LoRA adapter.

Its weights are random, or those of a pretrained base that an installed package brings.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from medvlsam2.config import LanguageConfig
from medvlsam2.model.language.pretrained_base import base_weights
from medvlsam2.model.language.weights import fit_base_weights

Base = Qwen2ForCausalLM | LlamaForCausalLM
LORA_TARGETS: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""All linear layers of the decoder's blocks."""
RMS_NORM_EPS: Final = {"qwen2": 1e-6, "llama": 1e-5}
"""The parents' own values."""


def build_decoder(config: LanguageConfig) -> PeftModel:
    """A decoder with its adapter.

    Parameter names are ``peft``'s, such as ``base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight``.
    """
    base = _pretrained_base(config) if config.base else _random_base(config)
    lora = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(LORA_TARGETS),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(base, lora)


def is_adapter(name: str) -> bool:
    """Whether a parameter of this name is the LoRA adapter's."""
    return ".lora_" in name


def _random_base(config: LanguageConfig) -> Base:
    sizes: dict[str, Any] = {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "max_position_embeddings": config.max_position_embeddings,
        "tie_word_embeddings": config.tie_word_embeddings,
        "rms_norm_eps": RMS_NORM_EPS[config.architecture],
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
    }
    if config.architecture == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**sizes))
    return LlamaForCausalLM(LlamaConfig(**sizes))


def _pretrained_base(config: LanguageConfig) -> Base:
    """The base with the weights of its package, which are read once and copied nowhere but for the new tokens' rows."""
    with torch.device("meta"):
        base = _random_base(config)
    # The rotary embedding has no weights: it computes its frequencies where it is built.
    base.model.rotary_emb = type(base.model.rotary_emb)(config=base.config)
    shapes = {name: tuple(value.shape) for name, value in base.state_dict().items()}
    base.load_state_dict(fit_base_weights(base_weights(config.base), shapes, config), assign=True)
    base.tie_weights()
    return base
