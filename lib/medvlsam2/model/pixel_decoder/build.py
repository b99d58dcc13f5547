"""Assembles ``sam2``'s modules into a :class:`VolumeSAM2` from a :class:`Sam2Config`.

The values that all SAM 2.1 models share are constants here (sam2: configs/sam2.1/*.yaml); the values that differ
between sizes come from the configuration. With ``trunk="hiera"`` the state dict has SAM 2.1's keys, and checkpoints of
SAM 2.1 and MedSAM2 load strictly.
"""

from __future__ import annotations

import math

from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.memory_attention import MemoryAttentionLayer
from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
from sam2.modeling.sam.transformer import RoPEAttention

from medvlsam2.config import Sam2Config
from medvlsam2.errors import InvalidConfig
from medvlsam2.model.pixel_decoder.conv_trunk import ConvTrunk
from medvlsam2.model.pixel_decoder.memory_attention import SliceMemoryAttention
from medvlsam2.model.pixel_decoder.position_init import attend_to_own_place
from medvlsam2.model.pixel_decoder.shared_position import SharedPositionEmbedding
from medvlsam2.model.pixel_decoder.volume_sam2 import VolumeSAM2

_SAM21_ARGUMENTS: dict[str, object] = {
    "sigmoid_scale_for_mem_enc": 20.0,
    "sigmoid_bias_for_mem_enc": -10.0,
    "use_mask_input_as_output_without_sam": True,
    "directly_add_no_mem_embed": True,
    "no_obj_embed_spatial": True,
    "use_high_res_features_in_sam": True,
    "iou_prediction_use_sigmoid": True,
    "use_obj_ptrs_in_encoder": True,
    "add_tpos_enc_to_obj_ptrs": True,
    "proj_tpos_enc_in_obj_ptrs": True,
    "use_signed_tpos_enc_to_obj_ptrs": True,
    "only_obj_ptrs_in_the_past_for_eval": True,
    "pred_obj_scores": True,
    "pred_obj_scores_mlp": True,
    "fixed_no_obj_ptr": True,
    "multimask_output_for_tracking": True,
    "use_multimask_token_for_obj_ptr": True,
    "multimask_min_pt_num": 0,
    "multimask_max_pt_num": 1,
    "use_mlp_for_obj_ptr_proj": True,
    "binarize_mask_from_pts_for_mem_enc": True,
    "compile_image_encoder": False,
}
_STABILITY = {
    "dynamic_multimask_via_stability": True,
    "dynamic_multimask_stability_delta": 0.05,
    "dynamic_multimask_stability_thresh": 0.98,
}


def build_sam2(config: Sam2Config) -> VolumeSAM2:
    """A :class:`VolumeSAM2` with random weights.

    Raises:
        InvalidConfig: if the input side is not a multiple of the coarsest level's stride.
    """
    coarsest_stride = 2 * config.backbone_stride
    if config.image_size % coarsest_stride:
        raise InvalidConfig(
            f"image_size {config.image_size} is not a multiple of {coarsest_stride} (twice backbone_stride). "
            "Change one of them."
        )
    model = VolumeSAM2(
        text_similarity=config.text_similarity,
        drawn_prompts=config.drawn_prompts,
        standardised_features=config.standardised_features,
        visual_tokens=config.visual_tokens,
        sam2_arguments={
            **_SAM21_ARGUMENTS,
            "image_encoder": _image_encoder(config),
            "memory_attention": _memory_attention(config),
            "memory_encoder": _memory_encoder(config),
            "num_maskmem": config.num_maskmem,
            "image_size": config.image_size,
            "backbone_stride": config.backbone_stride,
            "max_cond_frames_in_attn": config.max_cond_frames_in_attn,
            "multimask_output_in_sam": config.multimask_output,
            "sam_mask_decoder_extra_args": _STABILITY if config.multimask_output else None,
        },
    )
    if config.trunk == "conv":
        attend_to_own_place(model.sam_mask_decoder)
    return model


def _image_encoder(config: Sam2Config) -> ImageEncoder:
    trunk: Hiera | ConvTrunk
    if config.trunk == "hiera":
        trunk = Hiera(
            embed_dim=config.hiera_embed_dim,
            num_heads=config.hiera_num_heads,
            stages=config.hiera_stages,
            global_att_blocks=config.hiera_global_att_blocks,
            window_pos_embed_bkg_spatial_size=config.hiera_window_pos_embed_bkg_spatial_size,
            window_spec=config.hiera_window_spec,
        )
    else:
        trunk = ConvTrunk(
            config.conv_channels,
            config.conv_depths,
            config.conv_decoder_depths,
            stem_stride=config.backbone_stride // 4,
        )
    channels: list[int] = trunk.channel_list
    neck = FpnNeck(
        position_encoding=SharedPositionEmbedding(config.hidden_dim, normalize=True),
        d_model=config.hidden_dim,
        backbone_channel_list=channels,
        fpn_top_down_levels=_top_down_levels(config),
        fpn_interp_model="nearest",
    )
    return ImageEncoder(trunk=trunk, neck=neck, scalp=len(channels) - 3)


def _top_down_levels(config: Sam2Config) -> list[int] | None:
    """Levels that SAM 2's neck adds to the finer levels; None: all of them. A trunk with a decoder path needs none."""
    if config.trunk == "hiera":
        return [2, 3]
    return [] if config.conv_decoder_depths else None


def _memory_attention(config: Sam2Config) -> SliceMemoryAttention:
    side = config.image_size // config.backbone_stride
    layer = MemoryAttentionLayer(
        activation="relu",
        dim_feedforward=config.memory_mlp_dim,
        dropout=_dropout(config),
        pos_enc_at_attn=False,
        self_attention=_rope_attention(config, side, kv_in_dim=config.hidden_dim),
        d_model=config.hidden_dim,
        pos_enc_at_cross_attn_keys=True,
        pos_enc_at_cross_attn_queries=False,
        cross_attention=_rope_attention(config, side, kv_in_dim=config.memory_dim, rope_k_repeat=True),
    )
    return SliceMemoryAttention(
        d_model=config.hidden_dim, pos_enc_at_input=True, layer=layer, num_layers=config.memory_layers
    )


def _rope_attention(config: Sam2Config, side: int, *, kv_in_dim: int, rope_k_repeat: bool = False) -> RoPEAttention:
    return RoPEAttention(
        rope_theta=10000.0,
        feat_sizes=(side, side),
        rope_k_repeat=rope_k_repeat,
        embedding_dim=config.hidden_dim,
        num_heads=1,
        downsample_rate=1,
        dropout=_dropout(config),
        kv_in_dim=kv_in_dim,
    )


def _dropout(config: Sam2Config) -> float:
    """SAM 2's dropout in the memory attention; none for the small model, where it costs time and capacity."""
    return 0.1 if config.trunk == "hiera" else 0.0


def _memory_encoder(config: Sam2Config) -> MemoryEncoder:
    dim = config.hidden_dim
    return MemoryEncoder(
        out_dim=config.memory_dim,
        in_dim=dim,
        position_encoding=SharedPositionEmbedding(config.memory_dim, normalize=True),
        mask_downsampler=MaskDownSampler(
            embed_dim=dim,
            kernel_size=3,
            stride=2,
            padding=1,
            total_stride=2 ** int(math.log2(config.backbone_stride)),
        ),
        fuser=Fuser(
            CXBlock(dim=dim, kernel_size=7, padding=3, layer_scale_init_value=1e-6, use_dwconv=True),
            num_layers=2,
        ),
    )
