"""Start the host with our server: ``python apps/medvlsam2/serve.py --studies DIR`` or ``medvlsam2 serve``.

The environment is set before the host is imported, for it reads its settings then.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

APP_DIR = Path(__file__).resolve().parent


def host_arguments(arguments: argparse.Namespace) -> list[str]:
    """The host's own command line for ours."""
    listed = ["start_server", "--app", str(APP_DIR), "--studies", arguments.studies]
    listed += [
        "--host",
        arguments.host,
        "--port",
        str(arguments.port),
        "--uvicorn_app",
        "label_tasks.server:app",
    ]
    for key, value in [("model", arguments.model), ("device", arguments.device), *arguments.conf]:
        listed += ["--conf", key, value]
    return listed


def parser() -> argparse.ArgumentParser:
    """Options of the server."""
    options = argparse.ArgumentParser(
        prog="medvlsam2 serve", description="Serve scans to 3D Slicer, OHIF and programs."
    )
    options.add_argument("--studies", required=True, help="folder of scans, or address of a DICOMweb server")
    options.add_argument("--model", default="nano", help="name of a folder under model/, or path of a model folder")
    options.add_argument("--device", default="auto", help="auto, cpu or cuda")
    options.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 opens it to the network")
    options.add_argument("--port", default=8000, type=int, help="port to listen on")
    options.add_argument("--conf", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"), help="as the host's")
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until stopped."""
    arguments = parser().parse_args(argv)
    sys.path.insert(0, str(APP_DIR))
    from label_tasks import host_settings

    host_settings.prepare_environment()
    from monailabel.main import Main

    host = Main()
    host.action_start_server(host.args_parser().parse_args(host_arguments(arguments)))


if __name__ == "__main__":
    main()
