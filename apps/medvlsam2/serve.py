"""Start the host with our server: ``medvlsam2 serve`` runs this file, and so does ``python apps/medvlsam2/serve.py``.

Both take the same options. The settings go into the environment before the host is imported: app, library and the
processes of jobs read them there.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medvlsam2.settings.record import ServerSettings

APP_DIR = Path(__file__).resolve().parent


def host_arguments(settings: ServerSettings) -> list[str]:
    """The host's own command line for ours."""
    return [
        "start_server",
        *("--app", str(APP_DIR)),
        *("--studies", settings.studies),
        *("--host", settings.host),
        *("--port", str(settings.port)),
        *("--uvicorn_app", "label_tasks.server:app"),
    ]


def checked_settings(argv: Sequence[str]) -> ServerSettings:
    """The settings that a command line and the environment give.

    Raises:
        MedVLSAM2Error: on what no server can be started with.
    """
    from label_tasks import host_settings
    from medvlsam2.cli.program import parse
    from medvlsam2.data.studies.writable import require_writable
    from medvlsam2.settings.command_line import from_arguments

    _, arguments = parse(["serve", *argv])
    settings = from_arguments(arguments, os.environ)
    host_settings.prepare_environment()
    host_settings.refuse_login()
    if Path(settings.studies).is_dir():
        require_writable(Path(settings.studies))
    if settings.studies.strip().startswith(("http://", "https://")):
        host_settings.require_pacs_settings(settings.studies)
    return settings


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until stopped."""
    sys.path.insert(0, str(APP_DIR))
    from label_tasks.logs import private_log
    from label_tasks.uploads.private_files import ServerTemp
    from medvlsam2.cli.process import COLLECTOR_THRESHOLDS
    from medvlsam2.errors import MedVLSAM2Error
    from medvlsam2.settings.reading import variables

    try:
        settings = checked_settings(sys.argv[1:] if argv is None else argv)
    except MedVLSAM2Error as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    os.environ.update(variables(settings))
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
        log = private_log.ServerLog(
            Path(settings.logs or APP_DIR / "logs"), settings.studies, settings.host, settings.port
        )
        os.environ[private_log.LOG] = str(log.path)
        config = temporary.folder / "logging.json"
        config.write_text(
            private_log.log_config(Path(monailabel.__file__).with_name("logging.json"), log.path), encoding="utf-8"
        )
        listed = [*host_arguments(settings), "--log_config", str(config)]
        host.action_start_server(host.args_parser().parse_args(listed))
        log.close()
    finally:
        temporary.remove()


def _end(number: int, _: object) -> None:
    """End as usual, so that what is left is removed."""
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
