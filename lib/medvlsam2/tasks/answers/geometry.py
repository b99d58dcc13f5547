"""Where words and geometry disagree, the geometry wins: a box or a click on an object never gives an empty mask.

A segment called "tumor" may be drawn round a bladder, or the model may not know what a sarcoma looks like. So words
that the model never learned are not used beside a box or a click. Words that it learned are used; if the mask found
with them is hardly at the box or the click, the model searches again without them. What the model cannot find by the
geometry alone is marked by its brightness (:mod:`medvlsam2.tasks.answers.intensity`). The reply tells each of these
cases.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import UInt8
from scipy import ndimage

from medvlsam2 import voxel_box
from medvlsam2.data import vocabulary
from medvlsam2.data.language.anatomy import is_pair
from medvlsam2.data.volume import CTVolume
from medvlsam2.model.propagation.object_query import ObjectMasks
from medvlsam2.pixel_grid import pixel_under
from medvlsam2.tasks.answers.intensity import by_intensity
from medvlsam2.tasks.masks.search import Found
from medvlsam2.tasks.phrases.wholes import is_series
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.voxel_box import BoxIJK, voxel_of

SURE: Final = 0.4
"""A mask found with words and a box or click is believed from this sureness on.

Tried on sarcomas, a lung tumour, 2 phantoms, TS_abdo and 2 OpenKBP scans under their own and eight other names: right
names gave 0.43 to 0.80, wrong ones 0.38 at most, or a sure mask of something else that the two shares below tell.
"""
MIN_BOX_SHARE: Final = 0.03
"""A mask found with words that fills less of its box is something else (right ones filled 0.08 or more) …"""
EMPTY_BOX_SHARE: Final = 0.005
"""… and a mask found without words that fills less than this share counts as nothing."""
MIN_CLICKED_SHARE: Final = 0.6
"""At least this share of an object in one piece is connected with its clicks (right: 0.7 or more, wrong: to 0.42)."""


def known_keys(metadata: Mapping[str, Any]) -> frozenset[str]:
    """Vocabulary keys that a model learned, as its card says; none where it does not say."""
    return frozenset(key for part in ("structures", "trained_on", "findings") for key in metadata.get(part, ()))


def is_learned(text: str, learned: Collection[str]) -> bool:
    """Whether a model learned what a name means; assumed for phrases, and for models without a card."""
    known = vocabulary.lookup(text)
    if known is None or not learned:
        return True
    return bool({known.key, known.key.removesuffix(f"_{known.side}")} & set(learned))


def sureness(masks: ObjectMasks) -> float:
    """Mean over the slices that hold the object of object score x predicted IoU; 0 where none does."""
    holds = held_slices(masks)
    return float(slice_sureness(masks)[holds].mean()) if holds else 0.0


def slice_sureness(masks: ObjectMasks) -> torch.Tensor:
    """Object score x predicted IoU of each slice."""
    return (masks.object_score_logits.float().sigmoid() * masks.iou.float().clamp(0, 1)).cpu()


def held_slices(masks: ObjectMasks) -> list[int]:
    """Slices that hold the object."""
    return [int(d) for d in torch.nonzero((masks.mask_logits > 0).flatten(1).any(dim=1)).flatten()]


def is_unsure(found: Found) -> bool:
    """Whether the mask found with words and geometry is too unsure to be believed."""
    return sureness(found.masks) < SURE


def is_elsewhere(found: Found, prompt: ObjectPrompt) -> bool:
    """Whether most of the mask found with words and geometry is not where the geometry is."""
    if prompt.box_ijk is not None and box_share(found, prompt.box_ijk) < MIN_BOX_SHARE:
        return True
    return is_one_piece(prompt.text) and _clicked_share(found, prompt) < MIN_CLICKED_SHARE


def box_share(found: Found, box_ijk: BoxIJK) -> float:
    """Share of a box that the mask fills."""
    record, side = found.record, found.masks.mask_logits.shape[-1]
    box = record.box_to_grid(box_ijk)
    width, height = ((high - low) * side / record.side for low, high in zip(box.xyxy[:2], box.xyxy[2:], strict=True))
    return int((found.masks.mask_logits > 0).sum()) / (width * height * max(1, box.last - box.first + 1))


def _clicked_share(found: Found, prompt: ObjectPrompt) -> float:
    """Share of the mask that is connected with a click on the object; 1 without such a click."""
    record, side = found.record, found.masks.mask_logits.shape[-1]
    held = (found.masks.mask_logits > 0).cpu().numpy()
    pieces, _ = ndimage.label(held)
    clicked: set[int] = set()
    for point, label in zip(prompt.points_ijk, prompt.point_labels, strict=True):
        if label:
            d, x, y = record.click_to_grid(point, "Click")
            row, column = pixel_under(np.array([y, x]), record.side, side).clip(0, side - 1).tolist()
            clicked |= set(np.unique(pieces[d, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]).tolist())
    if 1 not in prompt.point_labels or not held.any():
        return 1.0
    return float(np.isin(pieces, list(clicked - {0})).sum() / held.sum())


def is_one_piece(text: str | None) -> bool:
    """Whether a name means one connected organ, and not a pair, a series (ribs), or a kind of tissue."""
    known = None if text is None else vocabulary.lookup(text)
    if known is None or known.is_finding or known.category.meaning != "Anatomical Structure":
        return False
    return not is_pair(known.key) and not is_series(known)


def mark_by_intensity(
    label_map: UInt8[np.ndarray, "i j k"], volume: CTVolume, prompt: ObjectPrompt, value: int
) -> None:
    """Mark by brightness what is at a prompt's box or clicks; voxels of other objects only where no other is left."""
    shown = by_intensity(volume, prompt)
    free = shown & (label_map == 0)
    label_map[free if free.any() else shown] = value


