"""Segment the same structures in every scan of a folder, and write their volumes into one table.

    python examples/batch_over_a_folder.py scans masks liver spleen

A scan that cannot be read is named in the output and does not stop the others. A scan that has a mask already is left
out, so an interrupted run can be started again.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

from medvlsam2.data.label_maps import write_label_map
from medvlsam2.data.readers import read_volume
from medvlsam2.data.reading.scan_kinds import list_scans
from medvlsam2.errors import MedVLSAM2Error
from medvlsam2.model.registry import resolve_model
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment


def main(arguments: Sequence[str] | None = None) -> None:
    """Write one mask for each scan, and one line of the table for each object."""
    parser = argparse.ArgumentParser(description="Segment structures in every scan of a folder.")
    parser.add_argument("scans", type=Path, help="folder of scans: image files and folders of DICOM slices")
    parser.add_argument("masks", type=Path, help="folder to write to; made where it does not exist")
    parser.add_argument("names", nargs="+", help="structures or phrases, e.g. liver 'left kidney'")
    parser.add_argument("--model", default="nano", help="name or folder of a model")
    given = parser.parse_args(arguments)

    engine = Engine(resolve_model(given.model), device="auto")
    prompts = [ObjectPrompt(text=name) for name in given.names]
    given.masks.mkdir(parents=True, exist_ok=True)
    with (given.masks / "volumes.csv").open("a", newline="", encoding="utf-8") as table:
        rows = csv.writer(table)
        for scan in list_scans(given.scans).scans:
            mask = given.masks / f"{scan.image_id}.nii.gz"
            if mask.exists():
                continue
            try:
                volume = read_volume(scan.path)
                found = segment(engine, volume, prompts)
            except MedVLSAM2Error as error:
                print(f"Left out: {error}")
                continue
            write_label_map(mask, found.label_map, volume.affine, dict(enumerate(given.names, start=1)))
            rows.writerows((scan.image_id, one.name, one.present, f"{one.volume_ml:.1f}") for one in found.objects)
            print(f"{scan.image_id}: {sum(one.present for one in found.objects)} of {len(prompts)} present")


if __name__ == "__main__":
    main()
