"""The simulated acquisition: voxel grid, couch, blur of the reconstruction kernel, and noise."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product
from typing import Final

import numpy as np
from jaxtyping import Float, Int, Int16
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from medvlsam2.data.phantom.canvas import Canvas
from medvlsam2.data.phantom.config import REGION_RANGE_MM, PhantomConfig
from medvlsam2.data.phantom.patient import Patient
from medvlsam2.data.phantom.scanner import artefacts
from medvlsam2.data.volume import HU_MAX, HU_MIN

AXIAL_CODES: Final = ("RAS", "LPS", "LAS", "RPS", "LPI", "RAI")
"""Orientations that axial series commonly have."""
_LETTERS: Final = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


@dataclass(frozen=True)
class Grid:
    """The voxel grid of a scan."""

    shape_ijk: tuple[int, int, int]
    """Voxels along i, j and k."""
    affine: Float[np.ndarray, "4 4"]
    """``_ijk`` to ``_ras`` mm."""
    patient_affine: Float[np.ndarray, "4 4"]
    """``_ras`` to the frame of the reference patient."""


def draw_grid(rng: np.random.Generator, config: PhantomConfig, patient: Patient, region: str) -> Grid:
    """Draw spacing, field of view, orientation and tilt; settings that the configuration fixes are kept."""
    code = config.orientation or _draw_code(rng)
    axes = np.zeros((3, 3))
    for axis, letter in enumerate(code):
        world, sign = _LETTERS[letter]
        axes[world, axis] = sign
    order = np.abs(axes).argmax(0)
    low, high = _covered(rng, region)
    low, high = low * patient.scale[2], high * patient.scale[2]
    view_mm = np.array([*_in_plane_view(rng, patient, region), high - low])
    shape, spacing = _draw_sampling(rng, config, order, view_mm)
    slack = max(0.0, (high - low) - shape[2] * spacing[2])
    height = 0.5 * (low + high) + rng.uniform(-0.5, 0.5) * slack
    angle = config.oblique_degrees
    if angle is None:
        angle = float(rng.uniform(1.0, 12.0)) if rng.random() < 0.2 else 0.0
    axis_of_tilt = rng.standard_normal(3)
    tilt = Rotation.from_rotvec(np.deg2rad(angle) * axis_of_tilt / np.linalg.norm(axis_of_tilt)).as_matrix()
    place = rng.normal(0.0, 30.0, 3)
    center = place + np.array([rng.normal(0.0, 4.0), 10.0 * patient.scale[1] + rng.normal(0.0, 6.0), height])
    affine = np.eye(4)
    affine[:3, :3] = tilt @ axes * spacing[order]
    affine[:3, 3] = center - affine[:3, :3] @ ((shape[order] - 1) / 2.0)
    to_patient = np.eye(4)
    to_patient[:3, :3] = np.diag(1.0 / np.asarray(patient.scale))
    to_patient[:3, 3] = -place / np.asarray(patient.scale)
    i, j, k = (int(n) for n in shape[order])
    return Grid((i, j, k), affine, to_patient)


def add_couch(canvas: Canvas, grid: Grid, patient: Patient, rng: np.random.Generator) -> None:
    """Paint the couch below the patient: two thin shells of a shallow trough."""
    frame = grid.patient_affine @ grid.affine
    index = np.ogrid[tuple(slice(0, n) for n in grid.shape_ijk)]
    x, y, z = (
        sum(np.float32(frame[row, axis]) * index[axis].astype(np.float32) for axis in range(3))
        + np.float32(frame[row, 3])
        for row in range(3)
    )
    inside = (z > z.min() - 1.0) & (np.abs(x) < np.float32(205.0))
    heights = canvas.z[tuple(n // 2 for n in grid.shape_ijk)] + np.linspace(-60.0, 60.0, 5)
    back = min(patient.profile("outer_back", h) - patient.profile("fat", h) for h in heights)
    bowl = y - np.float32(back - 14.0) - np.float32(0.0007) * x * x
    thick = np.float32(max(1.4, 0.5 * float(canvas.softness_mm)))
    for depth, hu in ((0.0, rng.uniform(-350, -120)), (32.0, rng.uniform(-600, -300))):
        shell = inside & (np.abs(bowl + np.float32(depth)) < thick) & (canvas.hu < -900.0)
        canvas.hu[shell] = np.float32(hu)


def acquire(
    canvas: Canvas,
    affine: Float[np.ndarray, "4 4"],
    implants: list[Int[np.ndarray, "_ 3"]],
    rng: np.random.Generator,
    noise_hu: float,
) -> Int16[np.ndarray, "i j k"]:
    """Reconstruct with a soft or a sharp kernel, add artefacts and noise, and round to whole HU."""
    axes = artefacts.Axes.of(affine)
    spacing = np.asarray(axes.spacing_mm)
    kernel_mm = np.full(3, rng.uniform(0.45, 0.95))
    kernel_mm[axes.slices] = 0.3 * spacing[axes.slices]
    hu = gaussian_filter(canvas.hu, kernel_mm / spacing, truncate=2.5)
    if rng.random() < 0.2:
        hu += np.float32(rng.uniform(0.3, 0.9)) * (canvas.hu - hu)
    artefacts.harden(hu, axes, rng)
    artefacts.add_streaks(hu, axes, implants, rng)
    if noise_hu > 0.0:
        grain = np.minimum(0.65 / spacing, 1.2)
        grain[axes.slices] = 0.0
        noise = gaussian_filter(rng.standard_normal(hu.shape, dtype=np.float32), grain, truncate=2.5)
        noise *= np.float32(noise_hu / noise.std())
        if rng.random() < 0.5:
            noise += artefacts.starve(hu, axes, rng, noise_hu)
        hu += noise
    np.rint(hu, out=hu)
    return np.asarray(np.clip(hu, HU_MIN, HU_MAX, out=hu).astype(np.int16))


def _draw_code(rng: np.random.Generator) -> str:
    if rng.random() < 0.9:
        return str(rng.choice(AXIAL_CODES))
    codes = ["".join(c) for order in permutations(("RL", "AP", "SI")) for c in product(*order)]
    return str(rng.choice(codes))


def _covered(rng: np.random.Generator, region: str) -> tuple[float, float]:
    """Return the heights of the lowest and the highest slice in the reference frame.

    Scans of the head and neck get random ends: real ones end at different heights.
    """
    low, high = REGION_RANGE_MM[region]
    if region == "head and neck":
        return low + float(rng.uniform(-30.0, 50.0)), high + float(rng.choice([10.0, -25.0, -60.0, -95.0]))
    return low, high


def _in_plane_view(rng: np.random.Generator, patient: Patient, region: str) -> tuple[float, float]:
    low, high = REGION_RANGE_MM[region]
    heights = np.linspace(low, high, 12)
    half = max(patient.profile("outer_half", z) + patient.profile("fat", z) for z in heights)
    depth = max(
        patient.profile("outer_front", z) - patient.profile("outer_back", z) + 2 * patient.profile("fat", z)
        for z in heights
    )
    margin = rng.uniform(-10.0, 70.0)
    if region == "thighs":
        half, depth = 160.0 + 1.2 * patient.fat_mm, 200.0 + patient.fat_mm
    if region == "head and neck":
        half, depth = (245.0, 235.0) if rng.random() < 0.6 else (rng.uniform(105.0, 150.0), 235.0)
    return 2.0 * half * patient.scale[0] + margin, depth * patient.scale[1] + margin


def _draw_sampling(
    rng: np.random.Generator,
    config: PhantomConfig,
    order: np.ndarray,
    view_mm: Float[np.ndarray, " 3"],
) -> tuple[np.ndarray, Float[np.ndarray, " 3"]]:
    """Return the number of voxels and the spacing along the patient's x, y and z."""
    pixel = float(np.exp(rng.uniform(np.log(0.7), np.log(4.0))))
    thickness = float(rng.choice([1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0]))
    square = rng.random() < 0.7
    back = np.argsort(order)
    spacing = None if config.spacing_mm is None else np.asarray(config.spacing_mm, float)[back]
    if config.shape_ijk is not None:
        shape = np.asarray(config.shape_ijk)[back]
        if spacing is None:
            pixel = float(np.clip((view_mm[:2] / shape[:2]).max(), 0.5, 6.0))
            spacing = np.array([pixel, pixel, np.clip(view_mm[2] / shape[2], 1.0, 5.0)])
        return shape, spacing
    if square:
        view_mm = np.array([view_mm[0], view_mm[0], view_mm[2]])
    if spacing is None:
        spacing = np.array([pixel, pixel, thickness])
        while np.prod(np.ceil(view_mm / spacing)) > config.max_voxels:
            spacing *= 1.05
    return np.maximum(np.ceil(view_mm / spacing).astype(int), 8), spacing
