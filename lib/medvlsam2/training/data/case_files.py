"""Writes cases: a scan and its labels, resampled once for training.

One folder per case: ``hu.npy`` int16 on the model grid, ``labels.npy`` uint8 on the grid of the masks, ``lesions.npy``
likewise (findings of phantoms), ``whole.npy`` the 3-D encoder's input, and ``case.json``, which is written last: a
folder without it is not complete and is written again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Integer, Num, UInt8

from medvlsam2 import atomic_files
from medvlsam2.config import ModelConfig
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
from medvlsam2.training.data.cases import CACHE_VERSION
from medvlsam2.transforms.prepare import PreparedVolume, prepare

logger = logging.getLogger(__name__)


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
    return cache_labelled(volume, _label_on(volume, label).values, names, cache, config, log_name=image.parent.name)


def cache_labelled(
    volume: CTVolume,
    values: Integer[np.ndarray, "i j k"],
    names: Mapping[int, str],
    cache: Path,
    config: ModelConfig,
    *,
    log_name: str,
) -> Path:
    """Cache a scan that is read already, with its label map on its voxels; see :func:`cache_scan`.

    Args:
        volume: the scan.
        values: its label map, on the same voxels.
        names: name of each label value.
        cache: folder of all cached cases.
        config: the model, for its grid sizes.
        log_name: the scan in the log; an annotator's scan is not named there.
    """
    labels_hash = hashlib.sha256(values.tobytes() + json.dumps(sorted(names.items())).encode()).hexdigest()
    folder = cache / f"scan_{volume.content_hash[:16]}_{labels_hash[:8]}_{_grids(config)}"
    if (folder / "case.json").exists():
        return folder
    _write_labelled(folder, volume, values, _known_keys(names, log_name), config)
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
    _write_labelled(folder, new_volume, new_labels.values, keys, config)
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
    folder: Path,
    volume: CTVolume,
    label_values: Integer[np.ndarray, "i j k"],
    known: Mapping[int, str],
    config: ModelConfig,
) -> None:
    keys = tuple(sorted(set(known.values())))
    values = _renumber(label_values, {value: keys.index(key) + 1 for value, key in known.items()})
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
    atomic_files.write_text(folder / "case.json", json.dumps(record))


def _on_mask_grid(
    prepared: PreparedVolume, array_ijk: Num[np.ndarray, "i j k"], mask_side: int
) -> UInt8[np.ndarray, "d m m"]:
    return prepared.record.resize_labels(prepared.record.orient(array_ijk.astype(np.uint8)), mask_side)


def _renumber(values: Num[np.ndarray, "i j k"], mapping: dict[int, int]) -> UInt8[np.ndarray, "i j k"]:
    table = np.zeros(max(int(values.max()), *mapping, 0) + 1, dtype=np.uint8)
    for old, new in mapping.items():
        table[old] = new
    return table[values]
