"""The similarity of a [SEG] token to the features of every pixel.

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
"""The mean over so many most similar mask pixels is the evidence that a slice shows the object.

The mean over all pixels would miss small objects; a single pixel would follow noise."""


_SHARES: Final[dict[Pointing, float]] = {"words": 0.0, "clicks": 0.5, "box": 1.0}
"""Where each lies between the calibration for words alone (0) and that for pointing (1)."""


class TextSimilarity(nn.Module):
    """``linear(token) · pixel features``, summed over three resolutions.

    Two biases are thresholds: ``mask_bias`` for the similarity of a pixel, ``score_bias`` for the evidence of a slice.
    After training, ``training/calibrate.py`` fits the weight of the mask decoder's logits (``decoder_weight``) and a
    shift of the pixel's bias (``bias_shift``), once for words alone and once for objects that are pointed at. It also
    fits a shift of the slice's bias for masks that are found without the decoder (``evidence_shift``). A click says
    where an object is but not how far it extends, so clicks get the mean of both calibrations.

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
        """Bias of a pixel's similarity for words alone: the sum is positive inside the object."""
        return self.mask_bias + self.bias_shift[0]

    @property
    def evidence_bias(self) -> Float[Tensor, " 1"]:
        """Bias of a slice's evidence without the decoder: the sum is positive where the slice shows the object."""
        return self.score_bias + self.evidence_shift

    @property
    def is_enough_for_words(self) -> bool:
        """Whether the mask decoder has weight 0 for words alone, so that it need not be run."""
        return not self.decoder_weight[0]

    def calibrate(self, combination: tuple[float, float], *, pointed: bool) -> None:
        """Set the decoder's weight and the shift of the pixel's bias."""
        self.decoder_weight[int(pointed)], self.bias_shift[int(pointed)] = combination

    def forget_calibration(self) -> None:
        """Give the decoder and the similarity equal weights, as in training."""
        for pointed in (False, True):
            self.calibrate((1.0, 0.0), pointed=pointed)
        self.evidence_shift.zero_()

    def combine(
        self, decoded: Float[Tensor, "b n m m"], similarity: Float[Tensor, "b 1 m m"], *, pointing: Pointing
    ) -> Float[Tensor, "b n m m"]:
        """Mask logits: the weighted sum of the decoder's logits and the similarity.

        Args:
            decoded: the mask decoder's logits.
            similarity: of the same slices, with ``mask_bias`` added.
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
    """The mean similarity of the most similar pixels, which the mask is made of as well."""
    flat = similarity.flatten(1)
    return flat.topk(min(EVIDENCE_PIXELS, flat.shape[1]), dim=1).values.mean(dim=1, keepdim=True)


def _resize(logits: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
