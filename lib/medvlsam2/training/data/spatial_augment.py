"""Spatial augmentation: slices and their masks are rotated, scaled and shifted alike, and often enlarged.

An enlarged view shows small structures as the second, nearer view of serving does. A window of a slice, like a patch of
nnU-Net, costs less than half of a whole slice and is chosen to show structures. Nothing is ever mirrored, since words
say left and right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from medvlsam2.pixel_grid import normalised

MAX_ROTATION_DEGREES: Final = 10.0
ZOOM_RANGE: Final = (0.85, 1.2)
MAX_SHIFT: Final = 0.08
"""Largest shift as a part of half the slice's side."""
NEAR_ZOOM_RANGE: Final = (1.0, 2.2)
WINDOW_PART: Final = 2 / 3
"""Side of a window as a part of the slice's."""
WINDOW_MULTIPLE: Final = 16
"""Convolutional trunks halve a window's side four times."""


@dataclass(frozen=True)
class Move:
    """One view of slices.

    Args:
        angle_rad: rotation.
        zoom: above 1 things look larger.
        centre_xy: what comes to the middle, in halves of the slice's side from its middle.
        part: side of the view in pixels as a part of the slice's, at that zoom.
    """

    angle_rad: float
    zoom: float
    centre_xy: tuple[float, float]
    part: float = 1.0

    def image(self, slices: Float[Tensor, "n c s s"]) -> Float[Tensor, "n c v v"]:
        """The view of slices, all channels alike."""
        n, c, s, _ = slices.shape
        moved = self._sample(slices.reshape(1, n * c, s, s), "bilinear")
        return moved.reshape(n, c, *moved.shape[-2:])

    def masks(self, masks: Bool[Tensor, "k n m m"]) -> Bool[Tensor, "k n v v"]:
        """The view of masks on a grid of any size."""
        k, n, m, _ = masks.shape
        moved = self._sample(masks.reshape(1, k * n, m, m).float(), "nearest")
        return moved.reshape(k, n, *moved.shape[-2:]) > 0

    def _sample(self, planes: Float[Tensor, "1 c s s"], mode: str) -> Float[Tensor, "1 c v v"]:
        scale = self.part / self.zoom
        cosine, sine = scale * np.cos(self.angle_rad), scale * np.sin(self.angle_rad)
        x, y = self.centre_xy
        theta = torch.tensor([[[cosine, -sine, x], [sine, cosine, y]]], dtype=torch.float32)
        side = round(self.part * planes.shape[-1])
        grid = F.affine_grid(theta, [1, 1, side, side], align_corners=False)
        padding = "border" if mode == "bilinear" else "zeros"
        return F.grid_sample(planes, grid, mode=mode, padding_mode=padding, align_corners=False)


def draw_move(rng: np.random.Generator) -> Move:
    """About the whole slice."""
    x, y = rng.uniform(-MAX_SHIFT, MAX_SHIFT, size=2)
    return Move(_angle_rad(rng), float(rng.uniform(*ZOOM_RANGE)), (float(x), float(y)))


def draw_near_move(masks: Bool[Tensor, "k n m m"], rng: np.random.Generator, *, part: float = 1.0) -> Move:
    """Near a pixel of one of some masks, each of which is as likely; about the middle where all are empty.

    Args:
        masks: what is to be seen.
        rng: source of every choice.
        part: side of the view as a part of the slice's.
    """
    low, high = np.log(NEAR_ZOOM_RANGE)
    zoom = float(np.exp(rng.uniform(low, high)))
    shown = torch.nonzero(masks.flatten(1).any(dim=1)).flatten().tolist()
    x = y = 0.0
    if shown:
        pixels = torch.nonzero(masks[shown[int(rng.integers(len(shown)))]])[:, 1:]
        row, column = pixels[int(rng.integers(len(pixels)))].tolist()
        jitter_x, jitter_y = rng.uniform(-0.5, 0.5, size=2) * part / zoom
        x, y = (normalised(place, masks.shape[-1]) for place in (column, row))
        x, y = x + jitter_x, y + jitter_y
    room = 1 - part / zoom
    return Move(_angle_rad(rng), zoom, (float(np.clip(x, -room, room)), float(np.clip(y, -room, room))), part)


def window_part(side: int) -> float:
    """The part of a slice's side that a window has, so that a trunk can halve it."""
    return WINDOW_MULTIPLE * round(WINDOW_PART * side / WINDOW_MULTIPLE) / side


def _angle_rad(rng: np.random.Generator) -> float:
    return float(np.deg2rad(rng.uniform(-MAX_ROTATION_DEGREES, MAX_ROTATION_DEGREES)))
