"""A phantom as files, laid out like the real cases: image, label map, lesions and what is known."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from medvlsam2.data.phantom.generate import Phantom


def write(phantom: Phantom, folder: Path | str) -> None:
    """Write image.nii.gz, label.nii.gz, lesions.nii.gz, meta.json and facts.json into a folder.

    Args:
        phantom: what to write.
        folder: made where it does not exist; files of the same names are replaced.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    affine = phantom.volume.affine
    _write_nifti(phantom.volume.hu, affine, target / "image.nii.gz")
    _write_nifti(phantom.label_map, affine, target / "label.nii.gz")
    _write_nifti(phantom.lesion_map, affine, target / "lesions.nii.gz")
    meta = {
        "source": f"procedural phantom {phantom.volume.image_id}",
        "label_kind": "exact: the label map that the image was made from",
        "labels": {str(value): key for value, key in sorted(phantom.labels.items())},
        "size": list(phantom.volume.shape_ijk),
        "spacing": [round(s, 6) for s in phantom.volume.spacing_mm],
    }
    (target / "meta.json").write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
    (target / "facts.json").write_text(json.dumps(phantom.facts.to_json(), indent=1) + "\n", encoding="utf-8")


def _write_nifti(array: np.ndarray, affine: np.ndarray, path: Path) -> None:
    image = nib.Nifti1Image(array, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
