"""Vertebrae: density of their spongy bone and their heights; muscle and fat on the slice through L3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from medvlsam2 import geometry
from medvlsam2.data.fact_table import Fact
from medvlsam2.data.language import anatomy
from medvlsam2.tasks.measure.masks.mask_measures import slice_axis
from medvlsam2.tasks.measure.rules.needs import need, need_mask, worse
from medvlsam2.tasks.measure.rules.rule import Known, Measured, NotAssessed, Part, Rule

CORE: Final = 0.75
"""Share of the largest ball in a vertebral body that is measured: its surface is cortical bone."""
MIN_BALL_MM: Final = 6.0
"""A vertebra whose largest ball has a smaller radius is not seen as a whole."""
HALF_WIDTH_MM: Final = 6.0
"""Heights are those in the middle of the body: so far to both sides."""
LEAST_COLUMN: Final = 0.3
"""The body ends in front, and behind at the canal, where it is lower than this share of its middle."""
MIN_STEPS: Final = 1.5
"""A loss of height counts from so many slices on."""
PARTS: Final = ((0.4, 0.6), (0.65, 0.9))
"""Where the middle and the front height are measured, as shares of the body's depth from behind. The arch joins
the back third; a vertebra that collapses behind is lower in front too."""


def trabecular_density(rule: Rule, facts: Known) -> Measured:
    """Mean HU of the spongy bone of the first vertebra of the rule that is seen."""
    refused: NotAssessed | None = None
    for key in rule.of:
        try:
            vertebra = need(key, rule, facts)
            core = _core(vertebra, facts)
        except NotAssessed as reason:
            refused = worse(refused, reason)
            continue
        kept = need_mask(vertebra, facts)
        hu = facts.volume.hu[kept.place][core]
        value = float(hu.mean())
        told = Part(structure=vertebra.key, value=value, is_true=rule.is_passed(value))
        only = NotAssessed(f"This density is told of the {vertebra.name} alone, for which there is a limit.")
        others = sorted(anatomy.leaves("vertebrae") - {key, "vertebrae"})
        parts = (told, *(Part(structure=other, refused=only) for other in others))
        return Measured(value=value, evidence=(vertebra.id,), structure=vertebra.key, parts=parts)
    assert refused is not None
    raise refused


def height_loss(rule: Rule, facts: Known) -> Measured:
    """Greatest loss of height of any vertebra, in percent, against the vertebra above and the one below; and of each.

    Raises:
        NotAssessed: if no vertebra is seen with both neighbours.
    """
    heights: dict[str, Heights] = {}
    refused: dict[str, NotAssessed] = {}
    for key in rule.of:
        try:
            heights[key] = _heights(need(key, rule, facts), facts)
        except NotAssessed as reason:
            refused[key] = reason
    step_mm = facts.volume.spacing_mm[slice_axis(facts.volume.affine)]
    losses = {
        key: _loss(own, heights[above], heights[below], step_mm)
        for key, own in heights.items()
        if (above := anatomy.next_above(key)) in heights and (below := anatomy.next_below(key)) in heights
    }
    if not losses:
        raise NotAssessed("No three vertebrae in a row are seen as a whole and surely enough.")
    worst = max(losses, key=lambda key: losses[key])
    parts = tuple(_compared(key, losses, refused, rule) for key in rule.of)
    return Measured(
        value=losses[worst],
        evidence=tuple(heights),
        label=_graded(worst, losses[worst], rule),
        structure=worst,
        note=f"Vertebrae whose heights could be compared with both neighbours: {len(losses)}.",
        parts=parts,
    )


def area_at(rule: Rule, facts: Known) -> Measured:
    """Area of a tissue on the slice through the middle of a vertebra, in square centimetres."""
    level, tissue = need(rule.of[0], rule, facts), need(rule.of[1], rule, facts, whole=False)
    assert level.centre_ras is not None
    axis = slice_axis(facts.volume.affine)
    number = round(float(geometry.ras_to_ijk(np.array([level.centre_ras]), facts.volume.affine)[0, axis]))
    kept = need_mask(tissue, facts)
    first = kept.start_ijk[axis]
    slices = np.moveaxis(kept.in_box(), axis, 0)
    if not first <= number < first + len(slices):
        raise NotAssessed(f"The {tissue.name} is not seen at the level of the {level.name}.")
    hu = np.moveaxis(facts.volume.hu[kept.place], axis, 0)[number - first]
    held = slices[number - first] & (hu >= rule.limits["min_hu"]) & (hu <= rule.limits["max_hu"])
    pixel_mm2 = float(np.prod(np.delete(np.array(facts.volume.spacing_mm), axis)))
    return Measured(value=float(held.sum()) * pixel_mm2 / 100, evidence=(level.id, tissue.id), structure=tissue.key)


def _compared(key: str, losses: Mapping[str, float], refused: Mapping[str, NotAssessed], rule: Rule) -> Part:
    """What is known of the height of one vertebra."""
    if key in losses:
        loss = losses[key]
        return Part(structure=key, value=loss, is_true=rule.is_passed(loss), label=_graded(key, loss, rule))
    unpaired = NotAssessed(f"The height of the {anatomy.name(key)} needs both neighbours to be compared with.")
    return Part(structure=key, refused=refused.get(key, unpaired))


def _graded(key: str, loss: float, rule: Rule) -> str:
    grade = rule.grade(loss)
    return f"{grade}, {key.removeprefix('vertebrae_')}" if grade else ""


Heights = tuple[float, float]
"""Of a vertebral body in its midline, in the middle and in front, in mm."""


def _loss(own: Heights, above: Heights, below: Heights, step_mm: float) -> float:
    """Greatest loss of height in percent, of each part against the same part of both neighbours.

    A body that is tilted looks lower at its ends, and so do its neighbours. A loss of less than a slice and a half is
    none: that far heights depend on where the slices lie.
    """
    lost = 0.0
    for height, *beside in zip(own, above, below, strict=True):
        usual = float(np.mean(beside))
        if usual - height >= MIN_STEPS * step_mm:
            lost = max(lost, 100.0 * (1 - height / usual))
    return lost


def _core(vertebra: Fact, facts: Known) -> Bool[np.ndarray, "i j k"]:
    """The inner part of the vertebral body in the box of the mask: a ball round the deepest voxel."""
    mask, spacing = need_mask(vertebra, facts).in_box(), np.array(facts.volume.spacing_mm)
    centre, radius_mm = _deepest(mask, spacing, vertebra)
    away = [(np.arange(size) - at) * step for size, at, step in zip(mask.shape, centre, spacing, strict=True)]
    squares = np.add.outer(np.add.outer(away[0] ** 2, away[1] ** 2), away[2] ** 2)
    return mask & (squares <= (CORE * radius_mm) ** 2)


def _deepest(
    mask: Bool[np.ndarray, "i j k"], spacing: Float[np.ndarray, " 3"], vertebra: Fact
) -> tuple[tuple[int, ...], float]:
    """The voxel of a mask that is farthest from its surface, and how far."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    centre = np.unravel_index(int(depth.argmax()), depth.shape)
    if depth[centre] < MIN_BALL_MM:
        raise NotAssessed(f"The body of the {vertebra.name} is not seen as a whole.")
    return tuple(int(at) for at in centre), float(depth[centre])


