"""Questions about the scan as a whole: part of the body, contrast phase, plane, slices and voxels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from medvlsam2 import geometry
from medvlsam2.data.language import anatomy
from medvlsam2.data.query.queries import AskScan, ScanQuestion
from medvlsam2.tasks.measure.masks.mask_measures import slice_axis
from medvlsam2.tasks.questions.executing.lists import impression
from medvlsam2.tasks.questions.executing.outcome import Outcome
from medvlsam2.tasks.questions.executing.scene import Scene

PLANES: Final = ("sagittal", "coronal", "axial")
"""Plane of slices that are stacked along the world axes R, A and S."""


def of_scan(query: AskScan, scene: Scene) -> Outcome:
    """What a query asks of the whole scan."""
    return _ANSWERS[query.what](query, scene)


def _region(query: AskScan, scene: Scene) -> Outcome:
    region = scene.facts.region()
    if region is None:
        reason = "No structure is seen that tells the part of the body."
        return Outcome(query=query, state="not assessed", reason=reason)
    also = scene.facts.rule("region").reason if "region" in scene.facts.rules else ""
    scan_range = scene.facts.scan_range()
    covers = "" if scan_range is None else f"It covers about {scan_range.levels()}."
    return Outcome(query=query, value=anatomy.REGION_NAMES[region], reason=" ".join(filter(None, [covers, also])))


def _phase(query: AskScan, scene: Scene) -> Outcome:
    if "phase" not in scene.facts.rules:
        return Outcome(query=query, state="not assessed", reason="The contrast phase is not measured.")
    fact = scene.facts.rule("phase")
    if not fact.label:
        return Outcome(query=query, state="not assessed", reason=fact.reason)
    return Outcome(query=query, value=fact.label, evidence=(fact,))


def _modality(query: AskScan, scene: Scene) -> Outcome:
    """Always CT: the program reads nothing else, and warns of intensities that do not look like Hounsfield units."""
    return Outcome(query=query, value="CT", reason=" ".join(w for w in scene.volume.warnings if "CT" in w))


def _plane(query: AskScan, scene: Scene) -> Outcome:
    """The plane of the slices as they were acquired: across the one axis whose spacing differs from the other two."""
    axis = _stacked_axis(scene.volume.spacing_mm)
    if axis is None:
        axis = slice_axis(scene.volume.affine)
    world, _ = geometry.closest_axes(scene.volume.affine)[axis]
    return Outcome(query=query, value=PLANES[world])


def _stacked_axis(spacing_mm: tuple[float, float, float]) -> int | None:
    """The axis across the slices, since pixels are square; None where all spacings are equal or all differ."""
    pairs = ((0, 1, 2), (0, 2, 1), (1, 2, 0))
    odd = [other for one, two, other in pairs if abs(spacing_mm[one] - spacing_mm[two]) < _EQUAL_MM]
    return odd[0] if len(odd) == 1 else None


def _num_slices(query: AskScan, scene: Scene) -> Outcome:
    return Outcome(query=query, value=int(scene.volume.shape_ijk[slice_axis(scene.volume.affine)]))


def _slice_thickness(query: AskScan, scene: Scene) -> Outcome:
    """The distance of neighbouring slices; the scan in memory does not know whether slices overlap."""
    return Outcome(query=query, value=float(scene.volume.spacing_mm[slice_axis(scene.volume.affine)]), unit="mm")


def _voxel_size(query: AskScan, scene: Scene) -> Outcome:
    spacing_mm = tuple(round(float(length_mm), 3) for length_mm in scene.volume.spacing_mm)
    return Outcome(query=query, value=spacing_mm, unit="mm")


_EQUAL_MM: Final = 0.01
"""Spacings that differ less are equal: headers round them."""
_ANSWERS: Final[dict[ScanQuestion, Callable[[AskScan, Scene], Outcome]]] = {
    "region": _region,
    "phase": _phase,
    "modality": _modality,
    "plane": _plane,
    "number of slices": _num_slices,
    "slice thickness": _slice_thickness,
    "voxel size": _voxel_size,
    "impression": impression,
}