def heed_clicked_voxels(label_map: UInt8[np.ndarray, "i j k"], prompts: Sequence[ObjectPrompt]) -> None:
    """Make sure that every voxel clicked on an object belongs to it, and every voxel clicked beside it does not."""
    for wanted in (0, 1):
        for value, prompt in enumerate(prompts, start=1):
            for point, label in zip(prompt.points_ijk, prompt.point_labels, strict=True):
                i, j, k = label_map.shape
                voxel = voxel_of(point, (i, j, k))
                if label != wanted:
                    continue
                if label:
                    label_map[voxel] = value
                elif label_map[voxel] == value:
                    label_map[voxel] = 0


def keep_to_boxes(label_map: UInt8[np.ndarray, "i j k"], prompts: Sequence[ObjectPrompt], *, slice_axis: int) -> None:
    """Remove what lies outside of an object's box: pixels of a mask are larger than voxels and reach over its edge.

    Along the slices nothing is removed, because clicks may make the object longer than its box.
    """
    for value, prompt in enumerate(prompts, start=1):
        if prompt.box_ijk is None:
            continue
        beside = np.ones(label_map.shape, dtype=bool)
        i, j, k = label_map.shape
        place = list(voxel_box.slices(prompt.box_ijk, (i, j, k)))
        place[slice_axis] = slice(None)
        beside[tuple(place)] = False
        label_map[beside & (label_map == value)] = 0


def keep_corrected(label_map: UInt8[np.ndarray, "i j k"], prompts: Sequence[ObjectPrompt], *, slice_axis: int) -> None:
    """Put slices that were corrected by hand back, voxel by voxel: the model's grid is coarser than the scan's."""
    slices = np.moveaxis(label_map, slice_axis, 0)
    for number, prompt in enumerate(prompts, start=1):
        if prompt.mask is None:
            continue
        clicked = {round(point[slice_axis]) for point in prompt.points_ijk}
        for index in set(prompt.mask_slices) - clicked:
            drawn = np.moveaxis(prompt.mask, slice_axis, 0)[index]
            slices[index][slices[index] == number] = 0
            slices[index][drawn] = number


def what_places(prompt: ObjectPrompt) -> str:
    """The word for what says where the object is."""
    if prompt.box_ijk is not None:
        return "box"
    return "clicks" if prompt.points_ijk else "strokes"
