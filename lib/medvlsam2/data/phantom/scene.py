"""The objects that all painters of anatomy share: grid, patient, tissues and label values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from medvlsam2.data.phantom.canvas import Canvas, Shape, Tissue
from medvlsam2.data.phantom.hull import SIDES, Hull
from medvlsam2.data.phantom.patient import VERTEBRA_TOPS_MM, Patient
from medvlsam2.data.phantom.tissues import Tissues

__all__ = ["LABEL_VALUES", "SIDES", "STRUCTURE_KEYS", "AorticAneurysm", "OrganFindings", "Scene"]

_PAIRED: Final = (
    "lung", "kidney", "adrenal_gland", "hip", "femur", "iliopsoas", "autochthon", "gluteus_maximus",
    "gluteus_medius", "gluteus_minimus", "iliac_artery", "iliac_vena", "clavicula", "scapula", "humerus",
    "eyeball", "parotid_gland", "submandibular_gland", "common_carotid_artery",
)  # fmt: skip
_SINGLE: Final = (
    "heart", "aorta", "liver", "spleen", "pancreas", "gallbladder", "stomach", "duodenum", "small_bowel",
    "colon", "urinary_bladder", "prostate", "uterus", "esophagus", "trachea", "inferior_vena_cava",
    "superior_vena_cava", "portal_vein_and_splenic_vein", "spinal_cord", "sternum", "costal_cartilages",
    "sacrum", "skull", "mandible", "brain", "brainstem", "cerebellum", "larynx", "pharynx", "tongue",
    "thyroid_gland", "pulmonary_artery",
)  # fmt: skip

STRUCTURE_KEYS: Final[tuple[str, ...]] = (
    *_SINGLE,
    *(f"{name}_{side}" for name in _PAIRED for side in ("left", "right")),
    *(f"vertebrae_{level}" for level, _ in VERTEBRA_TOPS_MM),
    *(f"rib_{side}_{n}" for side in ("left", "right") for n in range(1, 13)),
)
"""Keys of all structures that a phantom labels; the label value is the place in this list, counted from 1."""

LABEL_VALUES: Final[dict[str, int]] = {key: value for value, key in enumerate(STRUCTURE_KEYS, start=1)}


@dataclass(frozen=True, kw_only=True)
class AorticAneurysm:
    """A widened part of the abdominal aorta."""

    z_mm: float
    """Height of the middle of the aneurysm in the reference frame."""
    radius_mm: float
    """Largest radius."""
    half_length_mm: float
    """Half of the length."""


@dataclass(frozen=True, kw_only=True)
class OrganFindings:
    """Findings that change an organ as a whole; they are chosen before painting; None means no finding."""

    aneurysm: AorticAneurysm | None = None
    """Widening of the aorta."""
    bladder: float | None = None
    """Size of an overfull bladder relative to the usual."""
    heart: float | None = None
    """Size of an enlarged heart relative to the usual, along each axis."""
    spleen: float | None = None
    """Size of an enlarged spleen relative to the usual, along each axis."""
    ascites_mm: float | None = None
    """Depth of free fluid along the wall of the abdomen."""
    fracture: tuple[str, float] | None = None
    """Key of a collapsed vertebra, and the share of its height that its front has lost."""


@dataclass(frozen=True)
class Scene:
    """The grid to paint on, with everything that decides how the painted anatomy looks."""

    canvas: Canvas
    patient: Patient
    hull: Hull
    tissues: Tissues
    rng: np.random.Generator
    organ_findings: OrganFindings = OrganFindings()

    def paint(self, key: str, shape: Shape, tissue: Tissue) -> None:
        """Paint a labelled structure."""
        self.canvas.paint(shape, tissue, LABEL_VALUES[key])

    def paint_unlabelled(self, shape: Shape, tissue: Tissue) -> None:
        """Paint a structure without a label; voxels that it covers lose their label."""
        self.canvas.paint(shape, tissue, 0)

    def spine_y(self, z_mm: float | int) -> float:
        """Return y of the middle of the vertebral bodies at a height."""
        return self.patient.profile("spine", z_mm)

    def jitter(
        self, point: tuple[float | int, float | int, float | int], sd_mm: float = 4.0
    ) -> tuple[float, float, float]:
        """Return a point that is moved at random by ``sd_mm`` (standard deviation along each axis)."""
        x, y, z = np.asarray(point) + self.rng.normal(0.0, sd_mm, 3)
        return float(x), float(y), float(z)

    def vary(self, sizes: tuple[float | int, ...], sd: float = 0.08) -> tuple[float, ...]:
        """Return sizes that are changed at random: all by one factor, and each by another factor."""
        factors = (1.0 + self.rng.normal(0.0, sd)) * (1.0 + self.rng.normal(0.0, 0.5 * sd, len(sizes)))
        return tuple(float(v) for v in np.asarray(sizes) * np.clip(factors, 0.7, 1.35))
