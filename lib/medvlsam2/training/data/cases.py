"""Scans prepared for training and kept on disk as plain arrays, so that no step waits for gzip or resampling.

One folder per case: ``hu.npy`` int16 on the model grid, ``labels.npy`` uint8 at the resolution of the masks,
``lesions.npy`` likewise (phantoms), ``whole.npy`` the 3-D encoder's input, and ``case.json``. Arrays are memory-mapped.
"A structure is in ``keys``" means that it was contoured in this scan, so slices without it are true negatives; a
structure that is not in ``keys`` is not known to be absent and is never used as a negative, except where
``absent`` says so.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int16, Num, UInt8
from torch import Tensor

from medvlsam2.config import ModelConfig, Sam2Config
from medvlsam2.data import phantom, vocabulary
from medvlsam2.data.datasets.label_facts import facts_of_labels
from medvlsam2.data.datasets.manifest import ScanRecord
from medvlsam2.data.facts import ScanFacts
from medvlsam2.data.label_maps import LabelMap
from medvlsam2.data.labels import wholes
from medvlsam2.data.labels.scan_geometry import ScanGeometry
from medvlsam2.data.labels.submission import read_label_on_scan
from medvlsam2.data.readers import read_volume
from medvlsam2.data.synthesis import SynthesisConfig, synthesise
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import DatasetError
from medvlsam2.transforms.prepare import PreparedVolume, channel_slices, prepare

logger = logging.getLogger(__name__)

CACHE_VERSION = 3
COMPLETE_KEYS = 20
"""A scan with so many contoured structures has contours of all that is visible of their kinds."""


@dataclass(frozen=True)
class Case:
    """One cached scan."""

    folder: Path
    case_id: str
    keys: tuple[str, ...]
    """Vocabulary key of label value n at position n - 1."""
    facts: ScanFacts | None
    """What is known of it; None where too little is known to talk about it."""
    is_phantom: bool
    slice_spacing_mm: float
    """Distance of neighbouring slices of ``hu`` and ``labels``."""

    @cached_property
    def hu(self) -> Int16[np.ndarray, "d s s"]:
        """Hounsfield units on the model grid."""
        array: np.ndarray = np.load(self.folder / "hu.npy", mmap_mode="r")
        return array

    @cached_property
    def labels(self) -> UInt8[np.ndarray, "d m m"]:
        """Structures on the mask grid."""
        array: np.ndarray = np.load(self.folder / "labels.npy", mmap_mode="r")
        return array

    @cached_property
    def lesions(self) -> UInt8[np.ndarray, "d m m"]:
        """Findings on the mask grid."""
        array: np.ndarray = np.load(self.folder / "lesions.npy", mmap_mode="r")
        return array

    @cached_property
    def whole(self) -> Num[np.ndarray, "1 d h w"]:
        """The 3-D encoder's input."""
        array: np.ndarray = np.load(self.folder / "whole.npy", mmap_mode="r")
        return array

    @property
    def num_slices(self) -> int:
        """Slices along d."""
        return int(self.hu.shape[0])

    def channels_hu(self, numbers: Int[np.ndarray, " n"], sam2: Sam2Config) -> Float[Tensor, "n 3 s s"]:
        """Slices in HU with the neighbours that are the pixel decoder's other channels."""
        rows = channel_slices(numbers, self.num_slices, self.slice_spacing_mm, sam2)
        return torch.from_numpy(np.array(self.hu[rows.ravel()])).reshape(*rows.shape, *self.hu.shape[1:]).float()

    def structure_mask(self, key: str) -> Bool[np.ndarray, "d m m"] | None:
        """Mask of a structure, or of a whole whose visible parts were all contoured; None where not known."""
        if key in self.keys:
            meant = {key} | wholes.parts_of(key)
            return wholes.any_of(self.labels, [n for n, one in enumerate(self.keys, start=1) if one in meant])
        parts = [self.structure_mask(part) for part in vocabulary.STRUCTURES[key].parts]
        known = [part for part in parts if part is not None]
        return np.logical_or.reduce(known) if known and (self._is_complete or len(known) == len(parts)) else None

    @cached_property
    def present_keys(self) -> tuple[str, ...]:
        """Structures with voxels, wholes of contoured parts among them."""
        seen = {self.keys[value - 1] for value in np.unique(self.labels) if value}
        enough = any if self._is_complete else all
        return tuple(key for key in vocabulary.STRUCTURES if _is_covered(key, seen, enough))

    @property
    def _is_complete(self) -> bool:
        """Whether a part without a contour is out of sight, as single vertebrae of an abdomen are."""
        return len(self.keys) >= COMPLETE_KEYS


