"""``medvlsam2 serve``: start the MONAI Label server with our app.

The app lies beside the package in the checkout, and only the app knows the host. This verb checks the settings, says
where to connect, and replaces its process by the app's start script, so that signals reach the server.
"""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from jsonargparse import ArgumentParser, Namespace

from medvlsam2.cli import console
from medvlsam2.cli.verb import Verb
from medvlsam2.data.studies.writable import require_writable
from medvlsam2.errors import InvalidConfig
from medvlsam2.model.registry import AUTO, checkout, choose_model
from medvlsam2.settings.command_line import add_options, from_arguments
from medvlsam2.settings.reading import variables

EVERYWHERE: Final = ("0.0.0.0", "::")
LOGIN: Final = "MONAI_LABEL_AUTH_ENABLE"
"""The host's setting for a login, which this server does not have."""
OFF: Final = frozenset({"", "0", "false", "no", "off", "f", "n"})


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the verb: every setting of the server."""
    add_options(parser)


def run(arguments: Namespace) -> int:
    """Replace this process by the server, which gets its settings as environment variables."""
    settings = from_arguments(arguments, os.environ)
    _require_no_login()
    script = start_script()
    is_remote = settings.studies.startswith(("http://", "https://"))
    studies = settings.studies if is_remote else str(_studies_folder(settings.studies))
    model = choose_model(settings.model, settings.models)
    _require_free(settings.host, settings.port)
    _say_where(settings.host, settings.port, studies, is_remote=is_remote)
    if model.passed_over:
        console.warn([model.passed_over])
    # Where no model is named the app chooses again, so that its log says why.
    named = AUTO if settings.model == AUTO else str(model.folder)
    checked = variables(replace(settings, studies=studies, model=named))
    os.execve(sys.executable, [sys.executable, str(script)], {**os.environ, **checked})
    return 0


VERB = Verb(add_arguments, run)


def start_script() -> Path:
    """The app's start script.

    Raises:
        InvalidConfig: if the package does not run from a checkout.
    """
    script = checkout() / "apps" / "medvlsam2" / "serve.py"
    if not script.is_file():
        raise InvalidConfig(
            f"The server's app is not at '{script.parent}'. Serving needs the source checkout: clone the repository "
            "and run 'make serve' there."
        )
    return script


def _require_no_login() -> None:
    if os.environ.get(LOGIN, "").lower() not in OFF:
        raise InvalidConfig(
            f"{LOGIN} is '{os.environ[LOGIN]}', but this server has no login and would answer without a token: unset "
            "it, and keep the server on 127.0.0.1 or behind something that has a login."
        )


def _studies_folder(text: str) -> Path:
    folder = Path(text).expanduser()
    if not folder.is_dir():
        raise InvalidConfig(
            f"--studies '{text}' is no folder. Give a folder of scans, or a DICOMweb address that starts with "
            "http:// or https://."
        )
    require_writable(folder)
    return folder.resolve()


def _require_free(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise InvalidConfig(
            f"The server cannot listen on {host}:{port} ({error.strerror}). Choose another --port or --host."
        ) from error


def _say_where(host: str, port: int, studies: str, *, is_remote: bool) -> None:
    address = f"http://{'127.0.0.1' if host in EVERYWHERE else host}:{port}"
    console.show_text(f"Serving {studies}")
    console.show_text(f"  Start page, in a browser        {address}/")
    console.show_text(f"  3D Slicer (MONAI Label module)  {address}")
    if is_remote:
        console.show_text(f"  OHIF viewer                     {address}/ohif/")
    console.show_text(f"  API, to try in a browser        {address}/docs")
    console.show_notice("Stop with Ctrl-C")
    sys.stdout.flush()
