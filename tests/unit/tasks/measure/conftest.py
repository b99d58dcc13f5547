"""Scans of plain shapes: what is drawn has a mask, a place in mm and HU, so every measurement is known beforehand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.measure.sources.given_masks import GivenMasks, given

FAT_HU = -100


class Scene:
    """A block of fat in which shapes are drawn; its corner lies at 0 mm, x grows to the right, y to the front.

    Args:
        size_mm: of the block.
        voxel_mm: size of a voxel along x, y and z.
    """

    def __init__(
        self,
        size_mm: tuple[float, float, float] = (240.0, 180.0, 240.0),
        voxel_mm: tuple[float, float, float] = (3.0, 3.0, 3.0),
    ) -> None:
        shape = [round(size / step) for size, step in zip(size_mm, voxel_mm, strict=True)]
        self.places = np.meshgrid(
            *((np.arange(n) + 0.5) * step for n, step in zip(shape, voxel_mm, strict=True)), indexing="ij", sparse=True
        )
        self.hu = np.full(shape, FAT_HU, dtype=np.int16)
        self.affine = np.diag([*voxel_mm, 1.0])
        self.affine[:3, 3] = np.array(voxel_mm) / 2
        self.voxel_mm3 = float(np.prod(voxel_mm))
        self.masks: dict[str, np.ndarray] = {}

    def ball(self, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
        """An ellipsoid, in mm."""
        shares = [
            ((place - middle) / radius) ** 2 for place, middle, radius in zip(self.places, centre, radii, strict=True)
        ]
        return np.asarray(sum(shares) <= 1)

    def block(self, *ends: tuple[float, float]) -> np.ndarray:
        """A block from one end to the other along each axis, in mm."""
        inside = [(place >= low) & (place < high) for place, (low, high) in zip(self.places, ends, strict=True)]
        return np.asarray(inside[0] & inside[1] & inside[2])

    def tube(self, x: float, y: float, radius: float, z: tuple[float, float] = (0.0, 1e4)) -> np.ndarray:
        """A tube along the body, in mm."""
        across = (self.places[0] - x) ** 2 + (self.places[1] - y) ** 2 <= radius**2
        return np.asarray(across & (self.places[2] >= z[0]) & (self.places[2] < z[1]))

    def draw(self, key: str | None, mask: np.ndarray, hu: float, noise: float = 0.0) -> Scene:
        """Fill a mask; with a key it is that structure's."""
        values = np.random.default_rng(0).normal(hu, noise, int(mask.sum())) if noise else hu
        self.hu[mask] = values
        if key is not None:
            self.masks[key] = mask
        return self

    def facts(self, lesions: dict[str, list[np.ndarray]] | None = None, **known: Any) -> Facts:
        """Facts on what was drawn."""
        kept: dict[str, tuple[KeptMask, ...]] = {}
        for key, masks in (lesions or {}).items():
            kept[key] = tuple(mask for one in masks if (mask := KeptMask.of(one)) is not None)
        volume = CTVolume(self.hu, self.affine, "scene")
        return Facts(GivenMasks(volume, given(self.masks), lesions=kept, **known))


@pytest.fixture
def new_scene() -> Callable[..., Scene]:
    """Makes a scene whose aorta tells the contrast phase; ``blood_hu=None`` draws none."""

    def make(*, blood_hu: float | None = 40.0, **size: Any) -> Scene:
        scene = Scene(**size)
        return scene if blood_hu is None else scene.draw("aorta", scene.tube(120, 40, 10), blood_hu)

    return make
