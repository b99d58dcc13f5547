"""What a query must give on the true masks, computed without the code that executes queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.language import anatomy
from medvlsam2.data.query.objects import ObjectExpression
from medvlsam2.data.query.queries import (
    AskDifference,
    AskDistance,
    AskMeasure,
    AskMore,
    AskObject,
    AskRatio,
    AskScan,
    AskWhich,
    Measure,
    Query,
)
from medvlsam2.evaluation.metrics import Mask
from medvlsam2.evaluation.truth import measuring
from medvlsam2.evaluation.truth.known_masks import Known
from medvlsam2.evaluation.truth.simple_objects import NotSettledError, item_masks, simple_masks

Value = bool | int | float | str | tuple[str, ...] | tuple[int, ...] | tuple[float, ...]
PER_UNIT: Final = {"mL": 1.0, "L": 1000.0, "mm": 1.0, "cm": 10.0, "HU": 1.0}
"""How many of its kind's usual unit (mL, mm, HU) a unit is."""
USUAL: Final[dict[Measure, str]] = {"volume": "mL", "length": "mm", "short axis": "mm", "density": "HU"}


@dataclass(frozen=True)
class Expected:
    """What a query must give."""

    values: tuple[Value, ...]
    """Any of these is right: a length may be that on a slice or that in space."""
    unit: str = ""
    slack: float = 0.0
    """How far off a number may be for reasons of method alone, in the unit."""


def expected(query: Query, known: Known) -> Expected | None:
    """What a query must give; None where this is not settled: another kind of query, or an unknown truth.

    Args:
        query: what is asked.
        known: true masks of the scan.
    """
    try:
        return _expected(query, known)
    except NotSettledError:
        return None


def _expected(query: Query, known: Known) -> Expected | None:
    match query:
        case AskObject():
            return _of_object(query, known)
        case AskMeasure():
            unit = query.unit if query.unit in PER_UNIT else USUAL[query.measure]
            values, slack = _numbers(query.measure, query.target, known)
            return Expected(tuple(value / PER_UNIT[unit] for value in values), unit, slack / PER_UNIT[unit])
        case AskDistance():
            unit = query.unit or "mm"
            apart_mm = measuring.distance_mm(_seen(query.first, known), _seen(query.second, known), known.scan.volume)
            slack_mm = max(known.scan.volume.spacing_mm)
            return Expected((apart_mm / PER_UNIT[unit],), unit, slack_mm / PER_UNIT[unit])
        case AskWhich():
            return _which(query, known)
        case AskMore():
            return _more(query, known)
        case AskRatio() | AskDifference():
            return _compared(query, known)
        case AskScan():
            return _of_scan(query, known)
        case _:
            return None


def _of_object(query: AskObject, known: Known) -> Expected | None:
    if query.what == "presence":
        each = [item_masks(item, known) for item in query.target.items]
        return None if query.target.without else Expected((all(each),))
    masks = simple_masks(query.target, known)
    if query.what == "count":
        return Expected((len(masks),))
    if not masks:
        raise NotSettledError(str(query.target))
    if query.what == "slices":
        ends = [measuring.slices(mask, known.scan.volume) for mask in masks]
        return Expected(((min(first for first, _ in ends), max(last for _, last in ends)),))
    if query.what == "side":
        return _side(query.target, masks, known)
    if query.what == "location":
        return _location(query.target, masks, known)
    return None


def _side(target: ObjectExpression, masks: Sequence[Mask], known: Known) -> Expected | None:
    sides = {vocabulary.STRUCTURES[item.key].side for item in target.items}
    if any(vocabulary.STRUCTURES[item.key].is_finding for item in target.items):
        sides = {lesion.side for _, lesion, own in known.lesions() if any((own & mask).any() for mask in masks)}
    if None in sides or not sides:
        return None
    return Expected(("both",) if len(sides) > 1 else (str(sides.pop()),))


