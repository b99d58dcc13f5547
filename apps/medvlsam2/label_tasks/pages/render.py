"""Templates as answers, with headers that let a page load nothing but files of this server.

Names come from files and from a PACS: the templates escape them, and no page runs a script that stands in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import jinja2
from fastapi.responses import HTMLResponse

from medvlsam2 import NOTICE

FOLDER: Final = Path(__file__).parent

STRICT_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Only files of this server, and nothing that stands inside a page."""

SWAGGER_CSP: Final = STRICT_CSP.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'").replace(
    "img-src 'self'", "img-src 'self' data:"
)
"""Swagger UI sets styles by attribute and holds its icons as data."""

_TEMPLATES: Final = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)
_TEMPLATES.globals["notice"] = NOTICE


def page(template: str, *, status: int = 200, csp: str = STRICT_CSP, **facts: Any) -> HTMLResponse:
    """A page of ours.

    Args:
        template: file name under ``templates``.
        status: HTTP status.
        csp: what the page may load.
        facts: what the template shows; text is escaped.
    """
    text = _TEMPLATES.get_template(template).render(facts)
    return HTMLResponse(text, status, headers=headers(csp))


def headers(csp: str = STRICT_CSP) -> dict[str, str]:
    """Headers of every page and picture: what it may load, and that it is not to be guessed at, framed or kept."""
    return {
        "Content-Security-Policy": csp,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
