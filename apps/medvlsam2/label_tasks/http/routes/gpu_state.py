"""The state of the server's GPUs."""

from __future__ import annotations

import shutil
import subprocess
from typing import Final

from fastapi import APIRouter, HTTPException
from fastapi.responses import PlainTextResponse, Response

from label_tasks.http.beside import beside

GPU_SECONDS: Final = 10

router = APIRouter(tags=["Others"])


@router.get("/logs/gpu", summary="State of the GPUs")
async def gpu() -> Response:
    """What ``nvidia-smi`` says."""
    return PlainTextResponse(await beside(_gpu_state))


def _gpu_state() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        raise HTTPException(404, "This server has no program 'nvidia-smi', and so no NVIDIA GPU to tell of.")
    try:
        done = subprocess.run(
            [program], capture_output=True, encoding="utf-8", errors="replace", timeout=GPU_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise HTTPException(503, f"'nvidia-smi' does not answer ({type(error).__name__}).") from error
    return done.stdout
