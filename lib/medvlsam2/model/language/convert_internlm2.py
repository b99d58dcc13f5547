"""InternLM2 weights under Llama's names, so that no remote code is needed to run them.

InternLM2 is a Llama whose query, key and value weights are stored as one matrix, grouped by key-value head.
"""

from __future__ import annotations

import re

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from medvlsam2.errors import CheckpointMismatch

_TOP_LEVEL = {
    "model.tok_embeddings.weight": "model.embed_tokens.weight",
    "model.norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_IN_LAYER = {
    "attention.wo.weight": "self_attn.o_proj.weight",
    "feed_forward.w1.weight": "mlp.gate_proj.weight",
    "feed_forward.w2.weight": "mlp.down_proj.weight",
    "feed_forward.w3.weight": "mlp.up_proj.weight",
    "attention_norm.weight": "input_layernorm.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
}
_LAYER = re.compile(r"(model\.layers\.\d+\.)(.+)")


def convert(state_dict: dict[str, Tensor], num_heads: int, num_kv_heads: int) -> dict[str, Tensor]:
    """Rename InternLM2's tensors to Llama's and split its grouped ``wqkv``.

    Args:
        state_dict: InternLM2ForCausalLM's, without a ``language_model.`` prefix.
        num_heads: attention heads.
        num_kv_heads: key-value heads.

    Returns:
        A state dict for LlamaForCausalLM.

    Raises:
        CheckpointMismatch: on a key that InternLM2 does not have, or a ``wqkv`` of another shape.
    """
    converted: dict[str, Tensor] = {}
    for key, value in state_dict.items():
        layer = _LAYER.fullmatch(key)
        if key in _TOP_LEVEL:
            converted[_TOP_LEVEL[key]] = value
        elif layer and layer[2] == "attention.wqkv.weight":
            for name, part in _split_wqkv(value, num_heads, num_kv_heads).items():
                converted[f"{layer[1]}self_attn.{name}.weight"] = part
        elif layer and layer[2] in _IN_LAYER:
            converted[layer[1] + _IN_LAYER[layer[2]]] = value
        else:
            raise CheckpointMismatch(
                f"Key '{key}' is not one of InternLM2's. Allowed are model.tok_embeddings, model.layers.N.*, "
                "model.norm and output. Check that the file is an InternLM2 language model."
            )
    return converted


def _split_wqkv(wqkv: Float[Tensor, "rows hidden"], num_heads: int, num_kv_heads: int) -> dict[str, Tensor]:
    """Per key-value head: the rows of its queries, then of its key, then of its value."""
    queries = num_heads // num_kv_heads
    groups = num_kv_heads * (queries + 2)
    if wqkv.shape[0] % groups:
        raise CheckpointMismatch(
            f"wqkv has {wqkv.shape[0]} rows, which do not divide among {num_heads} heads and {num_kv_heads} "
            "key-value heads. Check num_heads and num_kv_heads in the configuration."
        )
    # [kv_heads * (queries + 2) * head_dim, hidden] -> [kv_heads, queries + 2, head_dim, hidden]
    grouped = rearrange(wqkv, "(kv group dim) hidden -> kv group dim hidden", kv=num_kv_heads, group=queries + 2)
    return {
        "q_proj": rearrange(grouped[:, :queries], "kv queries dim hidden -> (kv queries dim) hidden").contiguous(),
        "k_proj": rearrange(grouped[:, -2], "kv dim hidden -> (kv dim) hidden").contiguous(),
        "v_proj": rearrange(grouped[:, -1], "kv dim hidden -> (kv dim) hidden").contiguous(),
    }
