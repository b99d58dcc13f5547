"""Clicks and boxes that an annotator might give for true masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from medvlsam2.pixel_grid import index_at, rescaled

PromptKind = Literal["text", "text+box", "box", "click"]

PROMPT_MIX: dict[PromptKind, float] = {"text": 0.35, "text+box": 0.15, "box": 0.3, "click": 0.2}
"""Share of each first prompt of the mask decoder. Dense steps train words alone as well."""
UNCORRECTED_SHARE = 0.3
"""Share of objects whose first answer is not corrected."""
MAX_CORRECTIONS = 3
"""Most clicks that correct the answer of one object."""
MAX_CLICKS = 3
"""Most clicks of a first prompt."""
BOX_GROWTH = (-0.05, 0.2)
"""Each edge of a box moves outwards by a part of the side between these: annotators' 3-D boxes are wider than the
object on most slices."""
MAX_POINTED = 6
"""Most structures of a dense sample that are also clicked or boxed."""


@dataclass(frozen=True)
class Pointed:
    """Structures of a dense sample, each clicked or boxed on one of its slices."""

    slice_index: Int[Tensor, " p"]
    numbers: Int[Tensor, " p"]
    """Their values in the sample's label map."""
    points_xy: Float[Tensor, "p n 2"]
    point_labels: Int[Tensor, "p n"]


def draw_prompt_kind(rng: np.random.Generator) -> PromptKind:
    """One way of prompting, by its share."""
    kinds = list(PROMPT_MIX)
    return kinds[int(rng.choice(len(kinds), p=list(PROMPT_MIX.values())))]


def draw_num_corrections(rng: np.random.Generator) -> int:
    """Clicks that correct what the model finds."""
    return 0 if rng.random() < UNCORRECTED_SHARE else int(rng.integers(1, MAX_CORRECTIONS + 1))


def draw_points(
    kind: PromptKind, masks: Sequence[Bool[Tensor, "m m"]], rng: np.random.Generator, image_size: int
) -> tuple[Float[Tensor, "p n 2"], Int[Tensor, "p n"]]:
    """Points of one kind for objects on their slices, with labels; the same number of clicks for all of them.

    Args:
        kind: a box, or clicks.
        masks: each object on its slice; each must hold a pixel.
        rng: source of every choice.
        image_size: side of SAM 2's input in pixels.
    """
    scale = image_size / masks[0].shape[-1]
    clicks = int(rng.integers(1, MAX_CLICKS + 1))
    is_box = kind.endswith("box")
    drawn = [draw_box(mask, rng, scale) if is_box else draw_clicks(mask, rng, clicks, scale) for mask in masks]
    return torch.tensor([points for points, _ in drawn]), torch.tensor([labels for _, labels in drawn])


def draw_pointed(
    kind: PromptKind, label_map: Int[Tensor, "n m m"], rng: np.random.Generator, image_size: int
) -> Pointed | None:
    """Some structures of a label map, each clicked or boxed where it is; None where there is none.

    Args:
        kind: a box, or clicks.
        label_map: of some slices; 0 none.
        rng: source of every choice.
        image_size: side of SAM 2's input in pixels.
    """
    slices, size = len(label_map), int(label_map.max()) + 1
    rows = label_map + size * torch.arange(slices)[:, None, None]
    shown = torch.bincount(rows.flatten(), minlength=slices * size).reshape(slices, size).numpy() > 0
    present = np.flatnonzero(shown[:, 1:].any(axis=0)) + 1
    if not len(present):
        return None
    numbers = present[rng.permutation(len(present))[:MAX_POINTED]]
    index = [int(rng.choice(np.flatnonzero(shown[:, number]))) for number in numbers]
    masks = [label_map[row] == int(number) for row, number in zip(index, numbers, strict=True)]
    points_xy, point_labels = draw_points(kind, masks, rng, image_size)
    return Pointed(torch.tensor(index), torch.from_numpy(numbers), points_xy, point_labels)


def draw_clicks(
    mask: Bool[Tensor, "m m"], rng: np.random.Generator, count: int, scale: float
) -> tuple[list[tuple[float, float]], list[int]]:
    """Clicks on one slice: the first inside the object, each other inside or just outside of it.

    Args:
        mask: the object on the mask grid; must hold a pixel.
        rng: source of every choice.
        count: number of clicks.
        scale: input pixels per mask pixel.
    """
    inside = torch.nonzero(mask).numpy()
    outside = torch.nonzero(~mask).numpy()
    points: list[tuple[float, float]] = []
    labels: list[int] = []
    for number in range(count):
        positive = number == 0 or len(outside) == 0 or rng.random() < 0.5
        y, x = (inside if positive else outside)[rng.integers(len(inside if positive else outside))]
        points.append((rescaled(float(x), scale), rescaled(float(y), scale)))
        labels.append(int(positive))
    return points, labels


def draw_box(
    mask: Bool[Tensor, "m m"], rng: np.random.Generator, scale: float
) -> tuple[list[tuple[float, float]], list[int]]:
    """A box round the object on one slice, as two corners with labels 2 and 3, moved a little."""
    rows = torch.nonzero(mask.any(dim=1)).flatten()
    columns = torch.nonzero(mask.any(dim=0)).flatten()
    x0, x1 = float(columns[0]), float(columns[-1]) + 1
    y0, y1 = float(rows[0]), float(rows[-1]) + 1
    width, height = x1 - x0, y1 - y0
    growth = rng.uniform(*BOX_GROWTH, size=4) * np.array([-width, -height, width, height])
    edges = index_at((np.array([x0, y0, x1, y1]) + growth) * scale)
    return [(float(edges[0]), float(edges[1])), (float(edges[2]), float(edges[3]))], [2, 3]
