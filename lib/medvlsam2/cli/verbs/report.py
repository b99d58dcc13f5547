"""``medvlsam2 report``: a draft report of a scan."""

from __future__ import annotations

from typing import Final

from jsonargparse import ArgumentParser, Namespace

from medvlsam2.cli import console
from medvlsam2.cli.verb import Verb, add_image, add_json, add_model
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
    parser.add_argument("--max-tokens", type=int, default=256, help="longest report with --grounded off, in tokens")
    add_json(parser)
    add_model(parser)


def run(arguments: Namespace) -> int:
    """Report on one scan."""
    model_dir = resolve_model(arguments.model)

    from medvlsam2.data.readers import read_volume

    volume = read_volume(arguments.image)
    console.warn(volume.warnings)

    from medvlsam2.tasks import converse
    from medvlsam2.tasks.engine.engine import Engine
    from medvlsam2.tasks.records.to_json import to_json

    engine = Engine(model_dir, arguments.device)
    with console.working("Writing a report"):
        report = converse.report(
            engine,
            volume,
            style=arguments.style,
            grounded=arguments.grounded == "on",
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
