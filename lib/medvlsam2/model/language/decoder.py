"""The decoder: ``transformers``' own Qwen2 or Llama with random weights, wrapped by ``peft`` for its LoRA adapter."""

from __future__ import annotations

from typing import Any, Final

from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from medvlsam2.config import LanguageConfig

Base = Qwen2ForCausalLM | LlamaForCausalLM
LORA_TARGETS: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""All linear layers of the decoder's blocks."""
ROPE_THETA: Final = 1_000_000.0
"""Base of the rotary embedding; both parents, Qwen2.5 and InternLM2.5, use this one."""
RMS_NORM_EPS: Final = {"qwen2": 1e-6, "llama": 1e-5}
"""The parents' own values."""


def build_decoder(config: LanguageConfig) -> PeftModel:
    """A decoder with its adapter.

    Parameter names are ``peft``'s, such as ``base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight``.
    """
    lora = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(LORA_TARGETS),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(_build_base(config), lora)


def _build_base(config: LanguageConfig) -> Base:
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
        "rope_parameters": {"rope_type": "default", "rope_theta": ROPE_THETA},
    }
    if config.architecture == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**sizes))
    return LlamaForCausalLM(LlamaConfig(**sizes))