def load_case(folder: Path) -> Case:
    """Open a cached case.

    Raises:
        DatasetError: if it is not one, or of another version.
    """
    try:
        record = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise DatasetError(f"'{folder.name}' is no cached case ({error}). Delete it; it is made anew.") from error
    if record["cache_version"] != CACHE_VERSION:
        raise DatasetError(
            f"Cached case '{folder.name}' has version {record['cache_version']}; {CACHE_VERSION} is allowed. "
            "Delete the cache folder; it is made anew."
        )
    facts = None if record["facts"] is None else ScanFacts.from_json(record["facts"])
    return Case(
        folder=folder,
        case_id=record["case_id"],
        keys=tuple(record["keys"]),
        facts=facts,
        is_phantom=record["is_phantom"],
        slice_spacing_mm=record["slice_spacing_mm"],
    )


def cache_phantom(seed: int, cache: Path, config: ModelConfig) -> Path:
    """Draw one phantom and cache it; nothing is done if it is there."""
    folder = cache / f"phantom_{seed:06d}_{_grids(config)}"
    if (folder / "case.json").exists():
        return folder
    drawn = phantom.generate(seed)
    keys = tuple(drawn.labels[value] for value in sorted(drawn.labels))
    values = _renumber(drawn.label_map, {value: keys.index(key) + 1 for value, key in drawn.labels.items()})
    _write(
        folder,
        drawn.volume,
        values,
        drawn.lesion_map,
        keys=keys,
        facts=drawn.facts,
        config=config,
        is_phantom=True,
    )
    return folder


def cache_scan(image: Path, label: Path, names: Mapping[int, str], cache: Path, config: ModelConfig) -> Path:
    """Cache one labelled scan.

    Args:
        image: the scan.
        label: its label map, on the same voxels.
        names: name of each label value; names that the vocabulary does not know are left out with a log line.
        cache: folder of all cached cases.
        config: the model, for its grid sizes.
    """
    volume = read_volume(image)
    label_map = _label_on(volume, label)
    labels_hash = hashlib.sha256(label_map.values.tobytes() + json.dumps(sorted(names.items())).encode()).hexdigest()
    folder = cache / f"scan_{volume.content_hash[:16]}_{labels_hash[:8]}_{_grids(config)}"
    if (folder / "case.json").exists():
        return folder
    _write_labelled(folder, volume, label_map, _known_keys(names, image.parent.name), config)
    return folder


def cache_record(record: ScanRecord, cache: Path, config: ModelConfig) -> Path:
    """Cache one labelled scan of a manifest."""
    return cache_scan(record.image, _label_of(record), record.known_names, cache, config)


def cache_synthetic(
    record: ScanRecord, seed: int, cache: Path, config: ModelConfig, synthesis: SynthesisConfig | None = None
) -> Path:
    """Cache a new scan that is made of a labelled one; nothing is done if it is there.

    Args:
        record: the labelled scan.
        seed: each gives another scan.
        cache: folder of all cached cases.
        config: the model, for its grid sizes.
        synthesis: how far the new scan goes from its source.
    """
    synthesis, label = synthesis or SynthesisConfig(), _label_of(record)
    settings = json.dumps([str(record.image.absolute()), sorted(record.known_names.items()), asdict(synthesis)])
    source_hash = hashlib.sha256(settings.encode()).hexdigest()[:12]
    folder = cache / f"synthetic_{source_hash}_{seed:06d}_{_grids(config)}"
    if (folder / "case.json").exists():
        return folder
    volume = read_volume(record.image, record.case_id)
    rng = np.random.default_rng([seed, int(volume.content_hash[:8], 16)])
    keys = _known_keys(record.known_names, record.case_id)
    new_volume, new_labels = synthesise(volume, _label_on(volume, label), keys, rng, synthesis)
    _write_labelled(folder, new_volume, new_labels, keys, config)
    return folder


