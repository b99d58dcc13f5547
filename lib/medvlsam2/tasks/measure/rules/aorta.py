"""Widths of the aorta by level."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy import ndimage

from medvlsam2 import geometry
from medvlsam2.data.fact_table import Fact
from medvlsam2.tasks.measure.masks.diameter import diameters_mm
from medvlsam2.tasks.measure.masks.mask_measures import slice_axis
from medvlsam2.tasks.measure.rules.needs import elsewhere, need, need_mask, seen_of
from medvlsam2.tasks.measure.rules.rule import Known, Measured, NotAssessed, OutOfView, Rule

MIN_AREA_MM2: Final = 60.0
"""Smaller cuts through the vessel are its ends."""
LENGTHWISE: Final = 1.7
"""A cut that is so many times longer than wide runs along the vessel, as in the arch, and tells no width."""
IN_ROW: Final = 3
"""The width of a level is the widest median of so many neighbouring slices: one bad slice is not a bulge."""

Level = Literal["ascending", "descending", "abdominal"]
LEAST_SEEN_MM: Final[dict[Level, float]] = {"ascending": 30.0, "descending": 80.0, "abdominal": 80.0}
"""A part of the aorta is called not wide only if so much of its length is seen, about half of it. A slab of 40 mm at
the diaphragm says nothing of an aneurysm below the kidneys."""
_BESIDE: Final[dict[Level, str]] = {
    "ascending": "superior_vena_cava",
    "descending": "vertebrae_T8",
    "abdominal": "vertebrae_L3",
}
"""What lies beside each part of the aorta. A scan that cannot show the one cannot show the other."""


@dataclass(frozen=True)
class _Cut:
    """One cut of a slice through the vessel."""

    slice_number: int
    width_mm: float
    y_ras: float
    z_ras: float


def aortic_width(rule: Rule, facts: Known) -> Measured:
    """Widest diameter of one part of the aorta, across the vessel on axial slices.

    On slices with two cuts the front one is the ascending aorta and the back one the descending aorta. Below the
    diaphragm it is the abdominal aorta: below the middle of T12, or where T12 is not known, below the upper end of the
    kidneys.
    """
    aorta = need(rule.of[0], rule, facts, whole=False)
    level = rule.key.partition("_")[0]
    wanted: Level = "ascending" if level == "ascending" else "descending" if level == "descending" else "abdominal"
    diaphragm_z, landmark = _diaphragm(wanted, rule, facts)
    cuts = [cut for cut in _cuts(aorta, facts) if cut[1] == wanted] if wanted == "ascending" else []
    if wanted != "ascending":
        is_below = wanted == "abdominal"
        cuts = [
            cut for cut in _cuts(aorta, facts) if cut[1] != "ascending" and (cut[0].z_ras < diaphragm_z) == is_below
        ]
    widths = [cut.width_mm for cut, _ in sorted(cuts, key=lambda one: one[0].slice_number)]
    if len(widths) < IN_ROW:
        raise _refusal(wanted, f"Too little of the {wanted} aorta is seen.", facts)
    in_row = np.lib.stride_tricks.sliding_window_view(np.array(widths), IN_ROW)
    width_mm = float(np.median(in_row, axis=1).max())
    seen_mm = float(np.ptp([cut.z_ras for cut, _ in cuts]))
    if not rule.is_passed(width_mm) and seen_mm < LEAST_SEEN_MM[wanted]:
        raise _refusal(wanted, f"Only {seen_mm:.0f} mm of the length of the {wanted} aorta are seen.", facts)
    return Measured(value=width_mm, evidence=(aorta.id, landmark), structure=aorta.key)


def _diaphragm(level: Level, rule: Rule, facts: Known) -> tuple[float, str]:
    """Height of the diaphragm in RAS, and the id of the fact that tells it."""
    spine, *kidneys = rule.of[1:]
    for vertebra in seen_of([spine], facts):
        assert vertebra.centre_ras is not None
        return vertebra.centre_ras[2], vertebra.id
    tops = [(_top_z(fact, facts), fact.id) for fact in seen_of(kidneys, facts)]
    if not tops:
        raise _refusal(level, "Nothing is seen that tells where the aorta passes the diaphragm.", facts)
    return max(tops)


def _refusal(level: Level, reason: str, facts: Known) -> NotAssessed:
    """Why a part of the aorta is not measured; first of all that the scan shows another part of the body."""
    try:
        elsewhere(_BESIDE[level], facts)
    except OutOfView:
        return OutOfView(f"The scan does not show the part of the body in which the {level} aorta would lie.")
    return NotAssessed(reason)


def _top_z(fact: Fact, facts: Known) -> float:
    kept = need_mask(fact, facts)
    places = np.argwhere(kept.in_box()) + np.array(kept.start_ijk)
    return float(geometry.ijk_to_ras(places, facts.volume.affine)[:, 2].max())


def _cuts(aorta: Fact, facts: Known) -> Iterator[tuple[_Cut, Level]]:
    """Round cuts through the vessel with their level, as far as the slice alone tells it."""
    kept, axis = need_mask(aorta, facts), slice_axis(facts.volume.affine)
    spacing_hw = np.delete(np.array(facts.volume.spacing_mm), axis)
    height_mm, width_mm = spacing_hw.tolist()
    for number, mask in enumerate(np.moveaxis(kept.in_box(), axis, 0)):
        labels, count = ndimage.label(mask)
        cuts = []
        for part in range(1, count + 1):
            cut = labels == part
            if cut.sum() * height_mm * width_mm < MIN_AREA_MM2:
                continue
            longest_mm, short_mm = diameters_mm([cut], (height_mm, width_mm))
            place = np.insert(np.argwhere(cut).mean(axis=0), axis, number) + kept.start_ijk
            _, y, z = geometry.ijk_to_ras(place[None], facts.volume.affine)[0].tolist()
            cuts.append((_Cut(number, short_mm, y, z), longest_mm <= LENGTHWISE * short_mm))
        front = max((cut.y_ras for cut, _ in cuts), default=0.0)
        for cut, is_across in cuts:
            if is_across:
                yield cut, "ascending" if len(cuts) == 2 and cut.y_ras == front else "descending"
