"""From a seed to a scan with its label map, its lesions and everything that is known about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import UInt8

from medvlsam2 import geometry
from medvlsam2.data.facts import ContrastPhase, Region, ScanFacts, Side
from medvlsam2.data.phantom import lesions
from medvlsam2.data.phantom.abdomen import paint_abdomen
from medvlsam2.data.phantom.acquisition import add_couch, draw_grid, scan
from medvlsam2.data.phantom.canvas import Canvas
from medvlsam2.data.phantom.config import REGION_RANGE_MM, PhantomConfig
from medvlsam2.data.phantom.patient import draw_patient
from medvlsam2.data.phantom.pelvis import paint_gluteal_muscles, paint_pelvis
from medvlsam2.data.phantom.scene import LABEL_VALUES, STRUCTURE_KEYS, AorticAneurysm, Scene
from medvlsam2.data.phantom.skeleton import paint_skeleton
from medvlsam2.data.phantom.thorax import paint_lungs, paint_mediastinum
from medvlsam2.data.phantom.tissues import PHASES, Tissues
from medvlsam2.data.phantom.trunk import paint_back_muscles, paint_hull
from medvlsam2.data.phantom.vessels import paint_vessels
from medvlsam2.data.volume import CTVolume

_DEFAULT: Final = PhantomConfig()
MIN_VOXELS: Final = 8
"""A structure with fewer voxels is not labelled: it is neither present nor absent."""
_REGIONS: Final[tuple[tuple[Region, float], ...]] = (
    ("chest", 0.2), ("abdomen", 0.25), ("pelvis", 0.1), ("chest and abdomen", 0.15),
    ("abdomen and pelvis", 0.2), ("trunk", 0.1),
)  # fmt: skip


@dataclass(frozen=True)
class Phantom:
    """A made-up scan of which everything is known.

    Args:
        volume: the scan.
        label_map: one value per structure, 0 elsewhere; a lesion's voxels keep their organ's value.
        labels: vocabulary key of every value that the label map holds.
        lesion_map: one value per lesion, 0 elsewhere.
        facts: what a report or a question may speak of.
    """

    volume: CTVolume
    label_map: UInt8[np.ndarray, "i j k"]
    labels: dict[int, str]
    lesion_map: UInt8[np.ndarray, "i j k"]
    facts: ScanFacts


def generate(seed: int, config: PhantomConfig = _DEFAULT) -> Phantom:
    """Make one phantom; the same seed and configuration give the same bits.

    Args:
        seed: any integer from 0.
        config: what to fix; everything else is drawn from the seed.
    """
    rng = np.random.default_rng([seed, 0])
    patient = draw_patient(np.random.default_rng([seed, 1]))
    region, phase, noise_hu = _draw_protocol(rng, config)
    grid = draw_grid(np.random.default_rng([seed, 2]), config, patient, region)
    num_lesions = config.num_lesions
    if num_lesions is None:
        num_lesions = int(rng.choice(5, p=[0.2, 0.25, 0.25, 0.18, 0.12]))
    scene = Scene(
        canvas=Canvas(grid.shape_ijk, grid.affine, grid.patient_affine, np.random.default_rng([seed, 3])),
        patient=patient,
        tissues=Tissues(phase, patient.marrow_hu, np.random.default_rng([seed, 4])),
        rng=np.random.default_rng([seed, 5]),
    )
    scene = _plan_organ_findings(scene, region, num_lesions, np.random.default_rng([seed, 6]))
    _paint(scene)
    absent = _drop_specks(scene.canvas.label_map)
    lesion_map, findings = _place_findings(scene, num_lesions, np.random.default_rng([seed, 7]))
    if rng.random() < 0.6:
        add_couch(scene.canvas, grid, patient, rng)
    hu = scan(scene.canvas, grid, np.random.default_rng([seed, 8]), noise_hu)
    volume = CTVolume(hu, grid.affine, f"phantom-{seed:06d}")
    facts = _facts(scene, volume, lesion_map, findings, absent)
    labels = {LABEL_VALUES[key]: key for key in facts.volumes_ml}
    return Phantom(volume, scene.canvas.label_map, labels, lesion_map, replace(facts, region=region, phase=phase))


def _draw_protocol(rng: np.random.Generator, config: PhantomConfig) -> tuple[Region, ContrastPhase, float]:
    names, weights = zip(*_REGIONS, strict=True)
    region: Region = names[int(rng.choice(len(names), p=weights))]
    phase: ContrastPhase = PHASES[int(rng.choice(len(PHASES), p=[0.35, 0.15, 0.4, 0.1]))]
    noise_hu = float(np.clip(rng.gamma(3.0, 4.5), 3.0, 40.0))
    noise_hu = noise_hu if config.noise_hu is None else config.noise_hu
    return config.region or region, config.phase or phase, noise_hu


def _plan_organ_findings(scene: Scene, region: Region, num_lesions: int, rng: np.random.Generator) -> Scene:
    """Choose findings that change an organ as a whole, before anything is painted."""
    low, high = REGION_RANGE_MM[region]
    if num_lesions > 0 and low < 100.0 < high and rng.random() < 0.14:
        bulge = AorticAneurysm(
            z_mm=rng.uniform(82, 108), radius_mm=rng.uniform(17, 29), half_length_mm=rng.uniform(22, 36)
        )
        return replace(scene, aneurysm=bulge)
    if num_lesions > 0 and low < -60.0 and rng.random() < 0.12:
        return replace(scene, full_bladder=True)
    return scene


def _paint(scene: Scene) -> None:
    paint_hull(scene)
    paint_back_muscles(scene)
    paint_gluteal_muscles(scene)
    paint_lungs(scene)
    paint_mediastinum(scene)
    paint_abdomen(scene)
    paint_pelvis(scene)
    paint_vessels(scene)
    paint_skeleton(scene)


def _place_findings(
    scene: Scene, num_lesions: int, rng: np.random.Generator
) -> tuple[UInt8[np.ndarray, "i j k"], list[lesions.Finding]]:
    canvas = scene.canvas
    lesion_map = np.zeros_like(canvas.label_map)
    findings: list[lesions.Finding] = []
    bulge = scene.aneurysm
    if bulge is not None:
        stretch = np.abs(canvas.z - np.float32(bulge.z_mm)) < np.float32(bulge.half_length_mm)
        mask = (canvas.label_map == LABEL_VALUES["aorta"]) & stretch
        if lesions.mark_whole(canvas, lesion_map, 1, mask, 20):
            findings.append(lesions.Finding("aneurysm", "aorta", 1, transverse=True))
    if scene.full_bladder:
        mask, value = canvas.label_map == LABEL_VALUES["urinary_bladder"], len(findings) + 1
        if lesions.mark_whole(canvas, lesion_map, value, mask, 50):
            findings.append(lesions.Finding("dilatation", "urinary_bladder", value))
    sides: tuple[Side, Side] = ("left", "right")
    for side in sides:
        if len(findings) < num_lesions and rng.random() < 0.12:
            value = len(findings) + 1
            if lesions.mark_whole(canvas, lesion_map, value, lesions.pour_effusion(scene, side), 50):
                findings.append(lesions.Finding("effusion", f"lung_{side}", value))
    while len(findings) < num_lesions:
        found = lesions.implant_focal(scene, lesion_map, len(findings) + 1)
        if found is None:
            break
        findings.append(found)
    return lesion_map, findings


def _drop_specks(label_map: UInt8[np.ndarray, "i j k"]) -> tuple[str, ...]:
    """Unlabel structures of which the field of view holds next to nothing; return those that it lacks."""
    counts = np.bincount(label_map.ravel(), minlength=len(STRUCTURE_KEYS) + 1)
    for value in np.flatnonzero((counts > 0) & (counts < MIN_VOXELS)):
        label_map[label_map == value] = 0
    return tuple(key for key, value in LABEL_VALUES.items() if counts[value] == 0)


def _facts(
    scene: Scene,
    volume: CTVolume,
    lesion_map: UInt8[np.ndarray, "i j k"],
    findings: list[lesions.Finding],
    absent: tuple[str, ...],
) -> ScanFacts:
    counts = np.bincount(scene.canvas.label_map.ravel(), minlength=len(STRUCTURE_KEYS) + 1)
    voxel_ml = geometry.voxel_volume_ml(volume.affine)
    volumes = {key: round(float(counts[value]) * voxel_ml, 3) for key, value in LABEL_VALUES.items() if counts[value]}
    return ScanFacts(
        region="trunk",
        sex=scene.patient.sex,
        volumes_ml=volumes,
        absent=absent,
        lesions=tuple(lesions.measure(f, lesion_map, volume.hu, volume.affine) for f in findings),
        lesions_known=True,
    )
