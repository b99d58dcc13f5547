"""Generator of phantoms: from a seed to a scan with its label map, its lesion map and its facts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import UInt8
from scipy.ndimage import find_objects

from medvlsam2 import geometry
from medvlsam2.data.facts import ContrastPhase, Region, ScanFacts
from medvlsam2.data.phantom.anatomy.abdomen import paint_abdomen
from medvlsam2.data.phantom.anatomy.head import paint_head, paint_jaws
from medvlsam2.data.phantom.anatomy.neck import paint_neck
from medvlsam2.data.phantom.anatomy.pelvis import paint_gluteal_muscles, paint_pelvis
from medvlsam2.data.phantom.anatomy.skeleton import paint_skeleton
from medvlsam2.data.phantom.anatomy.thorax import paint_lungs, paint_mediastinum
from medvlsam2.data.phantom.anatomy.trunk import paint_back_muscles, paint_hull
from medvlsam2.data.phantom.anatomy.vessels import paint_vessels
from medvlsam2.data.phantom.canvas import Canvas
from medvlsam2.data.phantom.config import PhantomConfig
from medvlsam2.data.phantom.hull import Hull
from medvlsam2.data.phantom.pathology import findings, lesions
from medvlsam2.data.phantom.patient import draw_patient
from medvlsam2.data.phantom.scanner.acquisition import acquire, add_couch, draw_grid
from medvlsam2.data.phantom.scanner.artefacts import insert_metal
from medvlsam2.data.phantom.scene import LABEL_VALUES, STRUCTURE_KEYS, Scene
from medvlsam2.data.phantom.tissues import PHASES, Tissues
from medvlsam2.data.volume import CTVolume

_DEFAULT: Final = PhantomConfig()
MIN_VOXELS: Final = 8
"""A structure with fewer voxels loses its label: it counts as neither present nor absent."""
_REGIONS: Final[tuple[tuple[Region, float], ...]] = (
    ("head and neck", 0.2), ("chest", 0.18), ("abdomen", 0.18), ("pelvis", 0.08), ("chest and abdomen", 0.11),
    ("abdomen and pelvis", 0.13), ("trunk", 0.07), ("thighs", 0.05),
)  # fmt: skip


@dataclass(frozen=True)
class Phantom:
    """A synthetic scan about which everything is known.

    Args:
        volume: the scan.
        label_map: one value per structure, 0 elsewhere; the voxels of a lesion keep the value of their organ.
        labels: vocabulary key of each value in the label map.
        lesion_map: one value per lesion, 0 elsewhere.
        facts: facts that a report or a question may use.
    """

    volume: CTVolume
    label_map: UInt8[np.ndarray, "i j k"]
    labels: dict[int, str]
    lesion_map: UInt8[np.ndarray, "i j k"]
    facts: ScanFacts


def generate(seed: int, config: PhantomConfig = _DEFAULT) -> Phantom:
    """Return one phantom; the same seed and configuration always give the same bits.

    Each part draws from its own generator, ``default_rng([seed, part])``. So a change in one part, e.g. another grid,
    leaves the random numbers of the other parts as they are.

    Args:
        seed: an integer of at least 0.
        config: settings to fix; every other setting is drawn from the seed.
    """
    rng = np.random.default_rng([seed, 0])
    patient = draw_patient(np.random.default_rng([seed, 1]))
    region, phase, noise_hu = _draw_protocol(rng, config)
    grid = draw_grid(np.random.default_rng([seed, 2]), config, patient, region)
    num_lesions = config.num_lesions
    if num_lesions is None:
        num_lesions = int(rng.choice(5, p=[0.2, 0.25, 0.25, 0.18, 0.12]))
    canvas = Canvas(grid.shape_ijk, grid.affine, grid.patient_affine, np.random.default_rng([seed, 3]))
    scene = Scene(
        canvas=canvas,
        patient=patient,
        hull=Hull(canvas, patient, arms_down=patient.arms_down or region == "head and neck"),
        tissues=Tissues(phase, patient.marrow_hu, np.random.default_rng([seed, 4])),
        rng=np.random.default_rng([seed, 5]),
        organ_findings=findings.plan_organ_findings(region, num_lesions, np.random.default_rng([seed, 6])),
    )
    _paint(scene)
    absent = _drop_specks(scene.canvas.label_map)
    lesion_map, found = findings.place_findings(scene, num_lesions, np.random.default_rng([seed, 7]))
    implants = insert_metal(scene, np.random.default_rng([seed, 9]))
    if rng.random() < 0.6:
        add_couch(scene.canvas, grid, patient, rng)
    hu = acquire(canvas, grid.affine, implants, np.random.default_rng([seed, 8]), noise_hu)
    volume = CTVolume(hu, grid.affine, f"phantom-{seed:06d}")
    facts = _facts(scene, volume, lesion_map, found, absent)
    labels = {LABEL_VALUES[key]: key for key in facts.volumes_ml}
    return Phantom(volume, scene.canvas.label_map, labels, lesion_map, replace(facts, region=region, phase=phase))


def _draw_protocol(rng: np.random.Generator, config: PhantomConfig) -> tuple[Region, ContrastPhase, float]:
    names, weights = zip(*_REGIONS, strict=True)
    region: Region = names[int(rng.choice(len(names), p=weights))]
    phase: ContrastPhase = PHASES[int(rng.choice(len(PHASES), p=[0.35, 0.15, 0.4, 0.1]))]
    low_dose = 2.2 if rng.random() < 0.12 else 1.0
    noise_hu = low_dose * float(np.clip(rng.gamma(3.0, 4.5), 3.0, 40.0))
    noise_hu = noise_hu if config.noise_hu is None else config.noise_hu
    return config.region or region, config.phase or phase, noise_hu


def _paint(scene: Scene) -> None:
    paint_hull(scene)
    paint_back_muscles(scene)
    paint_gluteal_muscles(scene)
    paint_lungs(scene)
    paint_mediastinum(scene)
    paint_abdomen(scene)
    paint_pelvis(scene)
    paint_vessels(scene)
    paint_head(scene)
    paint_neck(scene)
    paint_skeleton(scene)
    paint_jaws(scene)


def _drop_specks(label_map: UInt8[np.ndarray, "i j k"]) -> tuple[str, ...]:
    """Remove the labels of structures with fewer than MIN_VOXELS voxels; return the structures without any voxel."""
    counts = np.bincount(label_map.ravel(), minlength=len(STRUCTURE_KEYS) + 1)
    for value in np.flatnonzero((counts > 0) & (counts < MIN_VOXELS)):
        label_map[label_map == value] = 0
    return tuple(key for key, value in LABEL_VALUES.items() if counts[value] == 0)


def _facts(
    scene: Scene,
    volume: CTVolume,
    lesion_map: UInt8[np.ndarray, "i j k"],
    found: list[lesions.Finding],
    absent: tuple[str, ...],
) -> ScanFacts:
    counts = np.bincount(scene.canvas.label_map.ravel(), minlength=len(STRUCTURE_KEYS) + 1)
    boxes = find_objects(lesion_map)
    voxel_ml = geometry.voxel_volume_ml(volume.affine)
    volumes = {key: round(float(counts[value]) * voxel_ml, 3) for key, value in LABEL_VALUES.items() if counts[value]}
    return ScanFacts(
        region="trunk",
        sex=scene.patient.sex,
        volumes_ml=volumes,
        absent=absent,
        lesions=tuple(
            lesions.measure(f, boxes[f.label_value - 1], lesion_map, volume.hu, volume.affine) for f in found
        ),
        lesions_known=True,
    )
