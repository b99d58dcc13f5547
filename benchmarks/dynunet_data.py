"""What the DynUNet baseline trains on: labelled scans on a common spacing, and augmented patches of them.

Nothing here is written to disk: the scans of both sets fit in memory at their coarse spacing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from monai import transforms as mt
from monai.data.meta_tensor import MetaTensor
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from medvlsam2.data.datasets.manifest import ScanRecord
from medvlsam2.data.datasets.scans import labelled_scans, source
from medvlsam2.data.volume import HU_MIN, CTVolume
from medvlsam2.errors import DatasetError
from medvlsam2.evaluation.scans import LabelledScan
from medvlsam2.transforms.framing import plan
from medvlsam2.transforms.spatial import SpatialRecord

SETS = {"head and neck": "OKBP", "abdomen": "TS"}
"""Name of each data set, and the source of its scans."""
ABDOMEN_SHARE = 0.25
SPACING_DHW_MM = (3.0, 4.0, 4.0)
"""About the head-and-neck scans' own."""
CENTRED_SHARE = 0.33
"""Share of patches round a voxel of a structure; nnU-Net's."""
MARGIN = 0.1
"""What is cut out beyond each side of a patch, as a part of it, since the patch is turned and scaled."""
SEED = 0


@dataclass(frozen=True)
class Window:
    """The foreground's Hounsfield units over all training scans: nnU-Net's normalisation of CT."""

    low_hu: float
    high_hu: float
    mean_hu: float
    deviation_hu: float

    def normalise(self, hu: Tensor) -> Tensor:
        """Clip and standardise."""
        return (hu.clamp(self.low_hu, self.high_hu) - self.mean_hu) / self.deviation_hu


@dataclass(frozen=True)
class TrainScan:
    """A scan in memory, on the common spacing."""

    hu: Int[Tensor, "d h w"]
    labels: UInt8[Tensor, "d h w"]
    keys: tuple[str, ...]
    """What was contoured: key n belongs to label n + 1."""
    voxels: tuple[Int[np.ndarray, "n 3"], ...]
    """Positions of each structure that has some."""


def split_cases(data: Path, split: str) -> dict[str, list[ScanRecord]]:
    """Labelled cases of both data sets in one part of the split.

    Raises:
        DatasetError: if one of the sets has none.
    """
    labelled = labelled_scans(data, split, with_pseudo_labels=True)
    found = {name: [case for case in labelled if source(case) == prefix] for name, prefix in SETS.items()}
    for name, prefix in SETS.items():
        if not found[name]:
            raise DatasetError(f"'{data}' has no {split} case of {name}. Add cases whose id begins with {prefix}_.")
    return found


def prepare_scan(scan: LabelledScan) -> TrainScan:
    """Bring a scan and its contours to the common spacing."""
    record, hu = on_common_grid(scan.volume)
    size, keys = hu.shape, tuple(scan.truth)
    best = torch.full(size, 0.5)
    labels = torch.zeros(size, dtype=torch.uint8)
    for number, mask in enumerate(scan.truth.values(), start=1):
        turned = record.orient(mask.astype(np.float32))
        share = resize(torch.from_numpy(np.ascontiguousarray(turned)), size)
        labels[share > best] = number
        best = torch.maximum(best, share)
    found = [torch.nonzero(labels == number).numpy().astype(np.int16) for number in range(1, len(keys) + 1)]
    return TrainScan(hu.round().short(), labels, keys, tuple(voxels for voxels in found if len(voxels)))


def on_common_grid(volume: CTVolume) -> tuple[SpatialRecord, Float[Tensor, "d h w"]]:
    """HU of a scan turned to d, h, w and resampled, and how it was turned."""
    record = plan(volume, 1)
    spacing = [volume.spacing_mm[axis] for axis in record.axes]
    size = [
        max(1, round(length * mm / common))
        for length, mm, common in zip(record.oriented_shape_dhw, spacing, SPACING_DHW_MM, strict=True)
    ]
    hu = torch.from_numpy(np.ascontiguousarray(record.orient(volume.hu))).float()
    resized = mt.Resize(size, mode="trilinear", anti_aliasing=True)(hu[None])
    assert isinstance(resized, MetaTensor)
    return record, resized.as_tensor()[0]


