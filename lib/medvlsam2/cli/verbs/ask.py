"""``medvlsam2 ask``: an answer to a question about a scan."""

from __future__ import annotations

from typing import Final

from jsonargparse import ArgumentParser, Namespace

from medvlsam2.cli import console
from medvlsam2.cli.verb import Verb, add_image, add_json, add_model
from medvlsam2.errors import InvalidPrompt
from medvlsam2.model.registry import resolve_model

KINDS: Final = ("short", "long", "multiple_choice")


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the verb."""
    add_image(parser)
    parser.add_argument("question", metavar="QUESTION", help='in words, e.g. "Is the liver visible?"')
    parser.add_argument("--choices", nargs="+", default=[], metavar="CHOICE", help="answers to choose from")
    parser.add_argument(
        "--kind", choices=KINDS, help="style of the answer; by default a sentence, or one of the choices"
    )
    parser.add_argument(
        "--grounded",
        choices=("on", "off"),
        default="on",
        help="on: the answer follows from what was measured; off: the model's guess, which nothing proves",
    )
    parser.add_argument(
        "--previous", metavar="QUERY", help='"query" of the answer before (--json); this question may refer to it'
    )
    add_json(parser)
    add_model(parser)


def run(arguments: Namespace) -> int:
    """Answer one question."""
    if not arguments.question.strip():
        raise InvalidPrompt(
            f'The question {arguments.question!r} is empty. Ask in words, e.g. "Is the liver visible?".'
        )
    model_dir = resolve_model(arguments.model)

    from medvlsam2.data.readers import read_volume

    volume = read_volume(arguments.image)
    console.warn(volume.warnings)

    from medvlsam2.tasks import converse
    from medvlsam2.tasks.engine.engine import Engine
    from medvlsam2.tasks.records.to_json import to_json

    engine = Engine(model_dir, arguments.device)
    with console.working("Thinking"):
        answer = converse.answer(
            engine,
            volume,
            arguments.question,
            arguments.choices,
            arguments.kind,
            grounded=arguments.grounded == "on",
            previous=arguments.previous,
        )
    if arguments.json:
        record = to_json(answer, model_id=engine.model_id, model_version=engine.version)
        console.show_json({"image_id": volume.image_id, **record})
        return 0
    console.warn([warning for warning in answer.warnings if warning not in volume.warnings])
    console.show_text(answer.text)
    understood = [f"understood as {answer.understood_as}"] if answer.understood_as else []
    console.show_notice(*understood, f"{engine.model_id} {engine.version}", f"{answer.latencies_s['total']:.1f} s")
    return 0


VERB = Verb(add_arguments, run)
