"""Settings as options of ``medvlsam2 serve``, and in its help."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Final

from medvlsam2.errors import InvalidConfig
from medvlsam2.settings.reading import read
from medvlsam2.settings.record import ServerSettings, Setting, all_settings

PRECEDENCE: Final = (
    "Each setting can be given as an option, as an environment variable, or as --conf KEY VALUE with the option's name "
    "and _ for -. An option overrules --conf, --conf the environment, and the environment the default."
)


def add_options(parser: ArgumentParser) -> None:
    """Add an option for each setting, and ``--conf``; all take texts, which :func:`from_arguments` checks."""
    for setting in all_settings().values():
        # A list's option may be repeated.
        action = "append" if setting.kind is tuple else "store"
        parser.add_argument(setting.option, action=action, metavar=_metavar(setting), help=_help(setting))
    parser.add_argument(
        "--conf",
        nargs=2,
        action="append",
        default=[],
        metavar=("KEY", "VALUE"),
        help="any setting, as the host's own command takes it; may be repeated",
    )
    parser.epilog = PRECEDENCE


def from_arguments(arguments: Namespace, environment: Mapping[str, str]) -> ServerSettings:
    """The settings that a command line and the environment give.

    Args:
        arguments: parsed by a parser with :func:`add_options`.
        environment: variables of the process.

    Raises:
        InvalidConfig: on an unknown key, a value that is not allowed, or if no studies are given.
    """
    given = {name: getattr(arguments, name) for name in all_settings()}
    texts = {
        name: ",".join(text) if isinstance(text, list) else text for name, text in given.items() if text is not None
    }
    settings = read(command_line=texts, conf=dict(arguments.conf), environment=environment)
    if not settings.studies:
        studies = all_settings()["studies"]
        raise InvalidConfig(
            f"No studies given. Give {studies.option} with a folder of scans or the address of a DICOMweb server, or "
            f"set {studies.variable}."
        )
    return settings


def _metavar(setting: Setting) -> str:
    if setting.choices:
        return "{" + ",".join(setting.choices) + "}"
    return {int: "N", float: "X"}.get(setting.kind) or setting.about.metavar


def _help(setting: Setting) -> str:
    return f"{setting.about.help} Allowed: {setting.allowed} (default: {setting.default_text}; {setting.variable})."
