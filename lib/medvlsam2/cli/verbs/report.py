"""``medvlsam2 report``: a draft report of a scan."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from jsonargparse import ArgumentParser, Namespace

from medvlsam2.cli import console
from medvlsam2.cli.verb import Verb, add_image, add_json, add_model
from medvlsam2.errors import InvalidRequest
from medvlsam2.model.registry import resolve_model

STYLES: Final = ("narrative", "structured", "terse")


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the verb."""
    add_image(parser)
    parser.add_argument("--style", choices=STYLES, default="narrative", help="style of the report")
    parser.add_argument(
        "--grounded",
        choices=("on", "off"),
        default="on",
        help="on: every sentence follows from what was measured; off: the model's own words, which nothing proves",
    )
    parser.add_argument(
        "--prior",
        type=Path,
        metavar="PATH",
        help="earlier DICOM scan of the same patient; what both scans measure is compared, with both dates",
    )
    parser.add_argument("--max-tokens", type=int, default=256, help="longest report with --grounded off, in tokens")
    add_json(parser)
    add_model(parser)


def run(arguments: Namespace) -> int:
    """Report on one scan."""
    if arguments.prior is not None and arguments.grounded == "off":
        raise InvalidRequest("--prior needs measurements, and --grounded off makes none. Leave out one of them.")
    model_dir = resolve_model(arguments.model)

    from medvlsam2.data.readers import read_volume

    volume = read_volume(arguments.image)
    console.warn(volume.warnings)

    from medvlsam2.tasks import converse
    from medvlsam2.tasks.engine.engine import Engine
    from medvlsam2.tasks.records.to_json import to_json
    from medvlsam2.tasks.reporting.earlier import measured_prior, prior_dates

    dates = None if arguments.prior is None else prior_dates(arguments.image, arguments.prior)
    engine = Engine(model_dir, arguments.device)
    with console.working("Writing a report"):
        report = converse.report(
            engine,
            volume,
            style=arguments.style,
            grounded=arguments.grounded == "on",
            prior=None if dates is None else measured_prior(engine, read_volume(arguments.prior), dates),
            max_new_tokens=arguments.max_tokens,
        )
    if arguments.json:
        record = to_json(report, model_id=engine.model_id, model_version=engine.version)
        console.show_json({"image_id": volume.image_id, **record})
        return 0
    console.warn([warning for warning in report.warnings if warning not in volume.warnings])
    console.show_text(report.text or "(The model wrote nothing.)")
    console.show_notice(
        "Draft for a radiologist to correct",
        f"{engine.model_id} {engine.version}",
        f"{report.latencies_s['total']:.1f} s",
    )
    return 0


VERB = Verb(add_arguments, run)
