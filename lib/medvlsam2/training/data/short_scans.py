"""Scans as a shorter one would show them: scans of few slices are common at work and rare among training scans."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

SHORT_SHARE: Final = 0.25
"""Share of the scans that are shortened. Without it, the token of the liver was learnt for whole scans alone: on
DCMQI_3slice, of 3 mm, the Dice of the liver fell from 0.85 with the teacher's token to 0.68 in a trial. The last 27
minutes of the shipped model's training had it, which did not yet close the gap (``docs/experiments.md``)."""


def sometimes_shortened(whole: Float[Tensor, "1 d h w"], rng: np.random.Generator) -> Float[Tensor, "1 d h w"]:
    """Some neighbouring slices of a scan in place of all, in a share of the calls.

    Args:
        whole: the 3-D encoder's input.
        rng: decides whether and where; a length is as likely as its double.
    """
    if rng.random() >= SHORT_SHARE:
        return whole
    depth = whole.shape[1]
    count = round(float(np.exp(rng.uniform(0, np.log(depth)))))
    first = int(rng.integers(depth - count + 1))
    return stretched(whole[:, first : first + count], depth)


def stretched(part: Float[Tensor, "1 n h w"], depth: int) -> Float[Tensor, "1 d h w"]:
    """The 3-D encoder's input of a scan that has these slices alone, by the rule of ``transforms.prepare``."""
    _, _, height, width = part.shape
    return F.adaptive_avg_pool1d(part[0].flatten(1).T, depth).T.reshape(1, depth, height, width)
