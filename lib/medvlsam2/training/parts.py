"""Which parts of the model each stage trains.

A model with parents (Hiera trunk) follows the paper. Stage 1 trains the projector; stage 2 the vision encoder, LoRA and
the projector; stage 3 LoRA, the [SEG] projector, the mask decoder and the memory. The [SEG] projector is trained from
stage 2 on, where requests are told apart. A model without parents (``nano``) learns its language in stage 0, its vision
encoder from stage 1 on, and its image encoder in stage 3.

Stage 4 trains what a pretrained language model has of its own: LoRA, new tokens, the projector and the [SEG] projector.
Vision encoder and pixel decoder are another model's, and stay as they are.
"""

from __future__ import annotations

from medvlsam2.model.medvlsam2 import MedVLSAM2

_SAM2_WITH_PARENT = (
    "sam_mask_decoder.",
    "sam_prompt_encoder.",
    "memory_attention.",
    "memory_encoder.",
    "obj_ptr",
    "maskmem_tpos_enc",
    "no_mem",
    "no_obj",
    "text_similarity.",
)


def set_trainable(model: MedVLSAM2, stage: int) -> None:
    """Freeze everything but what ``stage`` trains."""
    from_scratch = model.config.sam2.trunk == "conv"
    model.requires_grad_(False)
    model.language.set_trainable(base=stage == 0, lora=stage >= 2, new_tokens=stage >= 2)
    model.projector.requires_grad_(stage >= 1)
    model.vit.requires_grad_(stage == 2 or (stage in (1, 3) and from_scratch))
    model.seg_projector.requires_grad_(stage >= 2)
    for name, parameter in model.sam2.named_parameters():
        parameter.requires_grad_(stage == 3 and (from_scratch or name.startswith(_SAM2_WITH_PARENT)))


def set_trainable_for_finetuning(model: MedVLSAM2) -> None:
    """Freeze everything but LoRA, the [SEG] projector and the mask decoder, which annotators' labels may change."""
    model.requires_grad_(False)
    model.language.set_trainable(base=False, lora=True, new_tokens=False)
    model.seg_projector.requires_grad_(True)
    model.sam2.sam_mask_decoder.requires_grad_(True)
