"""SAM 2 for the slices of a volume, with a text token among its sparse prompts.

Built from the ``sam2`` package's own ``SAM2Base``: encoders, memory and weights are SAM 2's. One thing is ours: the
[SEG] token is appended to the sparse prompts of a slice (as Sa2VA does). A preset may ask for three more: (1) the
similarity of that token to the pixel features is added to the mask logits (as in SegVol's decoder), and the similarity
of the most similar pixels is added to the object score; (2) clicks, boxes and that similarity are also given as a mask
prompt; (3) objects without words get a token from the pixels under their prompts. Without these three, and without a
text token, the result is SAM 2's own (``tests/contract/model/test_sam2_identity.py``).

In this module a position in a slice is ``_xy`` in pixels of SAM 2's square input. The half pixel is added by SAM 2's
prompt encoder itself (sam2: modeling/sam/prompt_encoder.py), so pixel centres are integers here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from sam2.modeling.sam2_base import NO_OBJ_SCORE, SAM2Base
from torch import Tensor

from medvlsam2.model.device.cuda_graphs import Runner, run_plainly
from medvlsam2.model.pixel_decoder.drawn_prompts import draw_prompts
from medvlsam2.model.pixel_decoder.slice_memory import SliceMemory
from medvlsam2.model.pixel_decoder.text_similarity import Pointing, TextSimilarity, evidence
from medvlsam2.model.pixel_decoder.visual_token import VisualToken

MAX_PROMPT_LOGIT = 8.0
"""The similarity is clamped to plus or minus this value before it becomes a mask prompt.

The logits of SAM 2's own mask prompts are plus or minus 10; a logit of 8 is a probability of 0.9997."""


@dataclass(frozen=True)
class SliceFeatures:
    """Features of n slices from the image encoder; computed once and used by every prompt."""

    embedding: Float[Tensor, "n c h w"]
    high_res_0: Float[Tensor, "n c0 h4 w4"]
    high_res_1: Float[Tensor, "n c1 h2 w2"]

    def select(self, index: Int[Tensor, " b"]) -> SliceFeatures:
        """Features of the slices at ``index``; one slice may be taken several times."""
        return SliceFeatures(self.embedding[index], self.high_res_0[index], self.high_res_1[index])

    @staticmethod
    def joined(parts: Sequence[SliceFeatures]) -> SliceFeatures:
        """Features of all parts, one after the other."""
        return SliceFeatures(
            torch.cat([part.embedding for part in parts]),
            torch.cat([part.high_res_0 for part in parts]),
            torch.cat([part.high_res_1 for part in parts]),
        )

    @property
    def levels(self) -> tuple[Float[Tensor, "n _ _ _"], ...]:
        """All resolutions, coarse to fine."""
        return self.embedding, self.high_res_1, self.high_res_0

    @property
    def device(self) -> torch.device:
        """Where the features lie."""
        return self.embedding.device

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
    """Output of the mask decoder for a batch of objects, each on its slice."""

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


