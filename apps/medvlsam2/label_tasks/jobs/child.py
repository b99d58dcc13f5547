"""What the process of one job runs: ``python -I child.py``, told by its standard input what to do.

Isolated mode reads no ``PYTHON*`` variable, no user's packages and no working folder, so that nothing that a client
uploads can be imported; the folders of our own code come with the order. The process ends with the server, and when
it is told to stop: both close its standard input. A training then writes its checkpoint first.
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
"""Until a process that does not end by itself is ended: a step on a slow CPU and its checkpoint take some seconds."""

logger = logging.getLogger("medvlsam2.job")


def main() -> int:
    """Read the order, do it, and say how it ended."""
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
    """The server holds the other end of standard input, and closes it, or is gone: the reason for this process is, too.

    SIGTERM ends a process at once, but for a training within its loop, which ends after a step.
    """
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(3)


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    os._exit(code)
