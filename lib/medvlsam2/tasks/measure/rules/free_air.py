"""Air in the abdomen outside of the bowel."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from medvlsam2 import geometry
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.measure.masks.mask_measures import slice_axis
from medvlsam2.tasks.measure.rules.needs import need, need_mask, seen_of
from medvlsam2.tasks.measure.rules.rule import Known, Measured, Rule


def free_air(rule: Rule, facts: Known) -> Measured:
    """Volume of air in the abdomen that is not in or beside the bowel, the stomach or the lungs, in mL.

    All parts of the bowel must be known, since the air of one that is not would count as free. The abdomen reaches from
    the top of the liver to the lower end of the scan, and does not reach into the wall of the body.
    """
    volume, axis = facts.volume, slice_axis(facts.volume.affine)
    liver, *bowel = holders = [need(key, rule, facts, whole=False) for key in rule.of]
    bowel += seen_of(rule.beside, facts)
    held = np.zeros(volume.shape_ijk, dtype=bool)
    for part in bowel:
        kept = need_mask(part, facts)
        held[kept.place] |= kept.in_box()
    reach = int(np.ceil(rule.limits["beside_mm"] / np.array(volume.spacing_mm)).max())
    wall = int(np.ceil(rule.limits["wall_mm"] / np.array(volume.spacing_mm)).max())
    air = volume.hu < rule.limits["below_hu"]
    outside = _round_the_body(air, axis)
    air &= ~ndimage.binary_dilation(held, iterations=reach) & ~ndimage.binary_dilation(outside, iterations=wall)
    below = np.zeros(volume.shape_ijk[axis], dtype=bool)
    below[_up_to_the_top(liver.slices, volume.affine, axis, volume.shape_ijk[axis])] = True
    air &= np.expand_dims(below, tuple(other for other in range(3) if other != axis))
    labels, _ = ndimage.label(air)
    voxels = np.bincount(labels.ravel())
    voxels[0] = 0
    voxel_ml = geometry.voxel_volume_ml(volume.affine)
    pockets = (voxels * voxel_ml >= rule.limits["min_pocket_ml"])[labels]
    found_ml = float(pockets.sum() * voxel_ml)
    return Measured(
        value=found_ml,
        evidence=tuple(holder.id for holder in holders),
        mask=KeptMask.of(pockets) if rule.is_passed(found_ml) else None,
    )


def _round_the_body(air: Bool[np.ndarray, "i j k"], axis: int) -> Bool[np.ndarray, "i j k"]:
    """Air that is connected with the edge of its slice."""
    outer = np.zeros(air.shape, dtype=bool)
    for whole, held in zip(np.moveaxis(air, axis, 0), np.moveaxis(outer, axis, 0), strict=True):
        labels, _ = ndimage.label(whole)
        rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        held[...] = np.isin(labels, np.unique(rim[rim > 0]))
    return outer


def _up_to_the_top(slices: tuple[int, int] | None, affine: Float[np.ndarray, "4 4"], axis: int, count: int) -> slice:
    """Slices from the lower end of the scan to the top of the liver."""
    assert slices is not None
    rises = geometry.closest_axes(affine)[axis][1] > 0
    return slice(0, slices[1] + 1) if rises else slice(slices[0], count)
