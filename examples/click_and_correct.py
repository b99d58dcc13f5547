"""Click on an object, look at the mask, and correct it with a second click, as an annotator does.

    python examples/click_and_correct.py scan.nii.gz mask.nii.gz --on 90,60,100 --beside 120,60,100

A click is a voxel index i,j,k of the scan. The second request holds both clicks: a request always holds all clicks of
its object. The second request is much faster, because the engine keeps the features of the scan's slices.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from medvlsam2.data.label_maps import write_label_map
from medvlsam2.data.readers import read_volume
from medvlsam2.model.registry import resolve_model
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment


def voxel(text: str) -> tuple[float, float, float]:
    """The voxel index in a text such as "90,60,100"."""
    i, j, k = map(float, text.split(","))
    return i, j, k


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask with the first click, then with both, and write the second mask."""
    parser = argparse.ArgumentParser(description="Segment one object by a click, and correct it by another.")
    parser.add_argument("scan", help="a NIfTI, NRRD or MetaImage file, or a folder with a DICOM series")
    parser.add_argument("mask", help="the label map to write, e.g. mask.nii.gz")
    parser.add_argument("--on", type=voxel, required=True, metavar="I,J,K", help="a voxel of the object")
    parser.add_argument("--beside", type=voxel, required=True, metavar="I,J,K", help="a voxel that is not the object's")
    parser.add_argument("--model", default="nano", help="name or folder of a model")
    given = parser.parse_args(arguments)
    if Path(given.mask).exists():
        parser.error(f"'{given.mask}' exists already. Choose another name for the mask.")

    volume = read_volume(given.scan)
    engine = Engine(resolve_model(given.model), device="auto")
    first = ObjectPrompt(points_ijk=(given.on,), point_labels=(1,), name="lesion")
    both = ObjectPrompt(points_ijk=(given.on, given.beside), point_labels=(1, 0), name="lesion")
    for number, prompt in enumerate((first, both), start=1):
        found = segment(engine, volume, [prompt])
        one = found.objects[0]
        print(f"Request {number}: {one.volume_ml:.1f} mL; slice to look at next: {one.slice_to_fix}")
    write_label_map(given.mask, found.label_map, volume.affine, {1: one.name})


if __name__ == "__main__":
    main()