class VolumeSAM2(SAM2Base):
    """SAM 2 whose prompts may hold a text token.

    Args:
        text_similarity: whether the similarity term is part of this model.
        standardised_features: whether slice features are scaled to mean 0 and deviation 1. In a trunk that learns from
            scratch they grow, until what the mask decoder adds to them is too small to have an effect.
        drawn_prompts: whether clicks, boxes and similarity are also given as a mask prompt, where none is given.
        visual_tokens: whether objects without words may get a token from the pixels under their prompts.
        sam2_arguments: keyword arguments of ``sam2``'s ``SAM2Base``, its sub-modules among them.
    """

    def __init__(
        self,
        *,
        text_similarity: bool,
        drawn_prompts: bool,
        standardised_features: bool,
        visual_tokens: bool,
        sam2_arguments: dict[str, object],
    ) -> None:
        super().__init__(**sam2_arguments)
        self.text_similarity = TextSimilarity(self.hidden_dim) if text_similarity else None
        self.visual_tokens = VisualToken(self.hidden_dim) if visual_tokens else None
        self.drawn_prompts = drawn_prompts
        self.standardised_features = standardised_features
        self.run: Runner = run_plainly

    def run_with(self, runner: Runner) -> None:
        """Set the runner of the model's steps, such as CUDA graphs."""
        self.run = self.memory_attention.run = runner

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
        pointing: Pointing | None = None,
    ) -> SliceMasks:
        """Prompt encoder and mask decoder on one slice per object.

        Args:
            embedding: image embedding, conditioned on memory or with the no-memory embedding added.
            features: the same slices' features as encoded.
            prompts: clicks, box corners, mask.
            text_token: projected hidden state at [SEG], one per object.
            multimask: whether to choose the best of three masks.
            pointing: how the objects are asked for, here or on other slices; by default "box" where anything is drawn
                here, else "words".
        """
        drawn_here = prompts.points_xy is not None or prompts.mask_logits is not None
        decoded = self.run(
            self._decode,
            embedding,
            *(features.embedding, features.high_res_0, features.high_res_1),
            *(prompts.points_xy, prompts.point_labels, prompts.mask_logits),
            text_token,
            multimask=multimask,
            pointing=pointing or ("box" if drawn_here else "words"),
        )
        return SliceMasks(*decoded)

    def draw(self, points_xy: Float[Tensor, "b p 2"], point_labels: Int[Tensor, "b p"]) -> Float[Tensor, "b 1 m m"]:
        """Clicks and box corners as a mask prompt."""
        return draw_prompts(points_xy, point_labels, image_size=self.image_size, mask_size=self.mask_size)

    def visual_token(self, features: SliceFeatures, prompts: SlicePrompts) -> Float[Tensor, "b c"] | None:
        """The token that replaces [SEG] for objects without words; None where the preset has no such token.

        Args:
            features: one prompted slice per object.
            prompts: its clicks and box corners.
        """
        if self.visual_tokens is None or prompts.points_xy is None or prompts.point_labels is None:
            return None
        token: Tensor = self.visual_tokens(features.levels, self.draw(prompts.points_xy, prompts.point_labels))
        return token

    def without_memory(self, features: SliceFeatures) -> Float[Tensor, "b c h w"]:
        """Image embedding of a slice that no memory conditions (sam2: ``directly_add_no_mem_embed``)."""
        return features.embedding + self.no_mem_embed.view(1, -1, 1, 1)

    def with_memory(self, features: SliceFeatures, memory: SliceMemory, index: int) -> Float[Tensor, "b c h w"]:
        """Image embedding conditioned on the memory of each object.

        Args:
            features: one slice per object.
            memory: entries of these objects on other slices.
            index: slice number in the memory's own counting.
        """
        flat = features.embedding.flatten(2).permute(2, 0, 1)  # b c h w -> hw b c
        position = self.image_encoder.neck.position_encoding(features.embedding).to(flat.dtype)
        return self._prepare_memory_conditioned_features(
            frame_idx=index,
            is_init_cond_frame=False,
            current_vision_feats=[flat],
            current_vision_pos_embeds=[position.flatten(2).permute(2, 0, 1)],
            feat_sizes=[features.embedding.shape[-2:]],
            output_dict=memory.output_dict(),
            num_frames=memory.num_slices,
        )

    def remember(self, features: SliceFeatures, masks: SliceMasks, *, prompted: bool) -> dict[str, object]:
        """Encode a slice and its mask into one entry of a :class:`SliceMemory`."""
        maskmem_features, *maskmem_pos_enc = self.run(
            self._encode, features.embedding, masks.gated_logits(), masks.object_score_logits, prompted=prompted
        )
        return {
            "maskmem_features": maskmem_features,
            "maskmem_pos_enc": maskmem_pos_enc,
            "obj_ptr": masks.obj_ptr,
        }

    def uses_multimask(self, prompts: SlicePrompts, *, conditioning: bool) -> bool:
        """SAM 2's rule: several candidates for an ambiguous prompt, one mask for a clear one."""
        return bool(self._use_multimask(conditioning, prompts.sam2_points()))

    def _decode(
        self,
        embedding: Float[Tensor, "b c h w"],
        *given: Tensor | None,
        multimask: bool,
        pointing: Pointing,
    ) -> tuple[Tensor, ...]:
        """Fields of the masks, from the embedding, fields of the features and of the prompts, and the text token."""
        features, prompts, text_token = _features(given[:3]), SlicePrompts(*given[3:6]), given[6]
        similarity = None
        if text_token is not None and self.text_similarity is not None:
            similarity = self.text_similarity(text_token, features.levels) + self.text_similarity.mask_bias
        sparse, dense = self._embed_prompts(prompts, embedding, similarity)
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
        if similarity is not None and self.text_similarity is not None:
            masks = self.text_similarity.combine(masks, similarity, pointing=pointing)
            score = score + evidence(similarity - self.text_similarity.mask_bias) + self.text_similarity.score_bias
        best = ious.argmax(dim=-1) if multimask else torch.zeros_like(score[:, 0], dtype=torch.long)
        rows = torch.arange(len(best), device=best.device)
        token = tokens[rows, best] if tokens.shape[1] > 1 else tokens[:, 0]
        return masks[rows, best][:, None].float(), ious[rows, best][:, None], score, self._object_pointer(token, score)

    def _encode(
        self,
        embedding: Float[Tensor, "b c h w"],
        gated_logits: Float[Tensor, "b 1 m m"],
        object_score_logits: Float[Tensor, "b 1"],
        *,
        prompted: bool,
    ) -> tuple[Tensor, ...]:
        """A memory's features and position codes."""
        flat = embedding.flatten(2).permute(2, 0, 1)
        size = (self.image_size, self.image_size)
        maskmem_features, maskmem_pos_enc = self._encode_new_memory(
            current_vision_feats=[flat],
            feat_sizes=[embedding.shape[-2:]],
            pred_masks_high_res=F.interpolate(gated_logits, size=size, mode="bilinear", align_corners=False),
            object_score_logits=object_score_logits,
            is_mask_from_pts=prompted,
        )
        if not self.training:
            maskmem_features = maskmem_features.to(torch.bfloat16)
        return maskmem_features, *maskmem_pos_enc

    def _embed_prompts(
        self, prompts: SlicePrompts, embedding: Tensor, similarity: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        batch = embedding.shape[0]
        points = prompts.sam2_points()
        if points is None:
            coords = torch.zeros(batch, 1, 2, device=embedding.device)
            labels = -torch.ones(batch, 1, dtype=torch.int32, device=embedding.device)
        else:
            coords, labels = points["point_coords"], points["point_labels"]
        masks = prompts.mask_logits
        if self.drawn_prompts and masks is None and points is not None:
            masks = self.draw(coords, labels)
        if self.drawn_prompts and similarity is not None:
            shown = similarity.detach().float().clamp(-MAX_PROMPT_LOGIT, MAX_PROMPT_LOGIT)
            masks = shown if masks is None else masks + shown
        sparse, dense = self.sam_prompt_encoder(points=(coords, labels), boxes=None, masks=masks)
        return sparse, dense

    def _object_pointer(self, token: Tensor, score: Tensor) -> Tensor:
        present = (score > 0).float()
        pointer = self.obj_ptr_proj(token)
        return present * pointer + (1 - present) * self.no_obj_ptr


def _features(levels: Sequence[Tensor | None]) -> SliceFeatures:
    embedding, high_res_0, high_res_1 = levels
    assert embedding is not None
    assert high_res_0 is not None
    assert high_res_1 is not None
    return SliceFeatures(embedding, high_res_0, high_res_1)


def _standardised(features: Tensor) -> Tensor:
    """Mean 0 and deviation 1 over the channels of each pixel."""
    return F.layer_norm(features.movedim(1, -1), features.shape[1:2]).movedim(-1, 1)