def _location(target: ObjectExpression, masks: Sequence[Mask], known: Known) -> Expected | None:
    hosts = {lesion.structure for _, lesion, own in known.lesions() if any((own & mask).any() for mask in masks)}
    if not hosts or hosts & {"body", "skeletal_muscle"}:
        return None
    names = tuple(sorted(anatomy.name(host) for host in hosts))
    return Expected((names[0] if len(names) == 1 else names,))


def _which(query: AskWhich, known: Known) -> Expected:
    told = {str(each): _numbers(query.measure, each, known)[0][0] for each in query.among}
    order = max if query.order == "greatest" else min
    return Expected((order(told, key=lambda name: told[name]),))


def _more(query: AskMore, known: Known) -> Expected:
    values, _ = _numbers(query.measure, query.first, known)
    if isinstance(query.second, tuple):
        limit = query.second[0] * PER_UNIT[query.second[1]]
    else:
        limit = _numbers(query.measure, query.second, known)[0][0]
    told = {value > limit if query.order == "more" else value < limit for value in values}
    return Expected(tuple(told))


def _compared(query: AskRatio | AskDifference, known: Known) -> Expected:
    first, second = (_numbers(query.measure, each, known)[0][0] for each in (query.first, query.second))
    share = 100.0 if query.unit == "%" else 1.0
    if isinstance(query, AskRatio):
        return Expected((first / second * share,), query.unit or "", 0.0 if query.measure == "volume" else 0.1 * share)
    if query.unit == "%":
        return Expected(((first - second) / second * share,), "%")
    unit = query.unit or USUAL[query.measure]
    slack = {"volume": 0.0, "density": HU_SLACK}.get(query.measure, 2.0)
    return Expected(((first - second) / PER_UNIT[unit],), unit, slack / PER_UNIT[unit])


def _numbers(measure: Measure, target: ObjectExpression, known: Known) -> tuple[tuple[float, ...], float]:
    """Numbers in mL, mm or HU that are right, and how far off one may be for reasons of method."""
    masks, volume = _seen(target, known), known.scan.volume
    together = np.logical_or.reduce(masks)
    if measure == "volume":
        return (measuring.volume_ml(together, volume),), 0.0
    if measure == "density":
        inner = measuring.inside(together)
        return tuple(measuring.mean_hu(each, volume) for each in (together, inner) if each.any()), HU_SLACK
    on_slice = max((measuring.diameters_mm(mask, volume) for mask in masks), key=lambda pair: pair[0])
    spacing_mm = float(min(volume.spacing_mm))
    if measure == "short axis":
        return (on_slice[1],), 2 * spacing_mm
    in_space = max(measuring.length_mm(mask, volume) for mask in masks)
    return (on_slice[0], in_space), spacing_mm


HU_SLACK: Final = 12.0
"""A mean may be taken of all voxels or of those inside; which voxels are inside is a matter of method by some HU."""


def _seen(target: ObjectExpression, known: Known) -> list[Mask]:
    masks = simple_masks(target, known)
    if not masks:
        raise NotSettledError(str(target))
    return masks


def _of_scan(query: AskScan, known: Known) -> Expected | None:
    volume, facts = known.scan.volume, known.scan.facts
    axis = measuring.slice_axis(volume)
    spacing_mm = np.linalg.norm(volume.affine[:3, :3], axis=0)
    match query.what:
        case "region":
            return None if facts is None else Expected((anatomy.REGION_NAMES[facts.region], facts.region))
        case "phase":
            return None if facts is None or facts.phase is None else Expected((facts.phase,))
        case "modality":
            return Expected(("CT",))
        case "number of slices":
            return Expected((int(volume.shape_ijk[axis]),))
        case "slice thickness":
            return Expected((float(spacing_mm[axis]),), "mm", 0.01)
        case "voxel size":
            return Expected((tuple(float(each) for each in spacing_mm),), "mm", 0.01)
        case _:
            return None
