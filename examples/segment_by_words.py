"""Segment structures of one CT scan by their names, and write one label map.

    python examples/segment_by_words.py scan.nii.gz mask.nii.gz "left kidney" "right kidney" liver

Label 1 is the first name, label 2 the second, and so on. The label map has exactly the voxel grid of the scan.
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the scan, ask for each name, write the mask, and print one line for each object."""
    parser = argparse.ArgumentParser(description="Segment structures by their names.")
    parser.add_argument("scan", help="a NIfTI, NRRD or MetaImage file, or a folder with a DICOM series")
    parser.add_argument("mask", help="the label map to write, e.g. mask.nii.gz")
    parser.add_argument("names", nargs="+", help="structures or phrases, e.g. 'left kidney'")
    parser.add_argument("--model", default="nano", help="name or folder of a model")
    given = parser.parse_args(arguments)
    if Path(given.mask).exists():
        parser.error(f"'{given.mask}' exists already. Choose another name for the mask.")

    volume = read_volume(given.scan)
    engine = Engine(resolve_model(given.model), device="auto")
    found = segment(engine, volume, [ObjectPrompt(text=name) for name in given.names])

    labels = {number: one.name for number, one in enumerate(found.objects, start=1)}
    write_label_map(given.mask, found.label_map, volume.affine, labels)
    for warning in found.warnings:
        print("Warning:", warning)
    for number, one in enumerate(found.objects, start=1):
        told = f"{one.volume_ml:.1f} mL, confidence {one.confidence:.2f}" if one.present else "not present"
        print(f"{number} {one.name}: {told}")


if __name__ == "__main__":
    main()
