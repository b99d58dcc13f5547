"""Hounsfield units of tissues by contrast phase, and the textures of tissues."""

from __future__ import annotations

from typing import Final

import numpy as np

from medvlsam2.data.facts import ContrastPhase
from medvlsam2.data.phantom.canvas import Canvas, Field, Tissue, VoxelBlock

PHASES: Final[tuple[ContrastPhase, ...]] = ("non-contrast", "arterial", "portal venous", "delayed")

_BY_PHASE: Final[dict[str, tuple[float | int, ...]]] = {
    "liver": (56, 68, 110, 92),
    "spleen": (48, 118, 124, 98),
    "pancreas": (40, 105, 95, 80),
    "adrenal": (22, 62, 72, 55),
    "renal_cortex": (33, 165, 190, 165),
    "renal_medulla": (30, 75, 175, 165),
    "urine": (6, 6, 10, 420),
    "artery": (42, 310, 152, 112),
    "vein": (40, 75, 142, 112),
    "portal": (40, 110, 168, 118),
    "right_heart": (42, 210, 148, 112),
    "myocardium": (45, 100, 112, 95),
    "gut_wall": (38, 72, 82, 72),
    "muscle": (54, 58, 62, 62),
    "prostate": (36, 62, 82, 80),
    "gland": (42, 80, 92, 88),
    "metastasis": (38, 52, 62, 68),
    "brain": (34, 37, 39, 39),
    "parotid": (-24, -8, 4, 2),
    "salivary": (36, 62, 86, 80),
    "thyroid": (105, 165, 175, 150),
    "tongue": (42, 50, 60, 60),
    "mucosa": (38, 55, 68, 66),
    "tumor": (40, 62, 78, 74),
}
_FIXED: Final[dict[str, float]] = {
    "air": -1000, "fat": -104, "skin": 12, "lung": -845, "bile": 8, "water": 4, "disc": 82, "cortex": 640,
    "canal": 28, "cartilage": 95, "airway_wall": 10, "csf": 8, "vitreous": 9, "tooth": 1900, "skull": 1050,
    "diploe": 520, "jaw": 1150, "jaw_marrow": 420, "thyroid_cartilage": 150,
}  # fmt: skip


