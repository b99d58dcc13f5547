"""Renders templates, with headers that let a page load files of this server only.

Names in a page come from files and from a PACS: the templates escape them, and no page runs inline scripts.
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
"""Content-Security-Policy: files of this server only, no inline scripts or styles."""

SWAGGER_CSP: Final = STRICT_CSP.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'").replace(
    "img-src 'self'", "img-src 'self' data:"
)
"""Content-Security-Policy of Swagger UI, which sets inline styles and holds its icons as data addresses."""

_TEMPLATES: Final = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)
_TEMPLATES.globals["notice"] = NOTICE


def page(template: str, *, status: int = 200, csp: str = STRICT_CSP, **facts: Any) -> HTMLResponse:
    """Render a template as a page.

    Args:
        template: file name under ``templates``.
        status: HTTP status.
        csp: Content-Security-Policy of the page.
        facts: values for the template, which escapes texts.
    """
    text = _TEMPLATES.get_template(template).render(facts)
    return HTMLResponse(text, status, headers=headers(csp))


def headers(csp: str = STRICT_CSP) -> dict[str, str]:
    """Headers of every page and picture: what it may load; no guessing of its type, no frames, no caching."""
    return {
        "Content-Security-Policy": csp,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
