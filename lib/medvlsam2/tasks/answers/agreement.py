"""Decides whether words mean the object that a click, a stroke or a box points at.

Clicks and strokes: a name of one organ agrees with a click if the mask found with both is one piece at the click. A
pair, a series, a finding or a phrase may consist of many pieces; then the mask holds the pieces that the words mean
and one more at the click, and nothing shows that they disagree. So the model also searches by such words alone, and
the clicks and strokes must lie on that mask.

Boxes: inside a box, words find the part of what they name that happens to lie there, such as a corner of the kidneys
in the box of the spleen. So the name is compared with the structure that the box is drawn round
(:mod:`medvlsam2.tasks.measure.box_names`). If the model knows no such structure, the mask must span the box.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from medvlsam2.data import vocabulary
from medvlsam2.data.language.clinical import structures_in
from medvlsam2.data.overlap import dice
from medvlsam2.pixel_grid import pixel_under
from medvlsam2.tasks.answers.geometry import is_one_piece
from medvlsam2.tasks.masks.extents import extent
from medvlsam2.tasks.masks.search import Found
from medvlsam2.tasks.phrases.sides import BESIDE_THE_LUNG
from medvlsam2.tasks.phrases.wholes import held_by
from medvlsam2.tasks.prompts import ON_OBJECT, ObjectPrompt
from medvlsam2.voxel_box import BoxIJK

MIN_REACH: Final = 0.7
"""A mask found with words and a box fits the box from this span on (product of the spans along the axes) …"""
MIN_OVERLAP: Final = 0.3
"""… or from this Dice on with the mask that the box alone gives.

Right names and up to eight wrong ones in 145 boxes: TS_abdo, TS_dicom20, an OpenKBP scan, a sarcoma and a phantom
(``benchmarks/names_in_boxes.py``, 2 cores, 2026-11-30). Where the box is taken to be round nothing that the model
knows, these limits overrule 66 of 103 sure wrong names and 5 of 71 right ones, whose own masks have a Dice of 0.32 at
most. The wrong names that stay look as right ones do, such as ribs in the box of a vertebra. Where a known structure is
recognised, its name overrules 93 of 125 sure wrong names and one of 73 right ones, whose own mask has a Dice of 0.09.
"""


def is_another(text: str, key: str) -> bool:
    """Whether words certainly do not mean a structure, its part, its whole, or a finding in it.

    Words that name no place ("the largest cyst", "sarcoma") may mean any structure: two of five boxes round sarcomas
    were recognised, as a muscle and as the bladder.

    Example:
        >>> (
        ...     is_another("kidneys", "kidney_left"),
        ...     is_another("renal cyst", "kidney_left"),
        ...     is_another("kidneys", "spleen"),
        ... )
        (False, False, True)
    """
    places = _places_in(text)
    return bool(places) and not any(_are_one(place, key) for place in places)


def names_no_place(text: str) -> bool:
    """Whether words mean something that may lie anywhere, such as a sarcoma."""
    return not _places_in(text)


def _places_in(text: str) -> list[str]:
    known = vocabulary.lookup(text)
    named = structures_in(text) if known is None else (known.key,)
    return [place for one in named for place in _places_of(one)]


def _places_of(key: str) -> tuple[str, ...]:
    """Where a named thing is: the structure itself, or the site of a finding; nothing where that is not known."""
    structure = vocabulary.STRUCTURES[key]
    if not structure.is_finding:
        return (key,)
    site = "lungs" if key.removesuffix(f"_{structure.side}") in BESIDE_THE_LUNG else structure.site
    return () if site is None else (site,)


def _are_one(key: str, other: str) -> bool:
    return key == other or key in held_by(other) or other in held_by(key)


def reach(found: Found, box_ijk: BoxIJK) -> float:
    """How much of a box a mask spans, 0..1: the product of the shares along the three axes."""
    record, side = found.record, found.masks.mask_logits.shape[-1]
    wanted = record.box_to_grid(box_ijk).edges_on(side, record.side)
    share = 1.0
    for (low, high), (first, last) in zip(wanted, extent(found.masks), strict=True):
        common = min(high, last) - max(low, first)
        share *= min(1.0, max(0.0, common) / max(high - low, 1.0))
    return share


def overlap(one: Found, other: Found) -> float:
    """Dice of two masks of one view, 0 where both are empty; 1 for masks of two views, which cannot be compared."""
    if one.record.crop_hw != other.record.crop_hw or one.record.axes != other.record.axes:
        return 1.0
    first, second = ((each.masks.mask_logits > 0).cpu().numpy() for each in (one, other))
    return dice(first, second) if first.any() or second.any() else 0.0


def needs_words_alone(prompt: ObjectPrompt) -> bool:
    """Whether a search by words alone is needed: for strokes, and for words that may mean many pieces."""
    if prompt.text is None or prompt.mask is not None:
        return False
    return prompt.scribbles is not None or (1 in prompt.point_labels and not is_one_piece(prompt.text))


def are_apart(by_words: Found, prompt: ObjectPrompt) -> bool:
    """Whether a click on the object, or every stroke on it, lies outside of the mask that its words alone give.

    Args:
        by_words: the mask of the words alone.
        prompt: with clicks or strokes, all in the scan.
    """
    held = (by_words.masks.mask_logits > 0).cpu().numpy()
    clicks = [point for point, label in zip(prompt.points_ijk, prompt.point_labels, strict=True) if label]
    if clicks and not _are_on(held, by_words, np.array(clicks)).all():
        return True
    strokes = np.argwhere(prompt.scribbles == ON_OBJECT) if prompt.scribbles is not None else np.empty((0, 3))
    return len(strokes) > 0 and not _are_on(held, by_words, strokes.astype(np.float64)).any()


def _are_on(
    held: Bool[np.ndarray, "d m m"], by_words: Found, points_ijk: Float[np.ndarray, "n 3"]
) -> Bool[np.ndarray, " n"]:
    """Which points lie on a mask or next to it: a pixel of a mask is larger than a voxel."""
    record, side = by_words.record, held.shape[-1]
    near = ndimage.binary_dilation(held, structure=np.ones((3, 3, 3), dtype=bool))
    dhw = record.ijk_to_dhw(points_ijk)
    places = np.concatenate([np.rint(dhw[:, :1]).astype(int), pixel_under(dhw[:, 1:], record.side, side)], axis=1)
    inside = ((places >= 0) & (places < held.shape)).all(axis=1)
    on = np.zeros(len(places), dtype=bool)
    on[inside] = near[tuple(places[inside].T)]
    return on