def resize(values: Float[Tensor, "d h w"], size: Sequence[int]) -> Float[Tensor, "e i j"]:
    """Linear interpolation to another number of voxels."""
    return F.interpolate(values[None, None], size=tuple(size), mode="trilinear", align_corners=False)[0, 0]


def foreground_window(scans: Sequence[TrainScan]) -> Window:
    """Percentiles 0.5 and 99.5, mean and deviation of the voxels of all structures."""
    hu = np.concatenate([scan.hu[scan.labels > 0].numpy() for scan in scans]).astype(np.float32)
    low, high = np.percentile(hu, (0.5, 99.5))
    clipped = hu.clip(low, high)
    return Window(float(low), float(high), float(clipped.mean()), float(clipped.std()))


class Patches(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """Endless augmented patches: image, labels, and the structures (channel numbers) that its scan has contours of."""

    def __init__(
        self,
        scans: dict[str, list[TrainScan]],
        structures: Sequence[str],
        window: Window,
        patch_dhw: tuple[int, int, int],
        first_step: int,
    ) -> None:
        self.scans = scans
        self.structures = structures
        self.window = window
        self.patch_dhw = patch_dhw
        self.first_step = first_step

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        worker = get_worker_info()
        rng = np.random.default_rng([SEED, self.first_step, 0 if worker is None else worker.id])
        augment = augmentation(self.patch_dhw).set_random_state(int(rng.integers(2**31)))
        while True:
            scans = self.scans["abdomen" if rng.random() < ABDOMEN_SHARE else "head and neck"]
            scan = scans[int(rng.integers(len(scans)))]
            hu, labels = crop(scan, self.patch_dhw, rng)
            moved = augment({"image": self.window.normalise(hu)[None], "labels": labels[None]})
            channels = torch.tensor([self.structures.index(key) for key in scan.keys])
            yield moved["image"].as_tensor(), moved["labels"].as_tensor()[0], channels


def crop(
    scan: TrainScan, patch_dhw: tuple[int, int, int], rng: np.random.Generator
) -> tuple[Float[Tensor, "d h w"], UInt8[Tensor, "d h w"]]:
    """Cut a patch and its margin out of a scan, round a voxel of any structure or anywhere; air beyond the scan.

    The patch stays in the scan, or has a smaller scan in its middle.
    """
    shape = scan.hu.shape
    if scan.voxels and rng.random() < CENTRED_SHARE:
        voxels = scan.voxels[int(rng.integers(len(scan.voxels)))]
        centre = voxels[int(rng.integers(len(voxels)))].astype(int)
    else:
        centre = rng.integers(shape)
    inside: list[slice] = []
    padding: list[int] = []
    for middle, side, length in zip(centre, patch_dhw, shape, strict=True):
        start = int(np.clip(middle - side // 2, 0, length - side)) if length >= side else (length - side) // 2
        margin = math.ceil(MARGIN * side)
        first, end = start - margin, start + side + margin
        inside.append(slice(max(first, 0), min(end, length)))
        padding = [max(-first, 0), max(end - length, 0), *padding]
    hu, labels = scan.hu[tuple(inside)].float(), scan.labels[tuple(inside)]
    return F.pad(hu, padding, value=float(HU_MIN)), F.pad(labels, padding)


def augmentation(patch_dhw: tuple[int, int, int]) -> mt.Compose:
    """NnU-Net's augmentation by MONAI, without mirroring; the middle of a larger crop becomes the patch."""
    turn, image = math.radians(30), "image"
    return mt.Compose(
        [
            mt.RandAffined(
                [image, "labels"],
                prob=0.4,
                spatial_size=patch_dhw,
                rotate_range=(turn, turn, turn),
                scale_range=(-0.3, 0.3),
                mode=("bilinear", "nearest"),
                padding_mode="border",
            ),
            mt.RandGaussianNoised(image, prob=0.1, std=0.1),
            mt.RandGaussianSmoothd(image, prob=0.2, sigma_x=(0.5, 1.0), sigma_y=(0.5, 1.0), sigma_z=(0.5, 1.0)),
            mt.RandScaleIntensityd(image, prob=0.15, factors=0.25),
            mt.RandScaleIntensityFixedMeand(image, prob=0.15, factors=0.25, preserve_range=True),
            mt.RandSimulateLowResolutiond(image, prob=0.25, zoom_range=(0.5, 1.0)),
            mt.RandAdjustContrastd(image, prob=0.3, gamma=(0.7, 1.5), retain_stats=True),
        ]
    )
