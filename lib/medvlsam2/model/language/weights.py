"""A parent's language weights under the names of ours: Qwen2, Llama, InternVL2.5 or InternLM2.

InternVL2.5 keeps its language model behind ``language_model.`` (``model.language_model.`` in transformers'
own layout), beside a vision part that is not used here.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from medvlsam2.config import LanguageConfig
from medvlsam2.errors import CheckpointMismatch
from medvlsam2.model.language.convert_internlm2 import convert

_EMBEDDING, _OUTPUT = "model.embed_tokens.weight", "lm_head.weight"
_OTHER_PARTS = ("vision_model.", "mlp1.", "model.vision_tower.", "model.multi_modal_projector.")


def fit_base_weights(
    state_dict: Mapping[str, Tensor], own_shapes: Mapping[str, tuple[int, ...]], config: LanguageConfig
) -> dict[str, Tensor]:
    """Rename and complete a parent's weights so that they cover the base exactly.

    Args:
        state_dict: the parent's. Embedding rows that it lacks become the mean of its rows.
        own_shapes: plain names and shapes of the base's tensors.
        config: sizes of the base.

    Raises:
        CheckpointMismatch: naming missing, unexpected and misshapen keys.
    """
    weights = _plain_names(state_dict)
    if "model.tok_embeddings.weight" in weights:
        weights = convert(weights, config.num_heads, config.num_kv_heads)
    is_shared = config.tie_word_embeddings and _EMBEDDING in weights
    if is_shared and not torch.equal(weights.pop(_OUTPUT, weights[_EMBEDDING]), weights[_EMBEDDING]):
        raise CheckpointMismatch(
            "The weights have an output layer of their own, but the configuration shares it with the "
            "embedding. Set tie_word_embeddings to false."
        )
    for name in (_EMBEDDING, _OUTPUT):
        if name in weights:
            weights[name] = _add_rows(weights[name], config.vocab_size)
    if is_shared:
        weights[_OUTPUT] = weights[_EMBEDDING]  # one tensor, which a large vocabulary makes large
    _require_fit(weights, own_shapes)
    return weights


def _plain_names(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without InternVL's prefixes; its vision part and computed buffers are left out."""
    plain: dict[str, Tensor] = {}
    for key, value in state_dict.items():
        if key.startswith(_OTHER_PARTS) or key.endswith("rotary_emb.inv_freq"):
            continue
        name = key.removeprefix("language_model.")
        if name.startswith("model.language_model."):
            name = "model." + name.removeprefix("model.language_model.")
        plain[name] = value
    return plain


def _add_rows(weight: Float[Tensor, "rows hidden"], vocab_size: int) -> Float[Tensor, "more_rows hidden"]:
    missing = max(vocab_size - len(weight), 0)
    return torch.cat([weight, weight.mean(dim=0, keepdim=True).expand(missing, -1)])


def _require_fit(weights: dict[str, Tensor], own_shapes: Mapping[str, tuple[int, ...]]) -> None:
    misshapen = [
        f"{name} {tuple(weights[name].shape)} instead of {shape}"
        for name, shape in own_shapes.items()
        if name in weights and tuple(weights[name].shape) != shape
    ]
    found = {
        "missing": sorted(own_shapes.keys() - weights.keys()),
        "unexpected": sorted(weights.keys() - own_shapes.keys()),
        "misshapen": misshapen,
    }
    parts = [f"{len(keys)} {kind}: {', '.join(keys[:10])}" for kind, keys in found.items() if keys]
    if parts:
        raise CheckpointMismatch(
            f"The language weights do not fit the configuration. {'; '.join(parts)}. "
            "Choose the parent's sizes in the configuration, or other weights."
        )
