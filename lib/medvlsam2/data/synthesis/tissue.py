"""Another contrast phase and another patient's tissues: labelled structures get new HU, mostly with real texture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Integer
from scipy.ndimage import distance_transform_edt, find_objects, gaussian_filter, zoom

from medvlsam2.data.phantom.tissues import Tissues

_TISSUE: Final[tuple[tuple[str, str], ...]] = (
    (r"(liver|spleen|pancreas)$", r"\1"),
    (r"adrenal_gland", "adrenal"),
    (r"kidney_(left|right)$", "kidney"),
    (r"gallbladder|bile_duct", "bile"),
    (r"urinary_bladder", "bladder"),
    (r"prostate|seminal_vesicle|uterus|ovary", "prostate"),
    (r"thyroid_gland|submandibular_gland", "gland"),
    (r"portal_vein|splenic_vein", "portal"),
    (r"hepatic_vein|inferior_vena|superior_vena|iliac_vena|brachiocephalic_vein", "vein"),
    (r"pulmonary_(artery|vein)|heart_(atrium|ventricle)_right", "right_heart"),
    (r"aorta|.*_artery|celiac|brachiocephalic_trunk|heart_(atrium|ventricle)_left|atrial_app|heart$", "artery"),
    (r"heart_myocardium", "myocardium"),
    (r"gluteus|autochthon|iliopsoas|skeletal_muscle", "muscle"),
    (r"stomach|small_bowel|duodenum|bowel|colon|rectum|esophagus", "gut"),
    (r"vertebra|rib_|sacrum|hip_|femur_|humerus|scapula|clavicula|sternum|skull|mandible|pelvis", "bone"),
    (r"lung", "lung"),
)
"""Vocabulary keys (as patterns) and what they are made of; anything else keeps its HU."""
MARGIN_VOXELS = 3
CORTEX_MM = 6.0
WALL_MM = 2.5


def tissue_of(key: str) -> str | None:
    """What a structure is made of, by vocabulary key.

    Example:
        >>> tissue_of("kidney_left"), tissue_of("iliac_vena_right"), tissue_of("spinal_cord")
        ('kidney', 'vein', None)
    """
    for pattern, tissue in _TISSUE:
        if match := re.match(pattern, key):
            return match.expand(tissue)
    return None


@dataclass(frozen=True)
class LabelledArray:
    """A scan in RAS order and what its labels mean."""

    hu: Float[np.ndarray, "i j k"]
    labels: Integer[np.ndarray, "i j k"]
    keys: Mapping[int, str]
    """Vocabulary key of each label value."""
    spacing_mm: Float[np.ndarray, " 3"]


def recolour(
    scan: LabelledArray, tissues: Tissues, rng: np.random.Generator, *, own_texture: bool
) -> Float[np.ndarray, "i j k"]:
    """Give every labelled structure new HU, and unlabelled muscle and bone the same change as labelled ones.

    Args:
        scan: the scan; it is left as it is.
        tissues: the new patient's tissues.
        rng: source of every choice.
        own_texture: whether parenchyma keeps the scan's texture; False: it is drawn anew.
    """
    painter = _Painter(scan, tissues, rng, own_texture=own_texture)
    painter.unlabelled()
    for value, box in enumerate(find_objects(scan.labels.astype(np.int32)), start=1):
        tissue = tissue_of(scan.keys.get(value, ""))
        if box is not None and tissue is not None:
            painter.structure(value, box, tissue)
    return painter.hu


class _Painter:
    """One scan that is being re-coloured."""

    def __init__(self, scan: LabelledArray, tissues: Tissues, rng: np.random.Generator, *, own_texture: bool) -> None:
        self.hu = scan.hu.copy()
        self.labels = scan.labels
        self.keys = scan.keys
        self.spacing_mm = scan.spacing_mm
        self.tissues = tissues
        self.rng = rng
        self.own_texture = own_texture
        self.grain = smooth_noise(self.hu.shape, 3.0 / self.spacing_mm, rng)
        self.bone_contrast = rng.uniform(0.75, 1.4)
        muscle = self.hu[(self.hu > 0) & (self.hu < 100) & (self.labels == 0)]
        self.muscle_shift = tissues.hu["muscle"] - _middle(muscle, 50.0)

    def unlabelled(self) -> None:
        """Shift soft tissue and bone that no label names."""
        free = self.labels == 0
        self.hu += self.muscle_shift * _soft_share(self.hu) * free
        bone = free & (self.hu > 130)
        self.hu[bone] = 130 + (self.hu[bone] - 130) * self.bone_contrast

    def structure(self, value: int, box: tuple[slice, ...], tissue: str) -> None:
        """Paint one structure."""
        near = tuple(slice(max(s.start - MARGIN_VOXELS, 0), s.stop + MARGIN_VOXELS) for s in box)
        inside = self.labels[near] == value
        cover = gaussian_filter(inside.astype(np.float32), 0.6)
        view = self.hu[near]
        if tissue == "bone":
            view += cover * (self.bone_contrast - 1.0) * np.maximum(view - 60.0, 0.0)
        elif tissue == "lung":
            aerated = np.clip((-500.0 - view) / 200.0, 0.0, 1.0)
            view += cover * aerated * (self.tissues.hu["lung"] + 845.0)
        elif tissue == "gut":
            self._gut(view, inside, cover, near, is_stomach=self.keys[value] == "stomach")
        elif tissue == "kidney":
            self._kidney(view, inside, cover, near)
        else:
            self._solid(view, inside, cover, self.tissues.hu[tissue], self.grain[near])
            if tissue == "liver":
                self._hepatic_vessels(view, cover)

    def _solid(
        self,
        view: Float[np.ndarray, "i j k"],
        inside: Bool[np.ndarray, "i j k"],
        cover: Float[np.ndarray, "i j k"],
        target_hu: float | Float[np.ndarray, "i j k"],
        grain: Float[np.ndarray, "i j k"],
    ) -> None:
        middle = _middle(view[inside & (view > -40)], float(np.mean(target_hu)))
        share = cover * _soft_share(view, highest_hu=max(300.0, middle + 200.0))
        new = target_hu + 4.0 * grain
        view += share * (new - (middle if self.own_texture else view))

    def _kidney(
        self,
        view: Float[np.ndarray, "i j k"],
        inside: Bool[np.ndarray, "i j k"],
        cover: Float[np.ndarray, "i j k"],
        near: tuple[slice, ...],
    ) -> None:
        """Cortex outside, medulla in pyramids below it; fat of the sinus stays fat."""
        grain = self.grain[near]
        depth_mm = distance_transform_edt(inside, sampling=self.spacing_mm)
        deep = np.clip((depth_mm - CORTEX_MM) / 3.0 + 0.8 * grain, 0.0, 1.0)
        cortex, medulla = self.tissues.hu["renal_cortex"], self.tissues.hu["renal_medulla"]
        self._solid(view, inside, cover, cortex + deep * (medulla - cortex), grain)

    def _gut(
        self,
        view: Float[np.ndarray, "i j k"],
        inside: Bool[np.ndarray, "i j k"],
        cover: Float[np.ndarray, "i j k"],
        near: tuple[slice, ...],
        *,
        is_stomach: bool,
    ) -> None:
        """An enhancing wall; now and then other content, or more or less gas, which rises to the front."""
        rng, hu = self.rng, self.tissues.hu
        content = hu["stomach_content" if is_stomach else "bowel_content"]
        depth_mm = distance_transform_edt(inside, sampling=self.spacing_mm)
        core = gaussian_filter((depth_mm > WALL_MM).astype(np.float32), 0.6)
        grain = self.grain[near]
        filling = rng.choice(["own", "liquid", "level"], p=[0.6, 0.25, 0.15])
        if filling != "own":
            replaced = core * np.clip((content + 12 * grain - view) / 50.0, 0.0, 1.0) if content < 100 else core
            view += replaced * (content + 12.0 * grain - view)
        if filling == "level" and is_stomach:
            front = np.arange(view.shape[1])[None, :, None] / view.shape[1]
            gas = np.clip((front - rng.uniform(0.3, 1.0)) * view.shape[1] + 0.5, 0.0, 1.0) * core
            view += gas * (-950.0 - view)
        wall = cover * (1.0 - core) * _soft_share(view)
        view += wall * 0.7 * (hu["gut_wall"] - _middle(view[inside & (view > -40) & (view < 120)], 30.0))

    def _hepatic_vessels(self, view: Float[np.ndarray, "i j k"], cover: Float[np.ndarray, "i j k"]) -> None:
        """Vessels in the liver: curves along which two smooth random fields are both zero."""
        contrast = 0.5 * (self.tissues.hu["portal"] + self.tissues.hu["vein"]) - self.tissues.hu["liver"]
        apart_mm = self.rng.uniform(10.0, 16.0)
        fields = [smooth_noise(view.shape, apart_mm / self.spacing_mm, self.rng) for _ in range(2)]
        gradients = [np.stack(np.gradient(field, *self.spacing_mm)) for field in fields]
        squared_mm = sum(
            (field / (np.linalg.norm(gradient, axis=0) + 1e-3)) ** 2
            for field, gradient in zip(fields, gradients, strict=True)
        )
        radius_mm = 1.8 + 1.2 * smooth_noise(view.shape, 25.0 / self.spacing_mm, self.rng)
        tube = np.clip((radius_mm - np.sqrt(squared_mm)) / 2.0 + 0.5, 0.0, 1.0)
        view += cover * tube * contrast * np.clip(_soft_share(view), 0, 1)


def smooth_noise(
    shape_ijk: tuple[int, ...], sigma_voxels: Float[np.ndarray, " 3"], rng: np.random.Generator
) -> Float[np.ndarray, "i j k"]:
    """Gaussian random field of unit variance; wide ones are drawn coarsely and interpolated."""
    step = np.maximum(np.floor(np.asarray(sigma_voxels) / 2.0), 1.0)
    coarse = np.maximum(np.ceil(np.asarray(shape_ijk) / step), 2).astype(int) + 1
    field = gaussian_filter(rng.standard_normal(coarse, dtype=np.float32), np.asarray(sigma_voxels) / step, mode="wrap")
    if (step > 1).any():
        field = zoom(field, step, order=1)
    field = field[tuple(slice(0, n) for n in shape_ijk)]
    return np.asarray(field / max(float(field.std()), 1e-6))


def _soft_share(hu: Float[np.ndarray, "i j k"], highest_hu: float = 300.0) -> Float[np.ndarray, "i j k"]:
    """1 in soft tissue, 0 in fat, gas and bone, between them in between."""
    return np.clip((hu + 70.0) / 60.0, 0.0, 1.0) * np.clip((highest_hu - hu) / 120.0, 0.0, 1.0)


def _middle(values: Float[np.ndarray, " n"], otherwise: float) -> float:
    return float(np.median(values)) if values.size else otherwise
