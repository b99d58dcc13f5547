"""Sends a file as it was when it was asked for, even if it is replaced or removed while it is sent."""

from __future__ import annotations

import os
from pathlib import Path

from fastapi import HTTPException
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask


def held_file(path: Path, media_type: str, filename: str) -> FileResponse:
    """The reply with a file's content.

    Args:
        path: the file. It is open until it has been sent, so that a label that is replaced or taken away meanwhile is
            whole.
        media_type: of the content.
        filename: as the client is to call it.

    Raises:
        HTTPException: 404, if the file was taken away just now.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise HTTPException(404, "The file was taken away just now. Ask again.") from None
    stat = os.fstat(file.fileno())
    name = f"/dev/fd/{file.fileno()}"
    close = BackgroundTask(file.close)
    return FileResponse(name, stat_result=stat, media_type=media_type, filename=filename, background=close)
