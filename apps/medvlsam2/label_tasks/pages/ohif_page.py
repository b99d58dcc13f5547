"""The host's OHIF without requests to foreign addresses, and a page that explains OHIF for a local studies folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fastapi.responses import FileResponse, Response

from label_tasks.pages import ohif_colours, render
from label_tasks.prompting import ohif_panel

OHIF_CSP: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "base-uri 'self'; frame-ancestors 'none'"
)
"""Content-Security-Policy for OHIF: its own files, scripts inside its page and WebAssembly, but no other address."""

_EDITS: Final[dict[str, tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]]] = {
    "index.html": (re.compile(r"<link\b[^>]*\bhref=\"https?://[^>]*>"), ""),
    "app.bundle.css": (re.compile(r"@import url\(https?://[^)]*\);?"), ""),
    "app-config.js": (re.compile(r"(?<=friendlyName: ')[^']*"), "PACS"),
    ohif_colours.PANEL_SCRIPT: (ohif_colours.OWN_TABLE, ohif_colours.our_table),
}
"""Texts that are replaced in OHIF's files: fonts of a foreign address, a product's name that stands for any PACS, and
colours. The module :mod:`label_tasks.prompting.ohif_panel` changes what the panel does with answers."""


def answer(file: FileResponse, *, is_remote: bool) -> Response:
    """Return a file of OHIF as the server sends it. For a local studies folder the page says what to do instead.

    Args:
        file: the host's answer.
        is_remote: whether the studies are in a PACS; OHIF reads no other source.
    """
    path = Path(file.path)
    if path.suffix == ".html" and not is_remote:
        return render.page("ohif.html")
    if path.name not in _EDITS:
        return file
    pattern, replacement = _EDITS[path.name]
    text = pattern.sub(replacement, path.read_text(encoding="utf-8"))
    if path.name == ohif_colours.PANEL_SCRIPT:
        text = ohif_panel.edited(text)
    return Response(text, media_type=file.media_type, headers=render.headers(OHIF_CSP))