class Tissues:
    """HU and textures of one patient's tissues in one contrast phase.

    Args:
        phase: contrast phase.
        marrow_hu: mean HU of cancellous bone.
        rng: draws the deviation of each tissue from its usual HU.
    """

    def __init__(self, phase: ContrastPhase, marrow_hu: float, rng: np.random.Generator) -> None:
        column = PHASES.index(phase)
        timing = rng.normal(1.0, 0.08)
        self.hu: dict[str, float] = {name: float(value) for name, value in _FIXED.items()}
        for name, values in _BY_PHASE.items():
            plain = values[0] + rng.normal(0.0, 3.0)
            self.hu[name] = float(plain + (values[column] - values[0]) * timing)
        self.hu["lung"] += float(rng.normal(0.0, 25.0))
        self.hu["fat"] += float(rng.normal(0.0, 4.0))
        self.hu["marrow"] = marrow_hu
        if rng.random() < 0.15:
            self.hu["liver"] -= float(rng.uniform(10.0, 35.0))
        bladder_filled = phase == "delayed" and rng.random() < 0.6
        self.hu["bladder"] = float(rng.uniform(150, 500)) if bladder_filled else float(rng.normal(6, 3))
        self.hu["stomach_content"] = float(rng.choice([8.0, 25.0, 45.0, 260.0], p=[0.35, 0.3, 0.2, 0.15]))
        self.hu["bowel_content"] = float(rng.choice([15.0, 28.0, 220.0], p=[0.45, 0.4, 0.15]))

    def solid(self, name: str, texture_hu: float = 4.0) -> Tissue:
        """Return a parenchyma whose HU vary slowly in space."""
        mean, texture = np.float32(self.hu[name]), np.float32(texture_hu)

        def paint(canvas: Canvas, block: VoxelBlock, distance: Field) -> Field:
            return mean + texture * canvas.grain[block] + np.float32(0.5) * texture * canvas.bumps[block]

        return paint

    def layered(self, rim: str, core: str, rim_mm: float, texture_hu: float = 4.0) -> Tissue:
        """Return a tissue with a rim of a given thickness around a core."""
        outer, inner = np.float32(self.hu[rim]), np.float32(self.hu[core])

        def paint(canvas: Canvas, block: VoxelBlock, distance: Field) -> Field:
            share = np.clip(-(distance + np.float32(rim_mm)) / canvas.softness_mm + np.float32(0.5), 0.0, 1.0)
            return outer + share * (inner - outer + np.float32(texture_hu) * canvas.grain[block])

        return paint

    def bone(self, cortex_mm: float = 1.8) -> Tissue:
        """Return bone: a cortical shell around cancellous (spongy) bone."""
        return self.layered("cortex", "marrow", cortex_mm, texture_hu=22.0)

    def brain(self, atrophy: float) -> Tissue:
        """Return brain: white matter inside a cortex with sulci, which widen with atrophy (0 to 1)."""
        gray, csf = np.float32(self.hu["brain"] + 3.0), np.float32(self.hu["csf"])
        depth = np.float32(4.0 + 9.0 * atrophy)

        def paint(canvas: Canvas, block: VoxelBlock, distance: Field) -> Field:
            folds = np.abs(canvas.grain[block] + np.float32(0.4) * canvas.bumps[block])
            share = np.clip(np.float32(0.9 + 0.5 * atrophy) - np.float32(4.5) * folds, 0.0, 1.0)
            share *= np.clip(np.float32(1.0) + distance / depth, 0.0, 1.0)
            white = np.clip((-distance - np.float32(7.0)) / 5.0 + np.float32(1.2) * canvas.bumps[block], 0.0, 1.0)
            return gray - np.float32(7.0) * white + share * (csf - gray)

        return paint

    def teeth(self, period_mm: float) -> Tissue:
        """Return a row of teeth with gaps.

        The row bends from the side to the front. So |x| - y serves as the coordinate along the row, and a gap follows
        each ``period_mm`` of it.
        """
        tooth, gum = np.float32(self.hu["tooth"]), np.float32(self.hu["mucosa"])

        def paint(canvas: Canvas, block: VoxelBlock, distance: Field) -> Field:
            along = np.abs(canvas.x[block]) - canvas.y[block]
            gap = np.clip(np.cos(along * np.float32(2.0 * np.pi / period_mm)) - np.float32(0.4), 0.0, 1.0)
            return tooth + np.clip(np.float32(1.6) * gap, 0.0, 1.0) * (gum - tooth)

        return paint

    def muscle_layers(self) -> Tissue:
        """Return muscles that thin sheets of fat separate."""
        muscle, fat = np.float32(self.hu["muscle"]), np.float32(self.hu["fat"])

        def paint(canvas: Canvas, block: VoxelBlock, distance: Field) -> Field:
            thin = np.minimum(np.float32(1.0), np.float32(1.5) / canvas.softness_mm)
            sheet = thin * np.clip(np.float32(1.2) - np.abs(canvas.bumps[block]) * (np.float32(10.0) * thin), 0.0, 1.0)
            sheet *= np.clip(-distance - np.float32(4.0), 0.0, 1.0)
            return muscle + np.float32(7.0) * canvas.grain[block] + sheet * np.float32(0.8) * (fat - muscle)

        return paint

    def lung(self) -> Tissue:
        """Return aerated lung, which is denser towards the back, because the patient lies on the back."""
        mean = np.float32(self.hu["lung"])

        def paint(canvas: Canvas, block: VoxelBlock, distance: Field) -> Field:
            return mean - np.float32(0.45) * canvas.y[block] + np.float32(14.0) * canvas.grain[block]

        return paint

    def kidney(self) -> Tissue:
        """Return kidney: a cortex, with pyramids of medulla below it."""
        cortex, medulla = np.float32(self.hu["renal_cortex"]), np.float32(self.hu["renal_medulla"])

        def paint(canvas: Canvas, block: VoxelBlock, distance: Field) -> Field:
            share = np.clip((-distance - np.float32(7.0)) / 4.0 + np.float32(0.6) * canvas.grain[block], 0, 1)
            return cortex + share * (medulla - cortex)

        return paint

    def hollow(self, content: str, wall_mm: float, air_above_y: float, gas_share: float) -> Tissue:
        """Return a segment of gut: wall, content, gas above a level (the patient lies on the back) and bubbles.

        Args:
            content: name of the tissue that fills the segment.
            wall_mm: thickness of the wall.
            air_above_y: y of the air-fluid level in mm; a very large number for no level.
            gas_share: share of gas bubbles in stool; 0 for none.
        """
        wall, fill, air = (np.float32(self.hu[name]) for name in ("gut_wall", content, "air"))

        def paint(canvas: Canvas, block: VoxelBlock, distance: Field) -> Field:
            grain = canvas.grain[block]
            level = (canvas.y[block] - np.float32(air_above_y)) / canvas.softness_mm + np.float32(0.5)
            gas = np.clip(level, 0.0, 1.0)
            if gas_share:
                threshold = np.float32(1.6 - 2.2 * gas_share)
                gas = np.maximum(gas, np.clip((grain - threshold) * 2.0, 0.0, 0.8))
            lumen = fill + np.float32(9.0) * grain
            lumen = lumen + gas * (air - lumen)
            share = np.clip(-(distance + np.float32(wall_mm)) / canvas.softness_mm + np.float32(0.5), 0, 1)
            return wall + share * (lumen - wall)

        return paint
