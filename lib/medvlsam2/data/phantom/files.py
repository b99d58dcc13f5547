"""Writer of a phantom as files in the layout of real cases: image, label map, lesion map and facts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from medvlsam2.data.phantom.generate import Phantom
from medvlsam2.data.placement.nifti_place import write_nifti
from medvlsam2.data.placement.scan_affine import place_header

FILES: Final = ("image.nii.gz", "label.nii.gz", "lesions.nii.gz", "meta.json", "facts.json")


def write_phantom(phantom: Phantom, folder: Path | str) -> None:
    """Write image.nii.gz, label.nii.gz, lesions.nii.gz, meta.json and facts.json into a folder.

    Args:
        phantom: the phantom.
        folder: target folder; it is made if it does not exist, and files with the same names are replaced.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    place = place_header(phantom.volume.affine, phantom.volume.shape_ijk)
    write_nifti(target / "image.nii.gz", phantom.volume.hu, place)
    write_nifti(target / "label.nii.gz", phantom.label_map, place)
    write_nifti(target / "lesions.nii.gz", phantom.lesion_map, place)
    meta = {
        "source": f"procedural phantom {phantom.volume.image_id}",
        "label_kind": "exact: the label map that the image was made from",
        "labels": {str(value): key for value, key in sorted(phantom.labels.items())},
        "size": list(phantom.volume.shape_ijk),
        "spacing": [round(s, 6) for s in phantom.volume.spacing_mm],
    }
    (target / "meta.json").write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
    (target / "facts.json").write_text(json.dumps(phantom.facts.to_json(), indent=1) + "\n", encoding="utf-8")
