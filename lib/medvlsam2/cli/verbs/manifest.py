"""``medvlsam2 manifest``: the scans of a folder, one line each, for training."""

from __future__ import annotations

from collections import Counter

from jsonargparse import ArgumentParser, Namespace

from medvlsam2.cli import console, values
from medvlsam2.cli.verb import Verb, add_json, add_overwrite


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "folder",
        metavar="DIR",
        help="scans in this project's layout, nnU-Net raw, a decathlon task, an M3D data set or MONAI Label studies",
    )
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="manifest to write, *.jsonl")
    add_overwrite(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Write a manifest."""
    output = values.output_path(arguments.output, "--output", (".jsonl",), overwrite=arguments.overwrite)

    from medvlsam2.data.datasets.layouts import scan_folder
    from medvlsam2.data.datasets.manifest import write_manifest

    layout, records = scan_folder(arguments.folder)
    write_manifest(output, records)
    splits = dict(sorted(Counter(record.split or "none" for record in records).items()))
    patients = len({record.patient_id for record in records})
    labelled = sum(record.label is not None for record in records)
    if arguments.json:
        console.show_json(
            {
                "manifest": str(output),
                "layout": layout,
                "scans": len(records),
                "labelled": labelled,
                "patients": patients,
                "splits": splits,
            }
        )
        return 0
    parts = ", ".join(f"{split} {count}" for split, count in splits.items())
    console.show_text(f"{layout}: {len(records)} scans of {patients} patients, {labelled} with labels ({parts})")
    console.show_text(f"manifest: {output}")
    return 0


VERB = Verb(add_arguments, run)
