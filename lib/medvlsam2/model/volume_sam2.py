"""SAM 2 for the slices of a volume, with a text token among its sparse prompts.

Built from the ``sam2`` package's own ``SAM2Base``: encoders, memory and weights are SAM 2's. One thing is ours: the
[SEG] token is appended to the sparse prompts of a slice (as Sa2VA does). Where a preset asks for it, there are two
more: the similarity of that token to the pixel features is added to the mask logits (as SegVol's decoder does) and,
where it is highest, to the object score; and clicks and boxes are also drawn as a mask prompt. Without them, and
without a text token, the result is SAM 2's own (``tests/contract/test_sam2_identity.py``).

In this module a position in a slice is ``_xy`` in pixels of SAM 2's square input. The half pixel is added by SAM 2's
prompt encoder itself (sam2: modeling/sam/prompt_encoder.py), so pixel centres are integers here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from sam2.modeling.sam2_base import NO_OBJ_SCORE, SAM2Base
from torch import Tensor, nn

from medvlsam2.model.drawn_prompts import draw_prompts
from medvlsam2.model.slice_memory import SliceMemory

EVIDENCE_PIXELS = 16
"""Mask pixels whose mean similarity to the words votes on whether the object is on a slice."""


@dataclass(frozen=True)
class SliceFeatures:
    """What the image encoder makes of n slices; computed once, used by every prompt."""

    embedding: Float[Tensor, "n c h w"]
    high_res_0: Float[Tensor, "n c0 h4 w4"]
    high_res_1: Float[Tensor, "n c1 h2 w2"]

    def select(self, index: Int[Tensor, " b"]) -> SliceFeatures:
        """Features of the slices at ``index``; one slice may be taken several times."""
        return SliceFeatures(self.embedding[index], self.high_res_0[index], self.high_res_1[index])

    def __len__(self) -> int:
        return self.embedding.shape[0]


@dataclass(frozen=True)
class SlicePrompts:
    """Geometric prompts of a batch of objects, each on its own slice; every object has the same number of points."""

    points_xy: Float[Tensor, "b p 2"] | None = None
    """Clicks and box corners, in pixels of SAM 2's input; corners come first."""
    point_labels: Int[Tensor, "b p"] | None = None
    """1 positive, 0 negative, 2 and 3 upper left and lower right corner of a box, -1 padding."""
    mask_logits: Float[Tensor, "b 1 m m"] | None = None
    """A mask to start from, as logits on SAM 2's low-resolution mask grid."""

    def sam2_points(self) -> dict[str, Tensor] | None:
        """In the form that sam2 takes."""
        if self.points_xy is None or self.point_labels is None:
            return None
        return {"point_coords": self.points_xy, "point_labels": self.point_labels.to(torch.int32)}


@dataclass(frozen=True)
class SliceMasks:
    """What the mask decoder says of a batch of objects, each on its slice."""

    mask_logits: Float[Tensor, "b 1 m m"]
    """Logits of the chosen mask, NOT gated by the object score."""
    iou: Float[Tensor, "b 1"]
    """Predicted IoU of that mask."""
    object_score_logits: Float[Tensor, "b 1"]
    """Positive: the object is on this slice."""
    obj_ptr: Float[Tensor, "b c"]
    """Object pointer for the memory."""

    def gated_logits(self) -> Float[Tensor, "b 1 m m"]:
        """SAM 2's hard choice: where the object score says absent, the mask is empty."""
        present = self.object_score_logits[:, :, None, None] > 0
        return torch.where(present, self.mask_logits, NO_OBJ_SCORE)


