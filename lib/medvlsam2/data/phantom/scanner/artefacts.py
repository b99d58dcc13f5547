"""Artefacts of the simulated scanner: metal with streaks, beam hardening, photon starvation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Float32, Int
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from medvlsam2 import geometry
from medvlsam2.data.phantom.canvas import Shape
from medvlsam2.data.phantom.scene import LABEL_VALUES, SIDES, Scene
from medvlsam2.data.phantom.shapes import Ellipsoid, Tube, Union

Image = Float32[np.ndarray, "i j k"]
METAL_HU: Final = 3071.0
_STEP: Final = 4
"""Step in voxels at which shading is computed within a slice; shading is smooth, so every fourth voxel is enough."""


@dataclass(frozen=True)
class Axes:
    """The array axis that runs along the body, the two axes within a slice, and the spacing of all three."""

    slices: int
    right: int
    front: int
    spacing_mm: tuple[float, float, float]

    @classmethod
    def of(cls, affine: Float[np.ndarray, "4 4"]) -> Axes:
        """Return the array axes that are nearest to the axes of the patient."""
        world = [axis for axis, _ in geometry.closest_axes(affine)]
        return cls(world.index(2), world.index(0), world.index(1), geometry.spacing_mm(affine))


def insert_metal(scene: Scene, rng: np.random.Generator) -> list[Int[np.ndarray, "_ 3"]]:
    """Put fillings, a hip prosthesis or spinal screws into some patients; return the voxels of each implant."""
    canvas = scene.canvas
    chance = rng.random(3)
    shapes: list[tuple[str, Shape]] = []
    if chance[0] < 0.45:
        shapes += [("", filling) for filling in _fillings(rng)]
    if chance[1] < 0.08 * scene.patient.age_years / 60.0:
        sign, side = SIDES[int(rng.integers(2))]
        shapes.append((f"femur_{side}", _prosthesis(sign)))
    if chance[2] < 0.04:
        shapes += [("", screw) for screw in _screws(scene, rng)]
    found = []
    for key, shape in shapes:
        block = canvas.block(shape.lo, shape.hi)
        if block is None:
            continue
        distance = shape.distance(canvas, block)
        allowed = canvas.hu[block] > -500.0
        canvas.paint_field(block, distance, METAL_HU, LABEL_VALUES.get(key), allowed)
        at = np.argwhere((distance <= 0.0) & allowed)
        if len(at):
            found.append(at + np.array([s.start for s in block]))
    return found


def add_streaks(hu: Image, axes: Axes, implants: list[Int[np.ndarray, "_ 3"]], rng: np.random.Generator) -> None:
    """Add bright and dark rays that start at metal, in the slices of the metal, in place.

    The rays of neighbouring slices are similar: each slice keeps 0.8 of the rays of the slice before.
    """
    in_plane = (axes.right, axes.front)
    for implant in implants:
        strength = float(rng.uniform(120.0, 420.0))
        rays = _rays(rng)
        for k in np.unique(implant[:, axes.slices]):
            metal = implant[implant[:, axes.slices] == k]
            rays = 0.8 * rays + 0.6 * _rays(rng)
            plane = np.moveaxis(hu, (*in_plane, axes.slices), (0, 1, 2))[:, :, k]
            away = [
                (np.arange(hu.shape[axis]) - metal[:, axis].mean()).astype(np.float32)
                * np.float32(axes.spacing_mm[axis])
                for axis in in_plane
            ]
            radius = np.sqrt(away[0][:, None] ** 2 + away[1] ** 2)
            angle = np.arctan2(away[1], away[0][:, None])
            place = ((angle + np.float32(np.pi)) * np.float32(len(rays) / (2.0 * np.pi))).astype(np.int32)
            size_mm = np.sqrt(len(metal) * np.prod([axes.spacing_mm[axis] for axis in in_plane]))
            fall = np.float32(size_mm) / (np.float32(0.6 * size_mm) + radius)
            plane += np.float32(strength) * rays.take(place, mode="wrap") * np.minimum(fall, 1.0) * (plane > -900.0)


def harden(hu: Image, axes: Axes, rng: np.random.Generator) -> None:
    """Add beam hardening in place: soft tissue near and between dense bones becomes darker."""
    strength = np.float32(rng.uniform(0.03, 0.12))
    thin = tuple(slice(None) if axis == axes.slices else slice(None, None, _STEP) for axis in range(3))
    dense = np.clip(hu[thin] - np.float32(250.0), 0.0, 1500.0)
    sigma = [0.0, 0.0, 0.0]
    sigma[axes.right] = 26.0 / (_STEP * axes.spacing_mm[axes.right])
    sigma[axes.front] = 9.0 / (_STEP * axes.spacing_mm[axes.front])
    shade = gaussian_filter(dense, sigma, truncate=2.0) * -strength
    for axis in (axes.right, axes.front):
        shade = _stretch(shade, axis, hu.shape[axis])
    hu += shade * ((hu > -250.0) & (hu < 250.0))


def starve(hu: Image, axes: Axes, rng: np.random.Generator, noise_hu: float) -> Float32[np.ndarray, "..."]:
    """Return the noise of photon starvation: streaks from side to side where shoulders or hips leave few photons."""
    thin = tuple(slice(None, None, _STEP) if axis == axes.right else slice(None) for axis in range(3))
    spacing = axes.spacing_mm[axes.right] * _STEP
    path_mm = (np.clip(hu[thin] + 1000.0, 0.0, 2500.0) * np.float32(spacing / 1000.0)).sum(
        axis=axes.right, keepdims=True
    )
    excess = np.clip(path_mm / np.float32(330.0) - np.float32(1.0), 0.0, 1.2)
    rows = rng.standard_normal(excess.shape, dtype=np.float32)
    return np.asarray(np.float32(1.3 * noise_hu) * excess * rows)


def _rays(rng: np.random.Generator) -> Float32[np.ndarray, " n"]:
    fine = gaussian_filter1d(rng.standard_normal(720), 3.0, mode="wrap")
    wide = gaussian_filter1d(rng.standard_normal(720), 14.0, mode="wrap")
    both = fine / fine.std() + wide / wide.std()
    return np.asarray(both * 0.6, np.float32)


def _stretch(values: Image, axis: int, length: int) -> Float32[np.ndarray, "..."]:
    """Return values of every fourth voxel interpolated linearly to every voxel along one axis."""
    at = np.minimum(np.arange(length) / _STEP, values.shape[axis] - 1.0)
    low = np.minimum(at.astype(int), max(values.shape[axis] - 2, 0))
    share = (at - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    below = values.take(low, axis=axis)
    above = values.take(np.minimum(low + 1, values.shape[axis] - 1), axis=axis)
    return np.asarray(below + share * (above - below))


def _fillings(rng: np.random.Generator) -> list[Shape]:
    found: list[Shape] = []
    for _ in range(int(rng.integers(1, 7))):
        angle = float(rng.uniform(0.15, 0.85) * np.pi)
        height = 556.0 if rng.random() < 0.5 else 548.0
        place = (28.0 * np.cos(angle), 38.0 + 49.0 * np.sin(angle), height)
        found.append(Ellipsoid(place, rng.uniform(2.2, 4.2, 3)))
    return found


def _prosthesis(sign: float) -> Shape:
    stem = Tube([(sign * 96, 8, -90), (sign * 122, 0, -116), (sign * 124, 6, -160), (sign * 112, 10, -250)],
                (9, 10, 8, 5), samples=10)  # fmt: skip
    return Union(Ellipsoid((sign * 90, 10, -84), (22, 22, 22)), stem, blend_mm=4.0)


def _screws(scene: Scene, rng: np.random.Generator) -> list[Shape]:
    bottom = int(rng.integers(0, 3))
    tops = (33.0, 68.0, 103.0, 138.0)[bottom : bottom + 2]
    screws: list[Shape] = []
    for top in tops:
        z = top - 10.0
        front = scene.spine_y(z)
        for sign, _ in SIDES:
            screws.append(Tube([(sign * 16, front - 40, z), (sign * 12, front + 6, z)], (3.2, 2.6), samples=2))
    return screws
