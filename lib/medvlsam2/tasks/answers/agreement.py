"""Whether what words alone find is where a click or a stroke points.

For one organ it is enough that what words and geometry find together hangs together at the click. A pair, a series, a
finding or a phrase may be in many pieces, and the geometry adds its own piece to those that the words find elsewhere.
So such words are looked for alone, and what they find is compared with the places that were pointed at.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from medvlsam2.tasks.answers.geometry import is_one_piece
from medvlsam2.tasks.looks import Found
from medvlsam2.tasks.prompts import ON_OBJECT, ObjectPrompt


def needs_words_alone(prompt: ObjectPrompt) -> bool:
    """Whether words may mean something in many pieces, so that only a look by words alone tells where it is."""
    if prompt.text is None or prompt.mask is not None or is_one_piece(prompt.text):
        return False
    return 1 in prompt.point_labels or prompt.scribbles is not None


def are_apart(by_words: Found, prompt: ObjectPrompt) -> bool:
    """Whether a click on the object or all strokes lie outside of what its words alone find.

    Args:
        by_words: what the words alone find.
        prompt: with the geometry, in the scan.
    """
    held = (by_words.masks.mask_logits > 0).cpu().numpy()
    clicks = [point for point, label in zip(prompt.points_ijk, prompt.point_labels, strict=True) if label]
    if clicks and not _are_on(held, by_words, np.array(clicks)).all():
        return True
    strokes = np.argwhere(prompt.scribbles == ON_OBJECT) if prompt.scribbles is not None else np.empty((0, 3))
    return len(strokes) > 0 and not _are_on(held, by_words, strokes).any()


def _are_on(
    held: Bool[np.ndarray, "d m m"], by_words: Found, points_ijk: Float[np.ndarray, "n 3"]
) -> Bool[np.ndarray, " n"]:
    """Which points lie on a mask or next to it: a pixel of a mask is larger than a voxel."""
    record, side = by_words.record, held.shape[-1]
    near = ndimage.binary_dilation(held, structure=np.ones((3, 3, 3), dtype=bool))
    dhw = record.ijk_to_dhw(points_ijk)
    places = np.concatenate([np.rint(dhw[:, :1]), np.floor((dhw[:, 1:] + 0.5) * side / record.side)], axis=1).astype(
        int
    )
    inside = ((places >= 0) & (places < held.shape)).all(axis=1)
    on = np.zeros(len(places), dtype=bool)
    on[inside] = near[tuple(places[inside].T)]
    return on