def _heights(vertebra: Fact, facts: Known) -> Heights:
    """Heights of the body in the middle and in front."""
    mask, spacing = _to_ras(need_mask(vertebra, facts).in_box(), facts.volume.affine)
    (x, y, _), _ = _deepest(mask, spacing, vertebra)
    reach = max(1, round(HALF_WIDTH_MM / float(spacing[0])))
    columns = mask[max(0, x - reach) : x + reach + 1].sum(axis=2) * spacing[2]
    profile = np.mean(columns, axis=0)
    low = high = y
    while high < len(profile) - 1 and profile[high + 1] >= LEAST_COLUMN * profile[y]:
        high += 1
    # Behind the body its arch joins, so the body reaches no farther behind its middle than in front of it.
    while low > max(0, y - (high - y)) and profile[low - 1] >= LEAST_COLUMN * profile[y]:
        low -= 1
    body = profile[low : high + 1]
    if len(body) * spacing[1] < 2 * MIN_BALL_MM:
        raise NotAssessed(f"The body of the {vertebra.name} is not seen as a whole.")
    parts = [
        body[int(start * len(body)) : max(int(start * len(body)) + 1, int(end * len(body)))] for start, end in PARTS
    ]
    middle, front = (float(part.mean()) for part in parts)
    return middle, front


def _to_ras(
    mask: Bool[np.ndarray, "i j k"], affine: Float[np.ndarray, "4 4"]
) -> tuple[Bool[np.ndarray, "x y z"], Float[np.ndarray, " 3"]]:
    """An array with its axes to the right, to the front and to the head, and the size of its voxels."""
    axes = geometry.closest_axes(affine)
    order = [next(axis for axis, (world, _) in enumerate(axes) if world == wanted) for wanted in range(3)]
    steps = tuple(slice(None, None, int(axes[axis][1])) for axis in order)
    return np.transpose(mask, order)[steps], np.array(geometry.spacing_mm(affine))[order]
