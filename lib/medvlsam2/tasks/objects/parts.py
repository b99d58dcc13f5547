"""Parts of an object: halves and thirds by its own extent, and the parts in the thorax, the abdomen and the pelvis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from medvlsam2 import geometry
from medvlsam2.data.query.objects import Part
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.objects.shapes import Axis, Shape
from medvlsam2.tasks.objects.things import Thing

_SHARES: Final[Mapping[Part, tuple[Axis, float, float]]] = {
    "upper half": (2, 1 / 2, math.inf),
    "lower half": (2, -math.inf, 1 / 2),
    "upper third": (2, 2 / 3, math.inf),
    "middle third": (2, 1 / 3, 2 / 3),
    "lower third": (2, -math.inf, 1 / 3),
    "left half": (0, -math.inf, 1 / 2),
    "right half": (0, 1 / 2, math.inf),
    "front half": (1, 1 / 2, math.inf),
    "back half": (1, -math.inf, 1 / 2),
}
"""Axis of the patient, and from which share of the object's extent to which (RAS: right, front and head are 1)."""
_ABOVE_THE_SACRUM: Final = ("lung_left", "lung_right", "liver", "kidney_left", "kidney_right")
"""If one of them is seen and the sacrum is not, the scan ends above the pelvis."""
_BELOW_THE_LUNGS: Final = ("liver", "kidney_left", "kidney_right", "sacrum", "urinary_bladder")
"""If one of them is seen and no lung is, the scan begins below the thorax."""


@dataclass(frozen=True)
class Cut:
    """A part of an object.

    Args:
        kept: its mask; None if it is empty or not known.
        is_known: whether the scan shows where the part begins and ends.
        reason: one sentence: why it is not known.
    """

    kept: KeptMask | None
    is_known: bool = True
    reason: str = ""


def part_of(thing: Thing, part: Part, facts: Facts) -> Cut:
    """A part of an object.

    Args:
        thing: the whole object.
        part: which part.
        facts: of the scan, for the borders of thorax, abdomen and pelvis.
    """
    if part in _SHARES:
        axis, first, last = _SHARES[part]
        low, high = thing.shape.ends_mm(axis)
        return Cut(thing.shape.between(axis, _at(first, low, high), _at(last, low, high)))
    borders = {"thoracic part": (None, _thorax), "abdominal part": (_thorax, _pelvis), "pelvic part": (_pelvis, None)}
    upper, lower = borders[part]
    top_mm = math.inf if upper is None else upper(facts)
    bottom_mm = -math.inf if lower is None else lower(facts)
    if top_mm is None or bottom_mm is None:
        is_lower = top_mm is None or lower is _thorax
        missing = "neither T12, L1 nor a base of the lungs" if is_lower else "no sacrum"
        return Cut(None, False, f"The model sees {missing}, so the {part} of the {thing.name} is not known.")
    return Cut(thing.shape.between(2, bottom_mm, top_mm))


def _at(share: float, low: float, high: float) -> float:
    return share if math.isinf(share) else low + share * (high - low)


def _thorax(facts: Facts) -> float | None:
    """Lower end of the thorax along the patient's axis, in mm; infinite where the scan lies beyond it.

    The aorta leaves the thorax at T12 (aortic hiatus), and the lungs reach down to T12 or L1 behind the diaphragm's
    dome. Source: Gray's Anatomy, 41st edition, chapters "Diaphragm" and "Pleura".
    """
    above, below = _ends(facts, "vertebrae_T12"), _ends(facts, "vertebrae_L1")
    if above is not None and below is not None:
        return (above[0] + below[1]) / 2
    if above is not None or below is not None:
        return above[0] if above is not None else below[1] if below is not None else None
    return _base_of_the_lungs(facts)


def _base_of_the_lungs(facts: Facts) -> float | None:
    lungs = [_seen(facts, key) for key in ("lung_left", "lung_right")]
    seen = [lung for lung in lungs if lung is not None]
    if not seen:
        is_below = any(_seen(facts, key) is not None for key in _BELOW_THE_LUNGS)
        return math.inf if is_below and all(_is_looked_for(facts, key) for key in ("lung_left", "lung_right")) else None
    lowest, is_cut = min((one.ends_mm(2)[0], _is_cut_below(one, facts)) for one in seen)
    return -math.inf if is_cut else lowest


def _pelvis(facts: Facts) -> float | None:
    """Upper end of the sacrum (the promontory is the border of the pelvis), in mm; infinite beyond the scan's end."""
    for key in ("vertebrae_S1", "sacrum"):
        ends = _ends(facts, key)
        if ends is not None:
            return ends[1]
    is_above = any(_seen(facts, key) is not None for key in _ABOVE_THE_SACRUM)
    return -math.inf if is_above and _is_looked_for(facts, "sacrum") else None


def _ends(facts: Facts, key: str) -> tuple[float, float] | None:
    shape = _seen(facts, key)
    return None if shape is None else shape.ends_mm(2)


def _seen(facts: Facts, key: str) -> Shape | None:
    """A structure that is surely seen."""
    if not facts.source.knows(key):
        return None
    fact = facts.structure(key)
    kept = facts.kept_mask(fact) if fact.is_present else None
    return None if kept is None else Shape(kept, facts.volume.affine)


def _is_looked_for(facts: Facts, key: str) -> bool:
    """Whether a structure that is not seen is known not to be in the scan."""
    return facts.source.knows(key) and facts.structure(key).state in ("absent", "outside the field of view")


def _is_cut_below(shape: Shape, facts: Facts) -> bool:
    """Whether a lung reaches the scan's lower end, so that its base is not seen.

    The end is that of the voxels' centres in the column of the lung's lowest voxel.
    """
    lowest = shape.surface_ras[shape.surface_ras[:, 2].argmin()]
    step = facts.volume.affine[2, :3]
    axis = int(abs(step).argmax())
    index = round(float(geometry.ras_to_ijk(lowest[None], facts.volume.affine)[0, axis]))
    return index == (0 if step[axis] > 0 else facts.volume.shape_ijk[axis] - 1)
