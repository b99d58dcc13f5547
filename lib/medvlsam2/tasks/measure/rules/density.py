"""Densities: of an organ, of the air in the lungs, and of bright spots in an organ (stones, calcium)."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from medvlsam2 import geometry
from medvlsam2.data.fact_table import Fact
from medvlsam2.data.language import anatomy
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.measure.masks.mask_measures import slice_axis
from medvlsam2.tasks.measure.rules.needs import need, need_mask, seen_of
from medvlsam2.tasks.measure.rules.parts import limits, place_of, refusal
from medvlsam2.tasks.measure.rules.rule import Known, Measured, NotAssessed, Part, Rule, Spot

SIGMA_OF_MAD: Final = 1.4826
"""A normal distribution's standard deviation over its median absolute deviation."""
NOISE: Final = 5.0
"""A bright voxel stands so many standard deviations of its surroundings above their median: of a million voxels of
noise alone, fewer than one does."""
MIN_VOXELS: Final = 3
"""Bright voxels that touch each other count from this number on."""


def mean_density(rule: Rule, facts: Known) -> Measured:
    """Mean HU of an organ."""
    organ = need(rule.of[0], rule, facts)
    return Measured(value=organ.mean_hu, evidence=(organ.id,), structure=organ.key)


def air_share(rule: Rule, facts: Known) -> Measured:
    """Share of the lungs' voxels below a density, in percent, after a mean over 3 x 3 pixels against noise.

    It is told of both lungs together, and of each lung.
    """
    leak, *_ = facts.finding("pneumothorax")
    if leak.is_present:
        raise NotAssessed("The air of a pneumothorax is as thin as emphysema.")
    parts, counts = [], []
    for key in rule.of:
        try:
            lung = need(key, rule, facts)
            counts.append(_thin_voxels(lung, rule, facts))
        except NotAssessed as reason:
            parts.append(Part(structure=key, refused=reason))
            continue
        share = _percent(*counts[-1])
        if lung.cut and not rule.is_passed(share):
            whole = NotAssessed(f"The scan does not show the whole {lung.name}, and no emphysema is in what it shows.")
            parts.append(Part(structure=key, refused=whole))
            continue
        note = f"The scan does not show the whole {lung.name}." if lung.cut else ""
        parts.append(Part(structure=key, value=share, is_true=rule.is_passed(share), note=note))
    refused = next((part.refused for part in parts if part.refused is not None), None)
    if refused is not None:
        return Measured(value=None, evidence=(), parts=tuple(parts), refused=refused)
    note = "The scan does not show the whole lungs." if any(part.note for part in parts) else ""
    below, total = np.sum(counts, axis=0).tolist()
    share = _percent(below, total)
    return Measured(value=share, evidence=rule.of, structure="lungs", note=note, parts=tuple(parts))


def bright_spot(rule: Rule, facts: Known) -> Measured:
    """Longest side of the largest spot in some organs that is as bright as a stone, and each spot in each organ.

    Nothing is said of an organ without a spot that is not seen as a whole.
    """
    parts = tuple(_spotted(key, rule, facts) for key in rule.of)
    found = [spot for part in parts for spot in part.spots]
    refused, place = refusal(parts), place_of(parts)
    seen = tuple(part.structure for part in parts if part.refused is None)
    if not found:
        return Measured(value=None, evidence=seen, is_true=False, parts=parts, refused=refused)
    first, *others = (spot.mask for spot in found)
    return Measured(
        value=max(spot.extent_mm for spot in found),
        evidence=tuple(part.structure for part in parts if part.is_true),
        structure=place,
        side=None if place is None else anatomy.side(place),
        mask=first.union(*others) if others else first,
        note=limits(parts),
        parts=parts,
        is_true=True,
    )


def calcium(rule: Rule, facts: Known) -> Measured:
    """Volume of calcium in and close around an organ, in cubic millimetres, and the score after Agatston.

    What the rule names beside it is taken out with what lies close to that, such as the spine at the aorta.
    """
    organ = need(rule.of[0], rule, facts, whole=False)
    kept = need_mask(organ, facts)
    region, place = _grown(kept, facts, rule.limits["around_mm"])
    for other in seen_of(rule.beside, facts):
        grown, where = _grown(need_mask(other, facts), facts, rule.limits["beside_mm"])
        region &= ~_on_grid(grown, where, facts)[place]
    hu = facts.volume.hu[place].astype(np.float32)
    bright = region & (hu >= max(rule.limits["min_hu"], _above_noise(hu[region])))
    labels, count = ndimage.label(bright)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    bright &= (sizes >= MIN_VOXELS)[labels]
    voxel_mm3 = 1000 * geometry.voxel_volume_ml(facts.volume.affine)
    volume_mm3 = float(bright.sum() * voxel_mm3)
    found = KeptMask.of(_on_grid(bright, place, facts)) if bright.any() else None
    return Measured(
        value=volume_mm3,
        evidence=(organ.id,),
        label=_agatston(hu, bright, rule, facts) if found is not None and rule.is_passed(volume_mm3) else "",
        structure=organ.key,
        mask=found if rule.is_passed(volume_mm3) else None,
    )


