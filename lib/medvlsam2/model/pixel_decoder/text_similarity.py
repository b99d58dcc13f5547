"""The similarity of a [SEG] token to every pixel: where the words meet the image.

Reference: arXiv:2311.13385 (SegVol), whose mask decoder adds such a term to its logits.
"""

from __future__ import annotations

from typing import Final, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Pointing = Literal["words", "clicks", "box"]
"""How an object is asked for: by words alone, by clicks on it, or by a box or a mask, which say how far it goes."""

EVIDENCE_PIXELS: Final = 16
"""Mask pixels whose mean similarity to the words votes on whether the object is on a slice."""


_SHARES: Final[dict[Pointing, float]] = {"words": 0.0, "clicks": 0.5, "box": 1.0}
"""How far each goes from what is fitted for words alone to what is fitted for pointing."""


class TextSimilarity(nn.Module):
    """``linear(token) · pixel features``, summed over three resolutions.

    The two biases say how much similarity is enough, for a pixel and for a slice. How much the mask decoder's logits
    count beside it, and how far the pixel's bias then moves, is fitted after training (``training/calibrate.py``), for
    words alone and for objects that are pointed at; so is how far the slice's bias moves where no decoder is asked. A
    click says where an object is, but not how far it goes, so clicks get the mean of what both get.

    Args:
        dim: width of the image embedding and of prompt tokens.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.to_embedding = nn.Linear(dim, dim)
        self.to_high_res_1 = nn.Linear(dim, dim // 4)
        self.to_high_res_0 = nn.Linear(dim, dim // 8)
        self.mask_bias = nn.Parameter(torch.zeros(1))
        self.score_bias = nn.Parameter(torch.zeros(1))
        self.decoder_weight: Float[Tensor, " 2"]
        self.register_buffer("decoder_weight", torch.ones(2))
        self.bias_shift: Float[Tensor, " 2"]
        self.register_buffer("bias_shift", torch.zeros(2))
        self.evidence_shift: Float[Tensor, " 1"]
        self.register_buffer("evidence_shift", torch.zeros(1))

    def forward(
        self, token: Float[Tensor, "b c"], levels: tuple[Float[Tensor, "b _ _ _"], ...]
    ) -> Float[Tensor, "b 1 m m"]:
        """Similarity map at the finest resolution, one token for one slice.

        Args:
            token: projected state at [SEG].
            levels: features of the token's slice, coarse to fine.
        """
        return self._sum([torch.einsum("bc,bchw->bhw", t, f)[:, None] for t, f in self._pairs(token, levels)])

    @property
    def words_bias(self) -> Float[Tensor, " 1"]:
        """How much similarity is enough for a pixel, by words alone."""
        return self.mask_bias + self.bias_shift[0]

    @property
    def evidence_bias(self) -> Float[Tensor, " 1"]:
        """How much evidence is enough for a slice, where no decoder is asked."""
        return self.score_bias + self.evidence_shift

    @property
    def is_enough_for_words(self) -> bool:
        """Whether the mask decoder has no say in what words alone find."""
        return not self.decoder_weight[0]

    def calibrate(self, combination: tuple[float, float], *, pointed: bool) -> None:
        """Set the decoder's weight and the shift of the pixel's bias."""
        self.decoder_weight[int(pointed)], self.bias_shift[int(pointed)] = combination

    def forget_calibration(self) -> None:
        """Let the decoder and the similarity count alike, as they are trained."""
        for pointed in (False, True):
            self.calibrate((1.0, 0.0), pointed=pointed)
        self.evidence_shift.zero_()

    def combine(
        self, decoded: Float[Tensor, "b n m m"], similarity: Float[Tensor, "b 1 m m"], *, pointing: Pointing
    ) -> Float[Tensor, "b n m m"]:
        """Mask logits of the decoder's and the similarity, which has the pixel's bias.

        Args:
            decoded: the mask decoder's logits.
            similarity: of the same slices.
            pointing: how the objects are asked for.
        """
        share = _SHARES[pointing]
        weight, shift = (torch.lerp(one[0], one[1], share) for one in (self.decoder_weight, self.bias_shift))
        return weight * decoded + similarity + shift

    def of_all(
        self, tokens: Float[Tensor, "k c"], levels: tuple[Float[Tensor, "n _ _ _"], ...]
    ) -> Float[Tensor, "n k m m"]:
        """Similarity maps of every token on every slice."""
        return self.of_each(tokens[None], levels)[0]

    def of_each(
        self, tokens: Float[Tensor, "b k c"], levels: tuple[Float[Tensor, "bn _ _ _"], ...]
    ) -> Float[Tensor, "b n k m m"]:
        """Similarity maps of the tokens of each scan on all of its slices, of which each scan has the same number."""
        count = len(tokens)
        maps = [
            torch.einsum("bkc,bnchw->bnkhw", token, level.unflatten(0, (count, -1))).flatten(0, 1)
            for token, level in self._pairs(tokens, levels)
        ]
        return self._sum(maps).unflatten(0, (count, -1))

    def _pairs(self, token: Tensor, levels: tuple[Tensor, ...]) -> list[tuple[Tensor, Tensor]]:
        projections = (self.to_embedding, self.to_high_res_1, self.to_high_res_0)
        pairs = zip((projection(token) for projection in projections), levels, strict=True)
        return [(projected / projected.shape[-1] ** 0.5, level) for projected, level in pairs]

    def _sum(self, maps: list[Tensor]) -> Tensor:
        size = maps[-1].shape[-2:]
        return sum((_resize(coarse, size) for coarse in maps[:-1]), maps[-1])


def evidence(similarity: Float[Tensor, "b 1 m m"]) -> Float[Tensor, "b 1"]:
    """How similar the most similar pixels are; the same evidence that the mask gets."""
    flat = similarity.flatten(1)
    return flat.topk(min(EVIDENCE_PIXELS, flat.shape[1]), dim=1).values.mean(dim=1, keepdim=True)


def _resize(logits: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
