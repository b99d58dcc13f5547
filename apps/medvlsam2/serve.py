"""Start the host with our server: ``python apps/medvlsam2/serve.py --studies DIR`` or ``medvlsam2 serve``.

The environment is set before the host is imported, for it reads its settings then.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

APP_DIR = Path(__file__).resolve().parent
ALLOWED_HOSTS = "MEDVLSAM2_ALLOWED_HOSTS"
"""Environment variable with further names of the server, with commas between them."""


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
    options.add_argument(
        "--allowed-host", action="append", default=[], metavar="NAME", help="further name that clients call it by"
    )
    options.add_argument("--conf", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"), help="as the host's")
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until stopped."""
    arguments = parser().parse_args(argv)
    sys.path.insert(0, str(APP_DIR))
    from label_tasks import host_settings
    from label_tasks.logs import private_log
    from label_tasks.uploads.private_files import ServerTemp
    from medvlsam2.cli.process import COLLECTOR_THRESHOLDS
    from medvlsam2.data.studies.writable import require_writable
    from medvlsam2.errors import InvalidConfig

    host_settings.prepare_environment()
    os.environ.setdefault(ALLOWED_HOSTS, ",".join(arguments.allowed_host))
    try:
        host_settings.refuse_login()
        if Path(arguments.studies).is_dir():
            require_writable(Path(arguments.studies))
        if arguments.studies.strip().startswith(("http://", "https://")):
            host_settings.require_pacs_settings(arguments.studies)
    except InvalidConfig as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    temporary = ServerTemp()
    temporary.use()
    signal.signal(signal.SIGTERM, _end)
    try:
        gc.disable()  # the host imports all of MONAI: a million objects that stay
        import monailabel
        from monailabel.main import Main

        gc.freeze()
        gc.set_threshold(*COLLECTOR_THRESHOLDS)
        gc.enable()

        host = Main()
        log = private_log.ServerLog(APP_DIR, arguments.studies, arguments.host, arguments.port)
        os.environ[private_log.LOG] = str(log.path)
        config = temporary.folder / "logging.json"
        config.write_text(
            private_log.log_config(Path(monailabel.__file__).with_name("logging.json"), log.path), encoding="utf-8"
        )
        listed = [*host_arguments(arguments), "--log_config", str(config)]
        host.action_start_server(host.args_parser().parse_args(listed))
        log.close()
    finally:
        temporary.remove()


def _end(number: int, _: object) -> None:
    """End as usual, so that what is left is removed."""
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
