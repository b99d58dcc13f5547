"""Sizes of organs: lengths, the width of the heart, and the difference of a pair."""

from __future__ import annotations

import numpy as np

from medvlsam2 import geometry
from medvlsam2.data.fact_table import Fact
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.measure.rules.needs import need, need_mask, seen_of
from medvlsam2.tasks.measure.rules.rule import Known, Measured, NotAssessed, OutOfView, Rule
from medvlsam2.tasks.measure.sources.mask_source import OUTSIDE


def length(rule: Rule, facts: Known) -> Measured:
    """The longest distance within an organ in three dimensions.

    An organ that the scan cuts is at least as long as what is seen of it, which may already be too long.
    """
    organ = need(rule.of[0], rule, facts, whole=False)
    assert organ.length_mm is not None
    if not organ.cut:
        return Measured(value=organ.length_mm, evidence=(organ.id,), structure=organ.key)
    if rule.passes == "below" or not rule.is_passed(organ.length_mm):
        need(rule.of[0], rule, facts, whole=True)
    note = f"The scan does not show the whole {organ.name}, which is at least {organ.length_mm:.0f} mm long."
    return Measured(value=organ.length_mm, evidence=(organ.id,), structure=organ.key, note=note, is_at_least=True)


def midclavicular_height(rule: Rule, facts: Known) -> Measured:
    """Craniocaudal extent of the liver in the right midclavicular line; a tall liver of a usual volume is not large.

    The line is taken to lie halfway between the liver's outer edge on the right and the middle of the body, for which
    the spine or the aorta stands.
    """
    liver = need(rule.of[0], rule, facts)
    middle = next(iter(seen_of(rule.of[1:], facts)), None)
    if middle is None or middle.centre_ras is None:
        raise NotAssessed("Nothing is seen that tells the middle of the body.")
    kept = need_mask(liver, facts)
    places_ras = geometry.ijk_to_ras(np.argwhere(kept.in_box()) + np.array(kept.start_ijk), facts.volume.affine)
    outer, inner = float(places_ras[:, 0].max()), middle.centre_ras[0]
    column = places_ras[np.abs(places_ras[:, 0] - (outer + inner) / 2) < rule.limits["half_width_mm"]]
    if not len(column):
        raise NotAssessed("The liver does not reach the right midclavicular line.")
    height_mm = float(np.ptp(column[:, 2]))
    assert liver.volume_ml is not None
    is_large = rule.is_passed(height_mm) and liver.volume_ml >= rule.limits["min_ml"]
    return Measured(value=height_mm, evidence=(liver.id, middle.id), structure=liver.key, is_true=is_large)


def width_ratio(rule: Rule, facts: Known) -> Measured:
    """Greatest width of the heart over the greatest width of the chest within the ribs, as the lungs fill it."""
    heart, left, right = (need(key, rule, facts, whole=key == rule.of[0]) for key in rule.of)
    return Measured(
        value=_width_mm(facts, heart) / _width_mm(facts, left, right),
        evidence=(heart.id, left.id, right.id),
        structure=heart.key,
    )


def difference_of_pair(rule: Rule, facts: Known) -> Measured:
    """Difference of the lengths of a left and a right organ."""
    left, right = (need(key, rule, facts) for key in rule.of)
    assert left.length_mm is not None
    assert right.length_mm is not None
    smaller = min(left, right, key=lambda fact: fact.length_mm or 0.0)
    apart_mm = abs(left.length_mm - right.length_mm)
    return Measured(
        value=apart_mm,
        evidence=(left.id, right.id),
        label=f"the {smaller.name} is the smaller one" if rule.is_passed(apart_mm) else "",
        structure=smaller.key,
        side=smaller.side,
    )


def nodule_size(rule: Rule, facts: Known) -> Measured:
    """Mean of the long and the short axis of the largest lesion."""
    largest, *_ = facts.finding(rule.of[0])
    if largest.state == "absent":
        return Measured(value=None, evidence=(largest.id,), is_true=False)
    if largest.state == OUTSIDE:
        raise OutOfView(largest.reason)
    if largest.state != "present" or largest.longest_mm is None or largest.short_axis_mm is None:
        raise NotAssessed(largest.reason)
    return Measured(
        value=(largest.longest_mm + largest.short_axis_mm) / 2,
        evidence=(largest.id,),
        structure=largest.structure,
        side=largest.side,
        mask=facts.kept_mask(largest),
    )


def _width_mm(facts: Known, *parts: Fact) -> float:
    """Extent of some masks together along the axis that runs from right to left."""
    axis = next(axis for axis, (world, _) in enumerate(geometry.closest_axes(facts.volume.affine)) if world == 0)
    masks: list[KeptMask] = [need_mask(part, facts) for part in parts]
    low = min(mask.box_ijk[2 * axis] for mask in masks)
    high = max(mask.box_ijk[2 * axis + 1] for mask in masks)
    return (high - low) * facts.volume.spacing_mm[axis]
