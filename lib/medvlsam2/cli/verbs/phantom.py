"""``medvlsam2 phantom``: draw a synthetic CT whose anatomy and findings are known."""

from __future__ import annotations

from typing import Final, get_args

from jsonargparse import ArgumentParser, Namespace

from medvlsam2.cli import console, values
from medvlsam2.cli.verb import Verb, add_json, add_overwrite
from medvlsam2.data.facts import Region

SCAN_SUFFIXES: Final = (".nii.gz", ".nii")


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same scan")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="PATH",
        help="a .nii.gz file for the scan alone, or a folder for scan, label maps and facts",
    )
    parser.add_argument("--region", choices=get_args(Region), help="part of the body; by default drawn from the seed")
    add_overwrite(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Write one phantom."""
    from medvlsam2.data import phantom
    from medvlsam2.data.volume_files import write_volume

    text, overwrite = arguments.output, arguments.overwrite
    is_file = text.lower().endswith(SCAN_SUFFIXES)
    if is_file:
        path = values.output_path(text, "--output", SCAN_SUFFIXES, overwrite=overwrite)
    else:
        path = values.output_folder(text, "--output", names=phantom.FILES, overwrite=overwrite)
    with console.working("Drawing"):
        made = phantom.generate(arguments.seed, phantom.PhantomConfig(region=arguments.region))
    if is_file:
        write_volume(path, made.volume)
    else:
        phantom.write_phantom(made, path)
    if arguments.json:
        console.show_json({"output": str(path), "seed": arguments.seed, "facts": made.facts.to_json()})
    else:
        lesions = ", ".join(
            f"{item.kind} of {item.diameter_mm:.0f} mm in {item.structure}" for item in made.facts.lesions
        )
        console.show_text(f"{path}: {made.volume!r}")
        console.show_text(f"{len(made.facts.volumes_ml)} structures; findings: {lesions or 'none'}")
    return 0


VERB = Verb(add_arguments, run)
