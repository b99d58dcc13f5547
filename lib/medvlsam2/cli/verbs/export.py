"""``medvlsam2 export``: submitted labels as a dataset for other tools."""

from __future__ import annotations

from typing import Final

from jsonargparse import ArgumentParser, Namespace

from medvlsam2.cli import console, values
from medvlsam2.cli.verb import Verb, add_json

FORMATS: Final = ("nnunet",)


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--studies", required=True, metavar="DIR", help="studies folder of a MONAI Label server")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="nnunet",
        help="nnunet: nnU-Net raw, which MONAI's decathlon loader reads too",
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="folder in which DatasetNNN_NAME is made (nnUNet_raw)"
    )
    parser.add_argument("--id", type=int, default=501, dest="dataset_id", help="number of the dataset, 1 to 999")
    parser.add_argument("--name", default="MedVLSAM2", help="name of the dataset: letters, digits and _")
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Export the final labels."""
    output = values.output_folder(arguments.output, "--output")

    from medvlsam2.data.datasets.export import export_nnunet

    with console.bar("Exporting") as tell:
        exported = export_nnunet(
            arguments.studies, output, dataset_id=arguments.dataset_id, name=arguments.name, progress=tell
        )
    console.warn(exported.sentences)
    if arguments.json:
        console.show_json(
            {
                "format": arguments.format,
                "folder": str(exported.folder),
                "labels": exported.labels,
                "cases": exported.cases,
                "warnings": list(exported.sentences),
            }
        )
        return 0
    console.show_table(("value", "class"), [(str(value), key) for key, value in exported.labels.items()])
    console.show_text(f"{len(exported.cases)} scans: {exported.folder}")
    return 0


VERB = Verb(add_arguments, run)
