"""One labelled scan becomes another: shape, tissues, scanner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int16
from nibabel.orientations import apply_orientation
from scipy.ndimage import gaussian_filter

from medvlsam2 import geometry
from medvlsam2.data import vocabulary
from medvlsam2.data.facts import ContrastPhase
from medvlsam2.data.label_maps import LabelMap
from medvlsam2.data.phantom.tissues import PHASES, Tissues
from medvlsam2.data.synthesis.shape import draw_warp, warp_image, warp_labels
from medvlsam2.data.synthesis.tissue import LabelledArray, recolour, smooth_noise
from medvlsam2.data.volume import HU_MAX, HU_MIN, CTVolume


@dataclass(frozen=True, kw_only=True)
class SynthesisConfig:
    """How far a new scan goes from its source."""

    scale: float = 0.15
    """Largest change of the body's size."""
    slice_spacing_mm: tuple[float, float] = (1.0, 5.0)
    """Range of the distance of slices."""
    max_slices: int = 160
    """A scan that would have more is cut to a slab."""
    slab_share: float = 0.5
    """Share of new scans that show only a slab of the source."""
    shortest_slab_mm: float = 40.0
    """Length of the shortest slab along the body."""
    recolour_share: float = 0.85
    """Share of new scans with new tissues; the others keep their HU."""
    drawn_texture_share: float = 0.15
    """Share of re-coloured scans whose organs have drawn instead of real texture."""


def synthesise(
    volume: CTVolume,
    label_map: LabelMap,
    names: Mapping[int, str],
    rng: np.random.Generator,
    config: SynthesisConfig | None = None,
) -> tuple[CTVolume, LabelMap]:
    """Make a new labelled scan of a labelled one; left stays left.

    Args:
        volume: a real scan.
        label_map: its labels, on the same grid.
        names: name of each label value; values without one keep their HU.
        rng: source of every choice.
        config: how far to go.

    Returns:
        The scan and its label map on a new grid in RAS order, with ``names``.
    """
    config = config or SynthesisConfig()
    geometry.require_same_grid(
        f"Label map of '{volume.image_id}'", volume.shape_ijk, volume.affine, label_map.values.shape, label_map.affine
    )
    orientation = np.array(geometry.closest_axes(volume.affine))  # the axes that the affine is reoriented by
    hu, labels = (apply_orientation(array, orientation) for array in (volume.hu, label_map.values))
    affine = geometry.reoriented_affine(volume.affine, volume.shape_ijk)
    spacing_mm = np.asarray(geometry.spacing_mm(affine))
    new_spacing_mm = _draw_spacing(spacing_mm, rng, config)
    warp = draw_warp(
        hu.shape,
        affine,
        spacing_mm,
        rng,
        scale=config.scale,
        slab_mm=_draw_slab(hu.shape[2] * spacing_mm[2], new_spacing_mm[2], rng, config),
        new_spacing_mm=new_spacing_mm,
    )
    image, new_labels = warp_image(hu, warp), warp_labels(labels, warp)
    if rng.random() < config.recolour_share:
        keys = {value: found.key for value, name in names.items() if (found := vocabulary.lookup(name)) is not None}
        tissues = Tissues(_draw_phase(rng), float(rng.uniform(110, 230)), rng)
        own_texture = rng.random() >= config.drawn_texture_share
        scan = LabelledArray(image, new_labels, keys, new_spacing_mm)
        image = recolour(scan, tissues, rng, own_texture=own_texture)
    scanned = _acquired(image, new_spacing_mm, spacing_mm, rng)
    return (
        CTVolume(hu=scanned, affine=warp.affine, image_id=volume.image_id),
        LabelMap(new_labels, warp.affine, dict(names)),
    )


def _draw_phase(rng: np.random.Generator) -> ContrastPhase:
    return PHASES[int(rng.choice(len(PHASES), p=[0.2, 0.2, 0.45, 0.15]))]


def _draw_spacing(
    spacing_mm: Float[np.ndarray, " 3"], rng: np.random.Generator, config: SynthesisConfig
) -> Float[np.ndarray, " 3"]:
    """In plane about the source's or finer, along the body anything of the allowed range."""
    in_plane_mm = float(np.clip(spacing_mm[:2].min() * rng.uniform(0.5, 1.0), 1.3, 3.0))
    low, high = np.log(config.slice_spacing_mm)
    return np.array([in_plane_mm, in_plane_mm, float(np.exp(rng.uniform(low, high)))])


def _draw_slab(length_mm: float, slice_mm: float, rng: np.random.Generator, config: SynthesisConfig) -> float | None:
    longest_mm = min(length_mm * 1.2, config.max_slices * slice_mm)
    if rng.random() < config.slab_share and longest_mm > config.shortest_slab_mm:
        return float(rng.uniform(config.shortest_slab_mm, longest_mm))
    return longest_mm if longest_mm < length_mm * 1.2 else None


def _acquired(
    hu: Float[np.ndarray, "i j k"],
    spacing_mm: Float[np.ndarray, " 3"],
    source_spacing_mm: Float[np.ndarray, " 3"],
    rng: np.random.Generator,
) -> Int16[np.ndarray, "i j k"]:
    """A sharper or softer kernel, and noise that is alike within its grain."""
    kernel_mm = np.array([*np.full(2, rng.uniform(0.2, 0.9)), 0.3 * spacing_mm[2]])
    image = gaussian_filter(hu, kernel_mm / spacing_mm, truncate=2.5)
    sharpness = rng.uniform(0.0, 0.7) if (source_spacing_mm[:2] > 2.0).all() else rng.uniform(0.0, 0.5)
    image += sharpness * (image - gaussian_filter(image, [1.5 / spacing_mm[0], 1.5 / spacing_mm[1], 0.0], truncate=2.5))
    noise_hu = float(np.clip(rng.gamma(2.0, 5.0), 0.0, 35.0))
    grain = np.array([*np.minimum(rng.uniform(0.4, 1.2) / spacing_mm[:2], 1.5), 0.0])
    image += noise_hu * smooth_noise(image.shape, grain, rng)
    return np.asarray(np.clip(np.rint(image), HU_MIN, HU_MAX).astype(np.int16))
