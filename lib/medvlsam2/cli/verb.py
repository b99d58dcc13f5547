"""What a verb of the command line is.

A verb's module is imported for its own ``--help``, so it imports what is slow (torch, readers) inside its ``run``.
"""

from __future__ import annotations

from argparse import Action
from collections.abc import Callable
from dataclasses import dataclass

from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

from medvlsam2.model.registry import DEFAULT_MODEL


@dataclass(frozen=True)
class Verb:
    """One subcommand."""

    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]
    """Returns the exit code; errors of the project's family become exit code 2."""


class HelpFormatter(DefaultHelpFormatter):
    """Says a default only where there is one."""

    def _get_help_string(self, action: Action) -> str:
        if action.default is None or action.default is False or action.default == []:
            return action.help or ""
        return super()._get_help_string(action)


def add_json(parser: ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def add_overwrite(parser: ArgumentParser) -> None:
    """``--overwrite``."""
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there; never what is read")


def add_model(parser: ArgumentParser) -> None:
    """``--model`` and ``--device``."""
    parser.add_argument("--model", default=DEFAULT_MODEL, help="id of a model, or path of a model folder")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def add_image(parser: ArgumentParser) -> None:
    """The scan."""
    parser.add_argument("image", metavar="IMAGE", help="NIfTI, NRRD or MetaImage file, or folder of a DICOM series")
