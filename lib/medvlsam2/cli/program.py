"""``medvlsam2 VERB …``: find the verb, parse its arguments, and turn errors into exit codes.

Exit codes: 0, done; 2, the request cannot be done: one sentence on stderr says why (also as JSON on stdout where
``--json`` was given); 1, a self-test failed, or there is a bug, which shows its traceback.
"""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from argparse import ArgumentError, ArgumentParser
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from medvlsam2 import NOTICE, __version__
from medvlsam2.cli import console
from medvlsam2.errors import InvalidRequest, MedVLSAM2Error, nearest_hint

if TYPE_CHECKING:
    from jsonargparse import Namespace

    from medvlsam2.cli.verb import Verb

PROGRAM: Final = "medvlsam2"

VERBS: Final[Mapping[str, str]] = {
    "segment": "Segment what words, clicks or a box mean, on the scan's own grid.",
    "report": "Write a draft report of a scan.",
    "ask": "Answer a question about a scan.",
    "serve": "Serve scans to 3D Slicer, OHIF and programs.",
    "train": "Train a model from a preset.",
    "evaluate": "Measure a model on scans whose truth is known.",
    "export": "Write the final labels of a studies folder as a dataset that other tools train on.",
    "manifest": "List the scans of a folder in a manifest for training.",
    "versions": "List the versions of a model, or go back to one.",
    "phantom": "Draw a synthetic CT of which everything is known.",
    "doctor": "Show versions, device, memory and weights, and test the model on a small phantom.",
}
"""Each verb and what it does. The module of a verb has the verb's name. Only the verb that is asked for is imported, so
that ``--help`` is quick."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        argv: arguments without the program's name; by default the process's own.

    Returns:
        The exit code.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    try:
        verb, arguments = parse(given)
        return verb.run(arguments)
    except MedVLSAM2Error as error:
        if "--json" in given:
            console.show_json({"error": {"type": type(error).__name__, "message": str(error)}})
        console.fail(str(error))
        return 2


def parse(argv: Sequence[str]) -> tuple[Verb, Namespace]:
    """Find the verb and parse its arguments; ``--help`` and ``--version`` end the process.

    Raises:
        InvalidRequest: if there is no such verb, or an argument is wrong.
    """
    if not argv:
        raise InvalidRequest(f"No verb given. Allowed: {', '.join(VERBS)}. See '{PROGRAM} --help'.")
    name = argv[0]
    if name in VERBS:
        return _parse_verb(name, argv[1:])
    if name.startswith("-"):
        _program().parse_known_args([name])
        raise InvalidRequest(f"There is no option '{name}' before the verb. See '{PROGRAM} --help'.")
    hint = nearest_hint(name, VERBS)
    raise InvalidRequest(f"There is no verb '{name}'. {hint + ' ' if hint else ''}Allowed: {', '.join(VERBS)}.")


def _program() -> ArgumentParser:
    """Parser of the options before the verb, with the list of verbs as its help."""
    program = ArgumentParser(
        prog=PROGRAM,
        description=f"Segment, report and answer on 3-D CT with one model. {NOTICE}",
        epilog=f"'{PROGRAM} VERB --help' lists the options of a verb.",
    )
    program.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    verbs = program.add_subparsers(metavar="VERB", title="verbs")
    for name, summary in VERBS.items():
        verbs.add_parser(name, help=summary)
    return program


def _parse_verb(name: str, argv: Sequence[str]) -> tuple[Verb, Namespace]:
    from jsonargparse import ArgumentParser, set_parsing_settings

    from medvlsam2.cli import refusals
    from medvlsam2.cli.values import join_values
    from medvlsam2.cli.verb import HelpFormatter

    verb: Verb = importlib.import_module(f"medvlsam2.cli.verbs.{name}").VERB
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    options = ArgumentParser(
        prog=f"{PROGRAM} {name}",
        description=VERBS[name],
        formatter_class=HelpFormatter,
        exit_on_error=False,
        allow_abbrev=False,
    )
    verb.add_arguments(options)
    try:
        return verb, options.parse_args(join_values(argv))
    except ArgumentError as error:
        reason = refusals.in_words(" ".join(str(error).split()).rstrip("."), options.format_usage())
        raise InvalidRequest(f"{reason} See '{PROGRAM} {name} --help'.") from None
