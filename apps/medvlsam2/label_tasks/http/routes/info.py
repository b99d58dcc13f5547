"""What the server is and can do, over HTTP."""

from __future__ import annotations

from typing import Any, Final

import anyio
from fastapi import APIRouter
from monailabel.interfaces.utils.app import app_instance

from label_tasks.http.beside import beside

router = APIRouter(tags=["App"])

_FEW: Final = anyio.CapacityLimiter(4)
"""A slow datastore blocks at most these threads."""


@router.get("/info/", summary="Tasks, labels and the state of the datastore")
async def info() -> Any:
    """As the clients read it when they connect."""
    return await beside(lambda: app_instance().info(), limiter=_FEW)