def _spotted(key: str, rule: Rule, facts: Known) -> Part:
    """The spots in one organ."""
    try:
        organ = need(key, rule, facts, whole=False)
        spots = _spots_in(organ, rule, facts)
        if not spots:
            need(key, rule, facts, whole=True)
    except NotAssessed as reason:
        return Part(structure=key, refused=reason)
    note = f"The scan does not show the whole {organ.name}, so there may be more." if organ.cut else ""
    largest = spots[0].extent_mm if spots else None
    return Part(structure=key, value=largest, is_true=bool(spots), spots=spots, note=note)


def _spots_in(organ: Fact, rule: Rule, facts: Known) -> tuple[Spot, ...]:
    """The spots, the largest first."""
    kept = need_mask(organ, facts)
    mask, hu = kept.in_box(), facts.volume.hu[kept.place].astype(np.float32)
    if rule.limits.get("rim_voxels"):
        mask = ndimage.binary_erosion(mask, iterations=int(rule.limits["rim_voxels"]))
    if not mask.any():
        return ()
    name = "min_hu" if facts.rule("phase").label == "non-contrast" else "enhanced_min_hu"
    bright = mask & (hu >= max(rule.limits[name], _above_noise(hu[mask])))
    labels, _ = ndimage.label(bright, np.ones((3, 3, 3), dtype=bool))
    spots = []
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        spot = labels[place] == number
        extent_mm = float(np.max(np.array(spot.shape) * facts.volume.spacing_mm))
        if spot.sum() >= MIN_VOXELS and extent_mm >= rule.limits["min_mm"]:
            edges = [
                at + first for part, first in zip(place, kept.start_ijk, strict=True) for at in (part.start, part.stop)
            ]
            i0, i1, j0, j1, k0, k1 = edges
            box = KeptMask(kept.shape_ijk, (i0, i1, j0, j1, k0, k1), np.packbits(spot))
            spots.append(Spot(mask=box, extent_mm=extent_mm))
    return tuple(sorted(spots, key=lambda one: -one.mask.voxels))


def _thin_voxels(lung: Fact, rule: Rule, facts: Known) -> tuple[int, int]:
    """Number of thin voxels of a lung, and of all that were looked at."""
    kept = need_mask(lung, facts)
    mask = ndimage.binary_erosion(kept.in_box())
    if not mask.any():
        raise NotAssessed(f"Too little of the {lung.name} is seen.")
    size = [3, 3, 3]
    size[slice_axis(facts.volume.affine)] = 1
    hu = ndimage.uniform_filter(facts.volume.hu[kept.place].astype(np.float32), size)[mask]
    return int((hu < rule.limits["below_hu"]).sum()), len(hu)


def _percent(below: int, total: int) -> float:
    return 100.0 * below / total


def _above_noise(hu: Float[np.ndarray, " n"]) -> float:
    middle = float(np.median(hu))
    return middle + NOISE * SIGMA_OF_MAD * float(np.median(np.abs(hu - middle)))


def _agatston(hu: Float[np.ndarray, "i j k"], bright: Bool[np.ndarray, "i j k"], rule: Rule, facts: Known) -> str:
    """The score and its grade in words; nothing where the slices are too thick for it."""
    axis = slice_axis(facts.volume.affine)
    spacing = facts.volume.spacing_mm
    if spacing[axis] > rule.limits["agatston_max_slice_mm"] + 0.01:
        return ""
    area_mm2 = float(np.prod([size for other, size in enumerate(spacing) if other != axis]))
    score = 0.0
    for slice_hu, slice_bright in zip(np.moveaxis(hu, axis, 0), np.moveaxis(bright, axis, 0), strict=True):
        labels, count = ndimage.label(slice_bright)
        for number in range(1, count + 1):
            spot = labels == number
            area = spot.sum() * area_mm2
            if area >= 1.0:
                score += area * float(np.clip(slice_hu[spot].max() // 100, 1, 4))
    score *= spacing[axis] / 3.0
    grade = rule.grade(score)
    return f"Agatston-like score {score:.0f}{f', {grade}' if grade else ''}"


def _grown(kept: KeptMask, facts: Known, by_mm: float) -> tuple[Bool[np.ndarray, "i j k"], tuple[slice, slice, slice]]:
    """A mask with everything nearer than a distance, in a box that holds it."""
    spacing = np.array(facts.volume.spacing_mm)
    margin = np.ceil(by_mm / spacing).astype(int)
    i, j, k = (
        slice(max(0, part.start - more), min(size, part.stop + more))
        for part, more, size in zip(kept.place, margin, kept.shape_ijk, strict=True)
    )
    place = (i, j, k)
    mask = np.zeros(tuple(part.stop - part.start for part in place), dtype=bool)
    inner = tuple(
        slice(part.start - outer.start, part.stop - outer.start) for part, outer in zip(kept.place, place, strict=True)
    )
    mask[inner] = kept.in_box()
    if by_mm <= 0:
        return mask, place
    return ndimage.distance_transform_edt(~mask, sampling=spacing) <= by_mm, place


def _on_grid(
    mask: Bool[np.ndarray, "x y z"], place: tuple[slice, slice, slice], facts: Known
) -> Bool[np.ndarray, "i j k"]:
    whole = np.zeros(facts.volume.shape_ijk, dtype=bool)
    whole[place] = mask
    return whole
