"""Program of a job's process: ``python -I child.py`` reads from its standard input which method to call.

Python's isolated mode (``-I``) ignores ``PYTHON*`` variables, the user's packages and the working folder, so that
nothing that a client uploaded can be imported. The order names the folders of the project's own code. The process ends
when its standard input is closed: the server closes it to stop the job, and the end of the server closes it too. A
training writes its checkpoint first.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from typing import Any, Final

GRACE_S: Final = 30.0
"""Seconds after which a process that does not end by itself is killed: a training step on a slow CPU and the checkpoint
take some seconds."""

logger = logging.getLogger("medvlsam2.job")


def main() -> int:
    """Read the order from standard input, call the method, and end with an exit code that tells how it went."""
    order: dict[str, Any] = json.loads(sys.stdin.readline())
    sys.path[:0] = order["code"]
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(name)s: %(message)s")
    if order["method"] == "train":
        from label_tasks.jobs.background import step_back

        step_back()
    threading.Thread(target=_end_when_told, name="end-when-told", daemon=True).start()
    from fastapi import HTTPException
    from monailabel.interfaces.utils.app import app_instance

    from medvlsam2.errors import MedVLSAM2Error

    try:
        app = app_instance(order["app_dir"], order["studies"], order["conf"])
        getattr(app, order["method"])(order["request"])
    except MedVLSAM2Error as error:
        logger.error("%s", error)
        return 1
    except HTTPException as error:
        logger.error("%s", error.detail)
        return 1
    except KeyboardInterrupt as stopped:
        logger.info("%s", stopped)
        return 3
    return 0


def _end_when_told() -> None:
    """Wait until the server closes standard input, to stop the job or because the server ends; then end this process.

    SIGTERM ends the process at once, except for a training in its loop, which ends after the current step.
    """
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(3)


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    os._exit(code)
