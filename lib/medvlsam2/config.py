"""Configuration as frozen dataclasses; sizes themselves are chosen in ``model/builders.py``.

Each field is followed by its description. ``config.yaml`` beside the weights holds the values as :func:`to_dict` gives
them, and is read by :func:`medvlsam2.strict_reading.read_strictly`, which also checks the ranges written here.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

from annotated_types import Ge, Lt

from medvlsam2.errors import InvalidConfig

Positive: TypeAlias = Annotated[int, Ge(1)]
NotNegative: TypeAlias = Annotated[int, Ge(0)]


@dataclass(frozen=True, kw_only=True)
class ViT3DConfig:
    """The whole-volume encoder (M3D-CLIP's architecture)."""

    image_size_dhw: tuple[Positive, Positive, Positive] = (32, 256, 256)
    """Size of the encoder's input in voxels along depth, height and width."""
    patch_size_dhw: tuple[Positive, Positive, Positive] = (4, 16, 16)
    """Size of one patch in voxels along depth, height and width."""
    hidden_size: Positive = 768
    """Width of a token."""
    mlp_dim: Positive = 3072
    """Width of the hidden layer of each block's MLP."""
    num_layers: NotNegative = 12
    """Number of transformer blocks."""
    num_heads: Positive = 12
    """Number of attention heads in each block."""

    def __post_init__(self) -> None:
        for size, patch in zip(self.image_size_dhw, self.patch_size_dhw, strict=True):
            if size % patch:
                raise InvalidConfig(
                    f"image_size_dhw {self.image_size_dhw} is not a multiple of patch_size_dhw "
                    f"{self.patch_size_dhw} on every axis. Change one of them."
                )
        if self.hidden_size % self.num_heads:
            raise InvalidConfig(f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}.")

    @property
    def num_patches(self) -> int:
        """Number of patch tokens of one volume."""
        d, h, w = (s // p for s, p in zip(self.image_size_dhw, self.patch_size_dhw, strict=True))
        return d * h * w


@dataclass(frozen=True, kw_only=True)
class ProjectorConfig:
    """The projector: from vision tokens to image tokens of the language model's width."""

    kind: Literal["mixer", "linear"] = "mixer"
    """"mixer" is the paper's; "linear" its ablation (Table 6)."""
    num_tokens: Positive = 512
    """Number of image tokens that the language model reads."""
    depth: NotNegative = 2
    """Number of mixer layers."""


@dataclass(frozen=True, kw_only=True)
class LanguageConfig:
    """The causal language model and its LoRA adapter."""

    architecture: Literal["qwen2", "llama"] = "qwen2"
    """Class of the transformers library; weights of InternLM2 are converted to llama."""
    base: str = ""
    """A pretrained base that an installed package brings, e.g. "smollm2-135m-instruct"; it stays frozen and is no part
    of the model folder. Empty: the folder holds all weights."""
    vocab_size: Positive = 151674
    """Rows of the embedding, special tokens included."""
    hidden_size: Positive = 896
    """Width of a token."""
    intermediate_size: Positive = 4864
    """Width of the gated MLP."""
    num_layers: NotNegative = 24
    """Number of decoder layers."""
    num_heads: Positive = 14
    """Number of attention heads."""
    num_kv_heads: Positive = 2
    """Number of key-value heads."""
    max_position_embeddings: Positive = 8192
    """Length of the longest sequence, in tokens."""
    rope_theta: Annotated[float, Ge(1), Lt(math.inf)] = 1_000_000.0
    """Base of the rotary embedding; Qwen2.5 and InternLM2.5 use the default."""
    tie_word_embeddings: bool = True
    """Whether the output layer shares the embedding's weights."""
    lora_rank: Positive = 64
    """LoRA rank r."""
    lora_alpha: Positive = 128
    """LoRA scale: the update is alpha / r · B A."""
    lora_dropout: Annotated[float, Ge(0), Lt(1)] = 0.05
    """Dropout on the adapter's input while training."""


@dataclass(frozen=True, kw_only=True)
class Sam2Config:
    """SAM 2 over slices; defaults are SAM 2.1-tiny's."""

    trunk: Literal["hiera", "conv"] = "hiera"
    """"hiera" loads SAM 2's weights; "conv" learns from scratch on little data."""
    image_size: Positive = 1024
    """Side of the square input in pixels."""
    backbone_stride: Positive = 16
    """Input pixels per pixel of the image embedding; masks come at a quarter of this stride."""
    hidden_dim: Positive = 256
    """Width of the image embedding and of prompt tokens."""
    memory_dim: Positive = 64
    """Width of a spatial memory."""
    memory_layers: NotNegative = 4
    """Layers of the memory attention."""
    memory_mlp_dim: Positive = 2048
    """Width of the hidden layer in the memory attention."""
    num_maskmem: Positive = 7
    """Spatial memories a slice can attend to: conditioning slices plus the nearest others."""
    max_cond_frames_in_attn: Annotated[int, Ge(-1)] = -1
    """At most this many prompted slices are attended to, the nearest first; -1: all of them."""
    hiera_embed_dim: Positive = 96
    """Hiera: width of its first stage."""
    hiera_num_heads: Positive = 1
    """Hiera: heads of its first stage."""
    hiera_stages: tuple[Positive, ...] = (1, 2, 7, 2)
    """Hiera: blocks per stage."""
    hiera_global_att_blocks: tuple[NotNegative, ...] = (5, 7, 9)
    """Hiera: blocks with global attention."""
    hiera_window_pos_embed_bkg_spatial_size: tuple[Positive, Positive] = (7, 7)
    """Hiera: height and width of the background position embedding."""
    hiera_window_spec: tuple[NotNegative, ...] = (8, 4, 14, 7)
    """Hiera: attention window per stage."""
    conv_channels: tuple[Positive, ...] = (32, 64, 128, 192)
    """Conv trunk: channels per level, finest first; the third level is the image embedding's."""
    conv_depths: tuple[NotNegative, ...] = (1, 2, 3, 2)
    """Conv trunk: blocks per level."""
    conv_decoder_depths: tuple[NotNegative, ...] = ()
    """Conv trunk: blocks of the decoder, as in a U-Net, at each level but the coarsest; empty: no decoder."""
    neighbour_slices: bool = False
    """True: the three input channels are a slice and its neighbours; False: grey repeated, as SAM 2's weights need."""
    neighbour_mm: Annotated[float, Ge(0), Lt(math.inf)] = 0.0
    """Distance to these neighbours; it is rounded to whole slices, and is at least one slice."""
    multimask_output: bool = True
    """Whether one click gives three candidate masks, of which the one with the highest predicted IoU is taken."""
    standardised_features: bool = False
    """Whether slice features have mean 0 and deviation 1 over the channels of each pixel; needs training."""
    drawn_prompts: bool = False
    """Whether clicks and boxes are also drawn as a mask prompt; needs training."""
    text_similarity: bool = False
    """Whether [SEG] · pixel features is added to the mask logits (SegVol's decoder); needs training."""
    visual_tokens: bool = False
    """Whether clicks and boxes without words get a token like [SEG] from the pixels they are on; needs training."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The whole of one MedVL-SAM2 model."""

    model_id: str
    """Name of the folder under ``model/``."""
    vit: ViT3DConfig = field(default_factory=ViT3DConfig)
    """Whole-volume encoder."""
    projector: ProjectorConfig = field(default_factory=ProjectorConfig)
    """Projector."""
    language: LanguageConfig = field(default_factory=LanguageConfig)
    """Language model."""
    sam2: Sam2Config = field(default_factory=Sam2Config)
    """Pixel decoder."""


def to_dict(config: Any) -> dict[str, Any]:
    """Plain dictionary of a configuration dataclass, tuples as lists (for YAML)."""
    return {key: _plain(value) for key, value in asdict(config).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
