"""The one place with sizes: named presets, and assembly of a model from its configuration.

``tiny_random`` for tests (seconds on a CPU, from a seed), ``nano`` (shipped; learns from scratch on a CPU), ``small``
(``nano`` with SmolLM2-135M as its language model), ``base`` (M3D-CLIP, InternVL2.5-1B's language model, SAM 2.1-tiny at
512 as MedSAM2 has it) and ``large`` (InternVL2.5-8B's language model, SAM 2.1-large at 1024). ``base`` and ``large``
start from their parents' weights.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from medvlsam2.config import LanguageConfig, ModelConfig, ProjectorConfig, Sam2Config, ViT3DConfig
from medvlsam2.errors import InvalidConfig, nearest_hint
from medvlsam2.model.language.model import LanguageModel
from medvlsam2.model.language.special_tokens import SpecialTokens
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.model.pixel_decoder.build import build_sam2
from medvlsam2.model.volume_encoder.linear_projector import LinearProjector
from medvlsam2.model.volume_encoder.mixer_projector import MixerProjector
from medvlsam2.model.volume_encoder.vit3d import ViT3D

TINY_RANDOM = ModelConfig(
    model_id="medvlsam2-tiny-random",
    vit=ViT3DConfig(
        image_size_dhw=(8, 32, 32),
        patch_size_dhw=(4, 8, 8),
        hidden_size=32,
        mlp_dim=64,
        num_layers=2,
        num_heads=2,
    ),
    projector=ProjectorConfig(num_tokens=8, depth=2),
    language=LanguageConfig(
        vocab_size=320,
        hidden_size=32,
        intermediate_size=64,
        num_layers=2,
        num_heads=2,
        num_kv_heads=1,
        max_position_embeddings=1024,
        lora_rank=4,
        lora_alpha=8,
        lora_dropout=0.0,
    ),
    sam2=Sam2Config(
        trunk="conv",
        image_size=64,
        backbone_stride=8,
        hidden_dim=32,
        memory_dim=16,
        memory_layers=1,
        memory_mlp_dim=64,
        num_maskmem=3,
        max_cond_frames_in_attn=4,
        conv_channels=(8, 16, 32, 32),
        conv_depths=(1, 1, 1, 1),
        conv_decoder_depths=(1, 1, 1),
        neighbour_slices=True,
        neighbour_mm=3.0,
        multimask_output=False,
        standardised_features=True,
        drawn_prompts=True,
        text_similarity=True,
        visual_tokens=True,
    ),
)

NANO = ModelConfig(
    model_id="medvlsam2-nano",
    vit=ViT3DConfig(
        image_size_dhw=(32, 128, 128),
        patch_size_dhw=(4, 16, 16),
        hidden_size=192,
        mlp_dim=768,
        num_layers=4,
        num_heads=4,
    ),
    projector=ProjectorConfig(num_tokens=64, depth=2),
    language=LanguageConfig(
        vocab_size=3072,
        hidden_size=256,
        intermediate_size=768,
        num_layers=4,
        num_heads=4,
        num_kv_heads=2,
        max_position_embeddings=2048,
        lora_rank=16,
        lora_alpha=32,
        lora_dropout=0.0,
    ),
    sam2=Sam2Config(
        trunk="conv",
        image_size=256,
        backbone_stride=8,
        hidden_dim=128,
        memory_dim=32,
        memory_layers=2,
        memory_mlp_dim=512,
        num_maskmem=4,
        max_cond_frames_in_attn=4,
        conv_channels=(32, 64, 128, 176),
        conv_depths=(1, 2, 2, 2),
        conv_decoder_depths=(1, 1, 1),
        neighbour_slices=True,
        neighbour_mm=3.0,
        multimask_output=False,
        standardised_features=True,
        drawn_prompts=True,
        text_similarity=True,
        visual_tokens=True,
    ),
)

SMALL = replace(
    NANO,
    model_id="medvlsam2-small",
    language=LanguageConfig(
        architecture="llama",
        base="smollm2-135m-instruct",
        # SmolLM2's own 49,152 and <img>, </img>, <IMG_CONTEXT> and [SEG].
        vocab_size=49_156,
        hidden_size=576,
        intermediate_size=1536,
        num_layers=30,
        num_heads=9,
        num_kv_heads=3,
        max_position_embeddings=8192,
        rope_theta=100_000.0,
        # 3.7 million parameters, 7.3 MB in half precision: with the rest of the model under the folder's 25 MB.
        lora_rank=12,
        lora_alpha=24,
        lora_dropout=0.0,
    ),
)

BASE = ModelConfig(model_id="medvlsam2-base", sam2=Sam2Config(image_size=512))

LARGE = ModelConfig(
    model_id="medvlsam2-large",
    language=LanguageConfig(
        architecture="llama",
        vocab_size=92553,
        hidden_size=4096,
        intermediate_size=14336,
        num_layers=32,
        num_heads=32,
        num_kv_heads=8,
        tie_word_embeddings=False,
        lora_rank=128,
        lora_alpha=256,
    ),
    sam2=Sam2Config(
        hiera_embed_dim=144,
        hiera_num_heads=2,
        hiera_stages=(2, 6, 36, 4),
        hiera_global_att_blocks=(23, 33, 43),
        hiera_window_pos_embed_bkg_spatial_size=(7, 7),
        hiera_window_spec=(8, 4, 16, 8),
    ),
)

PRESETS: dict[str, ModelConfig] = {
    "tiny_random": TINY_RANDOM,
    "nano": NANO,
    "small": SMALL,
    "base": BASE,
    "large": LARGE,
}


def preset(name: str) -> ModelConfig:
    """The configuration of a named size.

    Raises:
        InvalidConfig: on an unknown name.
    """
    if name not in PRESETS:
        raise InvalidConfig(f"Unknown preset '{name}'. {nearest_hint(name, PRESETS)} Allowed are {', '.join(PRESETS)}.")
    return PRESETS[name]


def build(config: ModelConfig, token_ids: SpecialTokens, *, seed: int = 0) -> MedVLSAM2:
    """Assemble a model with random weights drawn from a seed.

    Args:
        config: sizes of every part.
        token_ids: ids of the special tokens in the model's tokenizer.
        seed: of the weights; the caller's random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MedVLSAM2(
            config,
            vit=ViT3D(config.vit),
            projector=_projector(config),
            language=LanguageModel(config.language, token_ids),
            sam2=build_sam2(config.sam2),
        )


def _projector(config: ModelConfig) -> nn.Module:
    in_tokens, in_dim = config.vit.num_patches, config.vit.hidden_size
    out_tokens, out_dim = config.projector.num_tokens, config.language.hidden_size
    if config.projector.kind == "linear":
        return LinearProjector(in_tokens, in_dim, out_tokens, out_dim)
    return MixerProjector(in_tokens, in_dim, out_tokens, out_dim, config.projector.depth)