class TextSimilarity(nn.Module):
    """Adds ``linear(token) · pixel features`` of three resolutions to mask logits (SegVol: mask_decoder.py).

    The two biases say how much similarity is enough, for a pixel and for a slice; they are fitted after training
    (``training/calibrate.py``).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.to_embedding = nn.Linear(dim, dim)
        self.to_high_res_1 = nn.Linear(dim, dim // 4)
        self.to_high_res_0 = nn.Linear(dim, dim // 8)
        self.mask_bias = nn.Parameter(torch.zeros(1))
        self.score_bias = nn.Parameter(torch.zeros(1))

    def forward(self, token: Float[Tensor, "b c"], features: SliceFeatures) -> Float[Tensor, "b 1 m m"]:
        """Similarity map at the resolution of the masks."""
        coarse = _dot(self.to_embedding(token), features.embedding)
        middle = _dot(self.to_high_res_1(token), features.high_res_1)
        fine = _dot(self.to_high_res_0(token), features.high_res_0)
        return fine + _resize(middle, fine.shape[-1]) + _resize(coarse, fine.shape[-1])


class VolumeSAM2(SAM2Base):
    """SAM 2 whose prompts may hold a text token.

    Args:
        text_similarity: whether the similarity term is part of this model.
        standardised_features: whether slice features keep one scale. A trunk that learns from scratch lets them grow,
            and they drown what the mask decoder adds to them.
        drawn_prompts: whether clicks and boxes are also drawn as a mask prompt, where none is given.
        sam2_arguments: keyword arguments of ``sam2``'s ``SAM2Base``, its sub-modules among them.
    """

    def __init__(
        self,
        *,
        text_similarity: bool,
        drawn_prompts: bool,
        standardised_features: bool,
        sam2_arguments: dict[str, object],
    ) -> None:
        super().__init__(**sam2_arguments)
        self.text_similarity = TextSimilarity(self.hidden_dim) if text_similarity else None
        self.drawn_prompts = drawn_prompts
        self.standardised_features = standardised_features

    @property
    def mask_size(self) -> int:
        """Side of a low-resolution mask in pixels."""
        return 4 * self.sam_image_embedding_size

    def encode_slices(self, slices: Float[Tensor, "n 3 s s"]) -> SliceFeatures:
        """Image features of normalised slices."""
        fpn = self.forward_image(slices)["backbone_fpn"]
        if self.standardised_features:
            fpn = [_standardised(level) for level in fpn]
        return SliceFeatures(embedding=fpn[-1], high_res_0=fpn[0], high_res_1=fpn[1])

    def predict(
        self,
        embedding: Float[Tensor, "b c h w"],
        features: SliceFeatures,
        prompts: SlicePrompts,
        text_token: Float[Tensor, "b c"] | None,
        *,
        multimask: bool,
    ) -> SliceMasks:
        """Prompt encoder and mask decoder on one slice per object.

        Args:
            embedding: image embedding, conditioned on memory or with the no-memory embedding added.
            features: the same slices' features as encoded.
            prompts: clicks, box corners, mask.
            text_token: projected hidden state at [SEG], one per object.
            multimask: whether to choose the best of three masks.
        """
        sparse, dense = self._embed_prompts(prompts, embedding)
        if text_token is not None:
            # b p c ++ b 1 c -> b p+1 c
            sparse = torch.cat([sparse, text_token[:, None]], dim=1)
        masks, ious, tokens, score = self.sam_mask_decoder(
            image_embeddings=embedding,
            image_pe=self.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            repeat_image=False,
            high_res_features=[features.high_res_0, features.high_res_1],
        )
        if text_token is not None and self.text_similarity is not None:
            similarity = self.text_similarity(text_token, features)
            masks = masks + similarity + self.text_similarity.mask_bias
            score = score + _evidence(similarity) + self.text_similarity.score_bias
        best = ious.argmax(dim=-1) if multimask else torch.zeros_like(score[:, 0], dtype=torch.long)
        rows = torch.arange(len(best), device=best.device)
        token = tokens[rows, best] if tokens.shape[1] > 1 else tokens[:, 0]
        return SliceMasks(
            mask_logits=masks[rows, best][:, None].float(),
            iou=ious[rows, best][:, None],
            object_score_logits=score,
            obj_ptr=self._object_pointer(token, score),
        )

    def without_memory(self, features: SliceFeatures) -> Float[Tensor, "b c h w"]:
        """Image embedding of a slice that no memory conditions (sam2: ``directly_add_no_mem_embed``)."""
        return features.embedding + self.no_mem_embed.view(1, -1, 1, 1)

    def with_memory(
        self, features: SliceFeatures, memory: SliceMemory, index: int, *, reverse: bool
    ) -> Float[Tensor, "b c h w"]:
        """Image embedding conditioned on the memory of each object.

        Args:
            features: one slice per object.
            memory: what was seen of these objects on other slices.
            index: slice number in the memory's own counting.
            reverse: True while going towards lower numbers.
        """
        flat = features.embedding.flatten(2).permute(2, 0, 1)  # b c h w -> hw b c
        position = self.image_encoder.neck.position_encoding(features.embedding).to(flat.dtype)
        return self._prepare_memory_conditioned_features(
            frame_idx=index,
            is_init_cond_frame=False,
            current_vision_feats=[flat],
            current_vision_pos_embeds=[position.flatten(2).permute(2, 0, 1)],
            feat_sizes=[features.embedding.shape[-2:]],
            output_dict=memory.output_dict(reverse=reverse),
            num_frames=memory.num_slices,
            track_in_reverse=reverse,
        )

    def remember(self, features: SliceFeatures, masks: SliceMasks, *, prompted: bool) -> dict[str, object]:
        """Encode a slice and its mask into one entry of a :class:`SliceMemory`."""
        flat = features.embedding.flatten(2).permute(2, 0, 1)
        size = (self.image_size, self.image_size)
        high_res = F.interpolate(masks.gated_logits(), size=size, mode="bilinear", align_corners=False)
        maskmem_features, maskmem_pos_enc = self._encode_new_memory(
            current_vision_feats=[flat],
            feat_sizes=[features.embedding.shape[-2:]],
            pred_masks_high_res=high_res,
            object_score_logits=masks.object_score_logits,
            is_mask_from_pts=prompted,
        )
        if not self.training:
            maskmem_features = maskmem_features.to(torch.bfloat16)
        return {
            "maskmem_features": maskmem_features,
            "maskmem_pos_enc": maskmem_pos_enc,
            "obj_ptr": masks.obj_ptr,
        }

    def uses_multimask(self, prompts: SlicePrompts, *, conditioning: bool) -> bool:
        """SAM 2's rule: several candidates for an ambiguous prompt, one mask for a clear one."""
        return bool(self._use_multimask(conditioning, prompts.sam2_points()))

    def _embed_prompts(self, prompts: SlicePrompts, embedding: Tensor) -> tuple[Tensor, Tensor]:
        batch = embedding.shape[0]
        points = prompts.sam2_points()
        if points is None:
            coords = torch.zeros(batch, 1, 2, device=embedding.device)
            labels = -torch.ones(batch, 1, dtype=torch.int32, device=embedding.device)
        else:
            coords, labels = points["point_coords"], points["point_labels"]
        masks = prompts.mask_logits
        if masks is None and points is not None and self.drawn_prompts:
            masks = draw_prompts(coords, labels, image_size=self.image_size, mask_size=self.mask_size)
        sparse, dense = self.sam_prompt_encoder(points=(coords, labels), boxes=None, masks=masks)
        return sparse, dense

    def _object_pointer(self, token: Tensor, score: Tensor) -> Tensor:
        present = (score > 0).float()
        pointer = self.obj_ptr_proj(token)
        return present * pointer + (1 - present) * self.no_obj_ptr


def _evidence(similarity: Tensor) -> Tensor:
    """How similar the most similar pixels are; the same evidence that the mask gets."""
    flat = similarity.flatten(1)
    return flat.topk(min(EVIDENCE_PIXELS, flat.shape[1]), dim=1).values.mean(dim=1, keepdim=True)


def _dot(token: Tensor, features: Tensor) -> Tensor:
    """B c · b c h w -> b 1 h w, scaled as attention is."""
    return torch.einsum("bc,bchw->bhw", token, features)[:, None] / token.shape[-1] ** 0.5


def _standardised(features: Tensor) -> Tensor:
    """Mean 0 and deviation 1 over the channels of each pixel."""
    return F.layer_norm(features.movedim(1, -1), features.shape[1:2]).movedim(-1, 1)


def _resize(logits: Tensor, size: int) -> Tensor:
    return F.interpolate(logits, size=(size, size), mode="bilinear", align_corners=False)
