"""What the process of one job runs: ``python -I child.py``, told by its standard input what to do.

Isolated mode reads no ``PYTHON*`` variable, no user's packages and no working folder, so that nothing that a client
uploads can be imported; the folders of our own code come with the order. The process ends with the server.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from typing import Any

logger = logging.getLogger("medvlsam2.job")


def main() -> int:
    """Read the order, do it, and say how it ended."""
    order: dict[str, Any] = json.loads(sys.stdin.readline())
    sys.path[:0] = order["code"]
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(name)s: %(message)s")
    threading.Thread(target=_end_with_the_server, name="end-with-the-server", daemon=True).start()
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
    return 0


def _end_with_the_server() -> None:
    """The server holds the other end of standard input; when it is gone, so is the reason for this process."""
    sys.stdin.read()
    os._exit(3)


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    os._exit(code)
