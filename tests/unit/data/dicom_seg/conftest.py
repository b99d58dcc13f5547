"""A labelled scan as a DICOM series: two organs whose values, order and places are all different."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from medvlsam2 import geometry
from medvlsam2.data.label_maps import LabelMap
from medvlsam2.data.readers import read_volume

SHAPE_IJK = (13, 11, 9)
"""Odd in every direction: 143 pixels of a slice do not fill whole bytes."""
SLICER_NAMES = {1: "spleen", 2: "right kidney", 3: "left kidney", 4: "gallbladder", 5: "liver", 7: "my lesion"}
"""As Slicer sends them: more names than were painted, and values with gaps."""


@dataclass(frozen=True)
class Labelled:
    """A series, and its label map on the grid of this package's reader."""

    folder: Path
    label: LabelMap

    @property
    def shape_ijk(self) -> tuple[int, int, int]:
        i, j, k = self.label.values.shape
        return i, j, k


def label_values() -> np.ndarray:
    """Return the values 3, 5 and 7 at places that no flip and no rotation maps onto themselves."""
    values = np.zeros(SHAPE_IJK, np.uint16)
    values[1:5, 2:8, 1:4] = 5
    values[8:12, 1:4, 2:7] = 3
    values[6, 9, 4] = 7
    return values


@pytest.fixture
def axial(tmp_path, write_series) -> Labelled:
    write_series(tmp_path / "axial", hu=scan_hu())
    return labelled(tmp_path / "axial")


@pytest.fixture
def oblique(tmp_path, write_series, oblique_affine) -> Labelled:
    axes = geometry.ras_to_lps_affine(oblique_affine)[:3, :3]
    axes = axes / np.linalg.norm(axes, axis=0)
    normal = np.cross(axes[:, 0], axes[:, 1])
    orientation = (*axes[:, 0], *axes[:, 1])
    write_series(tmp_path / "oblique", hu=scan_hu(), orientation=orientation, step_lps=tuple(2.5 * normal))
    return labelled(tmp_path / "oblique")


@pytest.fixture
def tilted(tmp_path, write_series) -> Labelled:
    step_lps = (0.0, 2.5 * np.tan(np.radians(15.0)), 2.5)
    write_series(tmp_path / "tilted", hu=scan_hu(), step_lps=step_lps)
    return labelled(tmp_path / "tilted")


@pytest.fixture(params=["axial", "oblique", "tilted"])
def any_scan(request) -> Labelled:
    return request.getfixturevalue(request.param)


def scan_hu() -> np.ndarray:
    return np.linspace(-1000, 400, int(np.prod(SHAPE_IJK))).astype(np.int16).reshape(SHAPE_IJK)


def labelled(folder: Path) -> Labelled:
    volume = read_volume(folder)
    return Labelled(folder, LabelMap(label_values(), volume.affine, SLICER_NAMES))
