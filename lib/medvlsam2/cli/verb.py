"""The parts that all verbs of the command line share.

``medvlsam2 VERB --help`` imports the verb's module. So the module imports slow packages (torch, the readers) inside
``run``.
"""

from __future__ import annotations

from argparse import Action
from collections.abc import Callable
from dataclasses import dataclass

from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

from medvlsam2.model.registry import AUTO


@dataclass(frozen=True)
class Verb:
    """One subcommand."""

    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]
    """Returns the exit code; an error of the family :class:`MedVLSAM2Error` becomes exit code 2."""


class HelpFormatter(DefaultHelpFormatter):
    """Shows a default only where an option has one."""

    def _get_help_string(self, action: Action) -> str:
        if action.default is None or action.default is False or action.default == []:
            return action.help or ""
        return super()._get_help_string(action)


def add_json(parser: ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def add_overwrite(parser: ArgumentParser) -> None:
    """Add ``--overwrite``."""
    parser.add_argument(
        "--overwrite", action="store_true", help="replace results that exist; inputs are never replaced"
    )


def add_model(parser: ArgumentParser) -> None:
    """Add ``--model`` and ``--device``."""
    parser.add_argument(
        "--model",
        default=AUTO,
        help="id of a model, or path of a model folder; auto takes small where its language model is there, else nano",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def add_image(parser: ArgumentParser) -> None:
    """Add the scan as an argument without a name."""
    parser.add_argument("image", metavar="IMAGE", help="NIfTI, NRRD or MetaImage file, or folder of a DICOM series")
