"""``medvlsam2 VERB …``: which verb, its arguments, and what becomes of errors.

Exit codes: 0 done; 2 what was asked for cannot be done, with one sentence on stderr (and as JSON on stdout where
``--json`` was given); 1 a self-test that failed, or a bug, with its traceback.
"""

from __future__ import annotations

import logging
import sys
import warnings
from argparse import ArgumentError
from collections.abc import Mapping, Sequence
from typing import Final

from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

from medvlsam2 import __version__
from medvlsam2.cli import (
    ask,
    console,
    doctor,
    evaluate,
    export,
    manifest,
    phantom,
    report,
    segment,
    serve,
    train,
    values,
    versions,
)
from medvlsam2.cli.verb import HelpFormatter, Verb
from medvlsam2.errors import InvalidRequest, MedVLSAM2Error, nearest_hint

VERBS: Final[Mapping[str, Verb]] = {
    "segment": segment.VERB,
    "report": report.VERB,
    "ask": ask.VERB,
    "serve": serve.VERB,
    "train": train.VERB,
    "evaluate": evaluate.VERB,
    "export": export.VERB,
    "manifest": manifest.VERB,
    "versions": versions.VERB,
    "phantom": phantom.VERB,
    "doctor": doctor.VERB,
}


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
        name, arguments = _parse(given)
        return VERBS[name].run(arguments)
    except MedVLSAM2Error as error:
        if "--json" in given:
            console.show_json({"error": {"type": type(error).__name__, "message": str(error)}})
        console.fail(str(error))
        return 2


def parser() -> ArgumentParser:
    """All verbs with their options."""
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    program = ArgumentParser(
        prog="medvlsam2",
        description=f"Segment, report and answer on 3-D CT with one model. {console.NOTICE}",
        version=__version__,
        formatter_class=HelpFormatter,
        exit_on_error=False,
    )
    subcommands = program.add_subcommands(dest="verb", metavar="VERB", title="verbs")
    for name, verb in VERBS.items():
        options = ArgumentParser(description=verb.summary, exit_on_error=False)
        verb.add_arguments(options)
        subcommands.add_subcommand(name, options, help=verb.summary)
    return program


def _parse(argv: Sequence[str]) -> tuple[str, Namespace]:
    """The verb and its arguments.

    Raises:
        InvalidRequest: with the parser's own reason.
    """
    if not argv:
        raise InvalidRequest(f"No verb given. Allowed: {', '.join(VERBS)}. See 'medvlsam2 --help'.")
    name = argv[0]
    if name not in VERBS and not name.startswith("-"):
        hint = nearest_hint(name, VERBS)
        raise InvalidRequest(f"There is no verb '{name}'. {hint + ' ' if hint else ''}Allowed: {', '.join(VERBS)}.")
    try:
        parsed = parser().parse_args(values.normalise(argv))
    except ArgumentError as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise InvalidRequest(f"Wrong arguments: {reason}. See 'medvlsam2 {name} --help'.") from None
    return str(parsed.verb), parsed[parsed.verb]
