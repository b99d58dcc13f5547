"""Choice of a scan's findings: some are planned before painting, the others are implanted after painting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from medvlsam2.data.facts import Region
from medvlsam2.data.phantom.config import REGION_RANGE_MM
from medvlsam2.data.phantom.pathology import diffuse
from medvlsam2.data.phantom.pathology.lesions import (
    FOCAL_KINDS,
    Finding,
    LesionMap,
    implant,
    mark_whole,
)
from medvlsam2.data.phantom.patient import VERTEBRA_TOPS_MM
from medvlsam2.data.phantom.scene import LABEL_VALUES, AorticAneurysm, OrganFindings, Scene
from medvlsam2.data.structures.table import Side

Implant = Callable[[Scene, LesionMap, int], Finding | None]

_PLANNED: Final[tuple[tuple[str, float, float, float], ...]] = (
    ("aneurysm", 60.0, 125.0, 0.12),
    ("bladder", -120.0, -50.0, 0.14),
    ("heart", 215.0, 335.0, 0.12),
    ("spleen", 130.0, 230.0, 0.1),
    ("ascites", 0.0, 180.0, 0.1),
    ("fracture", 0.0, 440.0, 0.1),
)
"""Planned findings: name, lowest and highest height (mm) that must be visible, and the probability per scan."""


@dataclass(frozen=True)
class _Diffuse:
    """A finding that has its own function in ``diffuse``."""

    make: Implant
    kind: str
    structure: str
    needs: str
    """Key of the structure that must be visible."""
    weight: float


def _of_side(make: Callable[[Scene, Side, LesionMap, int], Finding | None], side: Side) -> Implant:
    return lambda scene, lesion_map, value: make(scene, side, lesion_map, value)


_SIDES: Final[tuple[Side, Side]] = ("left", "right")
_DIFFUSE: Final = (
    *(
        _Diffuse(_of_side(make, side), kind, f"{organ}_{side}", f"{organ}_{side}", weight)
        for make, kind, organ, weight in (
            (diffuse.pour_effusion, "effusion", "lung", 0.45),
            (diffuse.let_in_air, "pneumothorax", "lung", 0.3),
            (diffuse.dilate_pelvis, "hydronephrosis", "kidney", 0.45),
        )
        for side in _SIDES
    ),
    _Diffuse(diffuse.calcify_coronary, "calcification", "coronary_arteries", "heart", 0.7),
    _Diffuse(diffuse.dissect, "dissection", "aorta", "aorta", 0.7),
    _Diffuse(diffuse.grow_sarcoma, "sarcoma", "skeletal_muscle", "femur_left", 1.6),
    _Diffuse(diffuse.grow_sarcoma, "sarcoma", "skeletal_muscle", "humerus_left", 0.3),
)
_ONCE: Final = frozenset({"consolidation"})
_EXCLUSIVE: Final = frozenset({"fracture", "enlargement", "pneumothorax"})
"""Kinds that fill their organ, so that no other finding is implanted there."""


def plan_organ_findings(region: Region, num_lesions: int, rng: np.random.Generator) -> OrganFindings:
    """Choose the findings that change an organ as a whole; call this before painting."""
    low, high = REGION_RANGE_MM[region]
    chosen = OrganFindings()
    planned = 0
    for index in rng.permutation(len(_PLANNED)):
        name, bottom, top, share = _PLANNED[int(index)]
        seen = min(high, top) - max(low, bottom) > 0.6 * (top - bottom) or (name == "fracture" and low < 380.0)
        if rng.random() < share and seen and planned < num_lesions:
            chosen = _with(chosen, name, (max(low, bottom), min(high, top)), rng)
            planned += 1
    return chosen


def place_findings(scene: Scene, num_lesions: int, rng: np.random.Generator) -> tuple[LesionMap, list[Finding]]:
    """Mark the planned findings, then implant others until there are ``num_lesions`` or 14 attempts are over."""
    lesion_map = np.zeros_like(scene.canvas.label_map)
    findings = _mark_planned(scene, lesion_map)
    for _ in range(14):
        if len(findings) >= num_lesions:
            break
        found = _implant_one(scene, lesion_map, len(findings) + 1, findings, rng)
        if found is not None:
            findings.append(found)
    return lesion_map, findings


def _with(chosen: OrganFindings, name: str, heights: tuple[float, float], rng: np.random.Generator) -> OrganFindings:
    if name == "aneurysm":
        bulge = AorticAneurysm(
            z_mm=rng.uniform(82, 108), radius_mm=rng.uniform(17, 29), half_length_mm=rng.uniform(22, 36)
        )
        return replace(chosen, aneurysm=bulge)
    if name == "bladder":
        return replace(chosen, bladder=float(rng.uniform(1.32, 1.5)))
    if name == "heart":
        return replace(chosen, heart=float(rng.uniform(1.18, 1.34)))
    if name == "spleen":
        return replace(chosen, spleen=float(rng.uniform(1.32, 1.65)))
    if name == "ascites":
        return replace(chosen, ascites_mm=float(rng.uniform(9.0, 28.0)))
    levels = [f"vertebrae_{level}" for level, top in VERTEBRA_TOPS_MM if heights[0] + 35 < top < heights[1]]
    level = levels[int(rng.integers(len(levels)))] if levels else "vertebrae_T12"
    return replace(chosen, fracture=(level, float(rng.uniform(0.35, 0.6))))


def _mark_planned(scene: Scene, lesion_map: LesionMap) -> list[Finding]:
    canvas, chosen = scene.canvas, scene.organ_findings
    findings: list[Finding] = []

    def mark(kind: str, key: str, min_voxels: int, *, transverse: bool = False) -> None:
        mask = canvas.label_map == LABEL_VALUES[key]
        if chosen.aneurysm is not None and key == "aorta":
            bulge = chosen.aneurysm
            mask &= np.abs(canvas.z - np.float32(bulge.z_mm)) < np.float32(bulge.half_length_mm)
        value = len(findings) + 1
        if mark_whole(canvas, lesion_map, value, mask, min_voxels):
            findings.append(Finding(kind, key, value, transverse=transverse))

    if chosen.aneurysm is not None:
        mark("aneurysm", "aorta", 20, transverse=True)
    if chosen.bladder is not None:
        mark("dilatation", "urinary_bladder", 50)
    if chosen.heart is not None:
        mark("enlargement", "heart", 50)
    if chosen.spleen is not None:
        mark("enlargement", "spleen", 50)
    if chosen.fracture is not None:
        mark("fracture", chosen.fracture[0], 12)
    fluid = diffuse.fill_ascites(scene, lesion_map, len(findings) + 1)
    return findings if fluid is None else [*findings, fluid]


def _implant_one(
    scene: Scene, lesion_map: LesionMap, value: int, so_far: list[Finding], rng: np.random.Generator
) -> Finding | None:
    """Draw one kind of finding that fits the field of view and implant it; return None if there is no room for it."""
    counts = np.bincount(scene.canvas.label_map.ravel(), minlength=256)
    seen = {key for key, label in LABEL_VALUES.items() if counts[label] > 30}
    taken = {(found.kind, found.structure) for found in so_far}
    focal = [kind for kind in FOCAL_KINDS if seen & set(kind.structures)]
    spread = [entry for entry in _DIFFUSE if entry.needs in seen and (entry.kind, entry.structure) not in taken]
    weights = np.array([*(kind.weight for kind in focal), *(entry.weight for entry in spread)])
    if not len(weights):
        return None
    index = int(rng.choice(len(weights), p=weights / weights.sum()))
    if index >= len(focal):
        return spread[index - len(focal)].make(scene, lesion_map, value)
    kind = focal[index]
    hosts = [key for key in kind.structures if key in seen]
    structure = hosts[int(rng.integers(len(hosts)))]
    filled = {found.structure for found in so_far if found.kind in _EXCLUSIVE}
    again = kind.kind in _ONCE and (kind.kind, structure) in taken
    if again or structure in filled or not implant(scene, kind, structure, lesion_map, value):
        return None
    return Finding(kind.kind, structure, value)