def _label_on(volume: CTVolume, label: Path) -> LabelMap:
    scan = ScanGeometry(volume.shape_ijk, volume.affine, volume.image_id)
    return read_label_on_scan(label, scan, f"Label map '{label.name}'")


def _label_of(record: ScanRecord) -> Path:
    if record.label is None or not record.in_hounsfield:
        what = "has no label map" if record.label is None else "is no longer in Hounsfield units"
        raise DatasetError(
            f"Scan '{record.case_id}' {what}: it cannot be trained on. Leave it out, or name the original "
            "scan and its label map in the manifest."
        )
    return record.label


def _known_keys(names: Mapping[int, str], case_id: str) -> dict[int, str]:
    """Vocabulary key of each label value that has one."""
    known = {value: found.key for value, name in names.items() if (found := vocabulary.lookup(name)) is not None}
    for value in sorted(set(names) - set(known)):
        logger.warning("label %d of %s is not in the vocabulary and is left out", value, case_id)
    return known


def _write_labelled(
    folder: Path, volume: CTVolume, label_map: LabelMap, known: Mapping[int, str], config: ModelConfig
) -> None:
    keys = tuple(sorted(set(known.values())))
    values = _renumber(label_map.values, {value: keys.index(key) + 1 for value, key in known.items()})
    _write(
        folder,
        volume,
        values,
        np.zeros_like(values),
        keys=keys,
        facts=facts_of_labels(wholes.masks(values, dict(enumerate(keys, start=1))), volume.affine),
        config=config,
        is_phantom=False,
    )


def _grids(config: ModelConfig) -> str:
    """The sizes and the version that a cached case depends on, for its folder's name."""
    whole_dhw = "x".join(map(str, config.vit.image_size_dhw))
    return f"v{CACHE_VERSION}-{config.sam2.image_size}-{_mask_side(config)}-{whole_dhw}"


def _mask_side(config: ModelConfig) -> int:
    return 4 * config.sam2.image_size // config.sam2.backbone_stride


def _is_covered(key: str, seen: set[str], enough: Callable[[Iterable[bool]], bool]) -> bool:
    parts = vocabulary.STRUCTURES[key].parts
    return key in seen or (bool(parts) and enough(_is_covered(part, seen, enough) for part in parts))


def _write(
    folder: Path,
    volume: CTVolume,
    labels_ijk: Num[np.ndarray, "i j k"],
    lesions_ijk: Num[np.ndarray, "i j k"],
    *,
    keys: tuple[str, ...],
    facts: ScanFacts | None,
    config: ModelConfig,
    is_phantom: bool,
) -> None:
    prepared = prepare(volume, config.sam2.image_size)
    mask_side = _mask_side(config)
    hu = prepared.hu_slices(range(prepared.record.num_slices)).round().to(torch.int16).numpy()
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "hu.npy", hu)
    np.save(folder / "whole.npy", prepared.whole_volume(config.vit.image_size_dhw)[0].half().numpy())
    for name, array in (("labels", labels_ijk), ("lesions", lesions_ijk)):
        np.save(folder / f"{name}.npy", _on_mask_grid(prepared, array, mask_side))
    record = {
        "cache_version": CACHE_VERSION,
        "case_id": volume.image_id,
        "keys": keys,
        "facts": None if facts is None else facts.to_json(),
        "is_phantom": is_phantom,
        "slice_spacing_mm": prepared.record.slice_spacing_mm,
    }
    temporary = folder / "case.json.part"
    temporary.write_text(json.dumps(record), encoding="utf-8")
    os.replace(temporary, folder / "case.json")


def _on_mask_grid(
    prepared: PreparedVolume, array_ijk: Num[np.ndarray, "i j k"], mask_side: int
) -> UInt8[np.ndarray, "d m m"]:
    return prepared.record.resize_labels(prepared.record.orient(array_ijk.astype(np.uint8)), mask_side)


def _renumber(values: Num[np.ndarray, "i j k"], mapping: dict[int, int]) -> UInt8[np.ndarray, "i j k"]:
    table = np.zeros(max(int(values.max()), *mapping, 0) + 1, dtype=np.uint8)
    for old, new in mapping.items():
        table[old] = new
    return table[values]
