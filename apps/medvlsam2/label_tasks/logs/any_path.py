"""Shortens every absolute path in a log to its last part before the log is shown."""

from __future__ import annotations

import re
from typing import Final

_QUOTED: Final = re.compile(r"(['\"])(?:file://)?(?:[A-Za-z]:)?[/\\][^'\"\n]*\1")
_WINDOWS: Final = re.compile(r"(?<![A-Za-z0-9_])[A-Za-z]:[/\\](?!/)[^\n'\"<>|:;,()]*[/\\]")
_BARE: Final = re.compile(r"(?:file://|(?<![\w./:…-])|(?<=:)(?!//))/(?!/)(?:[^/\n'\"<>|:;,()]*/)*(?=[^/\s]|$|\s)")
"""A path up to the last slash before a mark that ends it. Folder names may hold spaces, so two paths in a row count as
one. An address such as http://host/path is not matched: its slashes follow a colon, a slash or a name."""


def without_any_path(text: str) -> str:
    """Return the text with every absolute path shortened to its last part.

    Example:
        >>> without_any_path("Read /srv/Mrs Smith/scan 1.nii.gz from http://127.0.0.1:8042/dicom-web/studies.")
        'Read …/scan 1.nii.gz from http://127.0.0.1:8042/dicom-web/studies.'
    """
    text = _QUOTED.sub(_last_quoted, text)
    return _BARE.sub("…/", _WINDOWS.sub("…/", text))


def _last_quoted(found: re.Match[str]) -> str:
    inside = found[0][1:-1].replace("\\", "/").rstrip("/")
    return f"{found[1]}…/{inside.rpartition('/')[2]}{found[1]}"
