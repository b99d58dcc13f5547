"""Hides where the server keeps its files: texts for clients hold only the last part of the server's own paths."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Final

from monailabel.config import settings

import medvlsam2
from medvlsam2.settings.reading import from_environment

_REST: Final = r"(?P<rest>(?:/[^/\s'\"<>|:;,()]+)*)/?"


def without_paths(text: str) -> str:
    """Return the text without the folders of every path below one of the server's own folders.

    Other paths stay: a client sees the path that it gave and that was refused.

    Example:
        >>> import tempfile
        >>> without_paths(f"'{tempfile.gettempdir()}/upload/scan.nii.gz' is no scan.")
        "'…/scan.nii.gz' is no scan."
    """
    if "/" not in text:
        return text
    roots = "|".join(re.escape(root) for root in _roots())
    return re.sub(rf"(?:{roots}){_REST}", lambda found: "…/" + found["rest"].rsplit("/", 1)[-1], text)


def _roots() -> list[str]:
    """Folders of studies, app, models, logs, sessions, temporary files, code, Python and user; the longest first."""
    conf = settings.MONAI_LABEL_APP_CONF or {}
    named = (
        settings.MONAI_LABEL_APP_DIR,
        settings.MONAI_LABEL_STUDIES,
        settings.MONAI_LABEL_SESSION_PATH,
        settings.MONAI_LABEL_DICOMWEB_CACHE_PATH,
        *(conf.get(name) or from_environment(name, os.environ) or "" for name in ("model", "models", "logs")),
        tempfile.gettempdir(),
        sys.prefix,
        sys.base_prefix,
    )
    found = {str(Path(name)) for name in named if name and Path(name).is_absolute()}
    found |= {str(Path.home()), str(Path.cwd()), str(Path(medvlsam2.__file__).resolve().parents[2])}
    return sorted(found - {"/"}, key=len, reverse=True)
