"""A side in words is binding: whatever lies on the other side of the body is removed from the mask.

The model's own masks tell left from right: the middle of the body lies between an organ and its counterpart, or at the
spinal cord if one of the two is missing. A finding must lie on the named side of that middle and near its organ. A
structure may reach a little beyond the middle. If nothing tells the middle, nothing is removed, and the reply says that
the side was not checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float

from medvlsam2 import geometry
from medvlsam2.data import vocabulary
from medvlsam2.model.propagation.object_query import EMPTY_LOGIT
from medvlsam2.tasks.masks.search import Found
from medvlsam2.tasks.phrases.sides import Sided
from medvlsam2.transforms.guided import MOST

CORD: Final = "spinal_cord"
"""Lies in the middle of the body wherever the trunk is seen."""
APART_MM: Final = 40.0
"""Two organs whose centres are nearer than this may be one organ seen twice: the middle between them is not used."""
BEYOND_MM: Final = 25.0
"""So far a structure may reach beyond the middle, as a large lung or an organ of a turned patient does."""
NEAR_MM: Final = 20.0
"""A finding lies in the box around its organ or at most so far from it: a cyst may stand out of a kidney."""


@dataclass(frozen=True)
class Bound:
    """What became of an object whose side was named."""

    removed: float
    """Share of the mask that lay elsewhere and was removed."""
    is_checked: bool
    """Whether anything in the scan told left from right."""


def bind_to_side(found: Found, sided: Sided, organs: Mapping[str, Found]) -> Bound:
    """Remove what lies on the other side, or far from the organ of a finding.

    Pixels just below the threshold are removed as well if the guided filter could lift them into the mask later
    (``guided.MOST``).

    Args:
        found: the object; its mask logits are changed in place.
        sided: which side is named, and by which organ it can be told.
        organs: masks of the organ, its counterpart and the spinal cord, as far as the model knows them.
    """
    if not found.is_anywhere:
        return Bound(0.0, is_checked=True)
    places_ras, index = _places(found, above=-MOST)
    allowed = np.ones(len(places_ras), dtype=bool)
    middle = _middle_x_mm(sided, organs)
    if middle is not None:
        towards = -1.0 if sided.side == "left" else 1.0  # RAS: x grows to the right of the patient
        allowed &= towards * (places_ras[:, 0] - middle) >= (0.0 if sided.is_finding else -BEYOND_MM)
    organ = None if sided.organ is None else organs.get(sided.organ)
    if sided.is_finding and organ is not None and organ.is_anywhere:
        allowed &= _is_near(places_ras, _places(organ)[0])
    was_in = (found.masks.mask_logits[index[0], index[1], index[2]] > 0).cpu().numpy()
    elsewhere = index[:, torch.from_numpy(~allowed).to(index.device)]
    found.masks.mask_logits[elsewhere[0], elsewhere[1], elsewhere[2]] = EMPTY_LOGIT
    return Bound(float((~allowed)[was_in].mean()), is_checked=middle is not None)


def helpers(sided: Sided) -> tuple[str, ...]:
    """Keys of structures that tell the side, the best first."""
    return tuple(dict.fromkeys(key for key in (sided.organ, sided.opposite, CORD) if key is not None))


def warning(name: str, sided: Sided, bound: Bound, *, is_left: bool) -> str | None:
    """A sentence for the annotator; None if nothing was removed.

    Args:
        name: of the object.
        sided: the side that was named.
        bound: what became of it.
        is_left: whether anything remains of it.
    """
    where = vocabulary.STRUCTURES[sided.organ].name if sided.is_finding and sided.organ else f"{sided.side} side"
    if not bound.is_checked:
        return f"Nothing in this scan tells left from right for '{name}': check that it is on the {sided.side} side."
    if bound.removed == 0.0:
        return None
    if not is_left and bound.removed == 1.0:
        return f"All that was seen for '{name}' lies elsewhere than the {where}, so it counts as not present."
    if not is_left:
        return (
            f"{bound.removed:.0%} of what was seen for '{name}' lay elsewhere than the {where}, and the rest was too "
            "unsure: it counts as not present."
        )
    return f"{bound.removed:.0%} of what was seen for '{name}' lay elsewhere than the {where} and is left out."


def _middle_x_mm(sided: Sided, organs: Mapping[str, Found]) -> float | None:
    """X of the middle of the body in RAS; None where nothing tells it."""
    own, other = (_centre_x_mm(organs.get(key or "")) for key in (sided.organ, sided.opposite))
    if own is not None and other is not None and sided.organ != sided.opposite:
        towards = -1.0 if sided.side == "left" else 1.0
        if towards * (own - other) >= APART_MM:
            return (own + other) / 2
    return _centre_x_mm(organs.get(CORD))


def _centre_x_mm(found: Found | None) -> float | None:
    if found is None or not found.is_anywhere:
        return None
    return float(np.median(_places(found)[0][:, 0]))


def _is_near(places_ras: Float[np.ndarray, "n 3"], organ_ras: Float[np.ndarray, "m 3"]) -> Bool[np.ndarray, " n"]:
    low, high = organ_ras.min(axis=0) - NEAR_MM, organ_ras.max(axis=0) + NEAR_MM
    return np.asarray(((places_ras >= low) & (places_ras <= high)).all(axis=1))


def _places(found: Found, *, above: float = 0.0) -> tuple[Float[np.ndarray, "n 3"], torch.Tensor]:
    """Where pixels with a higher mask logit lie in the patient (RAS mm), and their indices d, row, column."""
    record, side = found.record, found.masks.mask_logits.shape[-1]
    index = torch.nonzero(found.masks.mask_logits > above).T
    ijk = record.mask_to_ijk(index.T.cpu().numpy(), side)
    return geometry.ijk_to_ras(ijk, record.source_affine), index
