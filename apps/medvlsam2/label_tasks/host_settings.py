"""The host's traps at start, avoided: nothing is downloaded, and nothing goes stale for hours."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from pathlib import Path
from typing import Final

HOST_ENVIRONMENT: Final = {
    "MONAI_LABEL_AUTO_UPDATE_SCORING": "false",  # each would start a process that builds the app anew
    "MONAI_LABEL_TRACKING_ENABLED": "false",  # the host's file store for MLflow is refused by today's MLflow
    "MONAI_LABEL_DICOMWEB_CACHE_EXPIRY": "30",  # seconds; by default a new study is unseen for two hours
}
"""Read by the host when it is imported; a user's own settings win."""


def prepare_environment() -> None:
    """Set the host's defaults for this process and its children; call it before the host is imported."""
    for key, value in HOST_ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    find_dcmqi()


def find_dcmqi() -> None:
    """Put this Python's folder of programs on PATH, where ``dcmqi`` installed ``itkimage2segimage``."""
    if shutil.which("itkimage2segimage") is None:
        programs = str(Path(sys.executable).parent)
        os.environ["PATH"] = os.pathsep.join((os.environ.get("PATH", ""), programs)).lstrip(os.pathsep)


def warm_up_itk() -> None:
    """Load ITK in the background: its first use takes seconds, at the first label submitted."""
    threading.Thread(target=_load_itk, name="warm-up-itk", daemon=True).start()


def _load_itk() -> None:
    import itk

    itk.Image[itk.UC, 3].New()
