"""Routes of the pages. They are added before the host's routes of the same addresses, so they take precedence."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

import anyio
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, RedirectResponse, Response
from monailabel.interfaces.utils.app import app_instance

from label_tasks.logs.any_path import without_any_path
from label_tasks.logs.private_log import own_log
from label_tasks.logs.server_paths import without_paths
from label_tasks.pages import render, start
from label_tasks.pages.pictures import Pictures
from label_tasks.pages.studies import Studies, listing_of
from medvlsam2.errors import UnknownImage, UnreadableVolume

_OURS: Final = ("label_tasks.pages", "assets")
_SWAGGER_UI: Final = ("fastapi_offline", "static")
ASSETS: Final = {
    "style.css": _OURS,
    "start.js": _OURS,
    "docs.css": _OURS,
    "docs.js": _OURS,
    "swagger-ui.css": _SWAGGER_UI,
    "swagger-ui-bundle.js": _SWAGGER_UI,
}
"""Package and folder of each file that a page may load, by file name."""
_KINDS: Final = {".css": "text/css", ".js": "text/javascript"}

MAX_LOG_LINES: Final = 5000
MAX_LOG_BYTES: Final = 2**20
"""Most bytes of the log on its page; the whole log is a file that only the server's user can read."""

router = APIRouter(include_in_schema=False)
_studies = Studies(lambda: listing_of(app_instance().datastore()))
_pictures = Pictures()


@router.get("/")
@router.head("/")
async def front(request: Request, q: str = "", state: str = "", page: int = 1) -> Response:
    """The start page: what runs, the studies, and how to connect."""
    listing = await _studies.listing()
    asked = start.StudyFilter(q=q.strip(), state=state, page=page)
    app = app_instance()
    names = [study.image_id for study in start.studies_on_page(listing, asked)]
    readable = names[:1] if start.is_remote(app) else [await _pictures.first_readable(names, app.datastore())]
    address, example = str(request.base_url), "".join(readable)
    facts = start.facts(app, listing, asked, address, problem_of=_pictures.problem, example=example)
    return render.page("start.html", facts=facts, jobs=start.of_jobs(request.app.state.jobs))


@router.get("/picture")
async def picture(request: Request, image: str) -> Response:
    """A small picture of a scan.

    Raises:
        UnknownImage: if there is no such scan.
        UnreadableVolume: with the sentence that the page shows in the picture's place.
    """
    if await request.is_disconnected():
        return Response(status_code=204)
    made = await _pictures.of(image, app_instance().datastore())
    if made.problem:
        raise UnreadableVolume(made.problem)
    tag = f'"{made.version}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    return Response(made.png, media_type="image/png", headers={**render.headers(), "ETag": tag})


@router.get("/docs")
async def docs() -> Response:
    """Description of the API, in which requests can be tried; its files come from an installed package."""
    return render.page("docs.html", csp=render.SWAGGER_CSP)


@router.get("/redoc")
async def redoc() -> Response:
    """The same page as ``/docs``."""
    return RedirectResponse("/docs")


@router.get("/logs/")
async def log(lines: int = 300, html: bool = True, text: bool = False) -> Response:
    """The last lines of the server's log, as a page or as text."""
    count = min(max(lines, 1), MAX_LOG_LINES)
    tail = await anyio.to_thread.run_sync(_tail, own_log(), count)
    if text or not html:
        return Response(tail, media_type="text/plain; charset=utf-8", headers=render.headers())
    return render.page("logs.html", tail=tail, count=count)


@router.get("/pages/{name}")
async def asset(name: str) -> Response:
    """A file that a page needs, from this project or from the installed Swagger UI.

    Raises:
        UnknownImage: if no page needs such a file.
    """
    if name not in ASSETS:
        raise UnknownImage(f"There is no file '{name[:40]}' of a page. Allowed: {', '.join(ASSETS)}.")
    package, folder = ASSETS[name]
    path = Path(str(files(package))) / folder / name
    return FileResponse(path, media_type=_KINDS[path.suffix], headers=render.headers())


def _tail(path: Path | None, count: int) -> str:
    """Return the last lines of this server's log, at most ``MAX_LOG_BYTES``."""
    if path is None:
        return "This server writes no log of its own. Start it with medvlsam2 serve."
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - MAX_LOG_BYTES))
            text = stream.read(MAX_LOG_BYTES).decode("utf-8", errors="replace")
    except OSError as error:
        return f"The log cannot be read ({error.strerror})."
    return without_any_path(without_paths("\n".join(text.splitlines()[-count:])))
