"""The host's routes on a server of our own, with the doors closed that the host leaves open.

Other than the host's own application: inference runs beside the event loop, where requests take turns on the
device, so that the server keeps answering; every refusal is JSON with a sentence; only ids of the datastore are
read, and only plain names are written; only pages of this server may act on it, and under its own names; training and
batches run in processes that no request can put code into; there is no ``/reload``, no upload of weights, and no
built-in login, which rejects every token.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import monailabel
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from monailabel.app import lifespan as host_lifespan
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException
from starlette.exceptions import HTTPException as NoRoute
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from label_tasks import host_settings, viewer
from label_tasks.failures import status_of
from label_tasks.http import checks
from label_tasks.http.beside import Running, beside
from label_tasks.http.bodies.once import check_query
from label_tasks.http.middleware.body_limits import BodyLimits
from label_tasks.http.middleware.clients import Cookies
from label_tasks.http.middleware.headers import CarefulHeaders
from label_tasks.http.middleware.origins import OurOrigins
from label_tasks.http.routes import (
    datastore,
    gpu_state,
    inference,
    info,
    jobs,
    next_sample,
    sessions,
)
from label_tasks.jobs.queue import JobQueue
from label_tasks.logs.server_paths import without_paths
from label_tasks.pages import router as pages
from medvlsam2.data.reading.plain_names import shown
from medvlsam2.errors import MedVLSAM2Error
from medvlsam2.settings.reading import from_environment

logger = logging.getLogger(__name__)

_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class Server(FastAPI):
    """The application, behind what looks at every request and reply, errors among them."""

    def build_middleware_stack(self) -> ASGIApp:
        """From the outside: headers of replies, foreign pages and names, sizes of bodies, cookies."""
        names = list(from_environment("allowed_host", os.environ))
        behind = BodyLimits(Cookies(super().build_middleware_stack()))
        return CarefulHeaders(OurOrigins(behind, names))


def build() -> FastAPI:
    """The application that ``medvlsam2 serve`` starts."""
    host_settings.refuse_login()
    queues = jobs.queues()
    application = Server(
        title="MedVL-SAM2 for MONAI Label", lifespan=partial(_lifespan, queues), docs_url=None, redoc_url=None
    )
    application.state.jobs = queues
    checked = [Depends(checks.check_names)]
    strict = [*checked, Depends(check_query)]
    parts = (
        pages.router,
        inference.router(Running()),
        jobs.router(queues),
        next_sample.router,
        sessions.router,
        info.router,
        gpu_state.router,
        datastore.router,
    )
    for part in parts:
        application.include_router(part, dependencies=strict)
    application.include_router(viewer.router, dependencies=checked)
    static = Path(monailabel.__file__).parent / "endpoints" / "static"
    application.mount("/static", StaticFiles(directory=static), name="static")
    application.add_exception_handler(MedVLSAM2Error, _our_error)
    application.add_exception_handler(HTTPException, _refusal)
    application.add_exception_handler(NoRoute, _no_route)
    application.add_exception_handler(RequestValidationError, _wrong_form)
    application.add_exception_handler(ImageNotFoundException, _not_found)
    application.add_exception_handler(LabelNotFoundException, _not_found)
    application.add_exception_handler(ClientDisconnect, _left)
    application.add_exception_handler(OSError, _system_error)
    application.add_exception_handler(Exception, _bug)
    return application


@asynccontextmanager
async def _lifespan(queues: dict[str, JobQueue], application: FastAPI) -> AsyncIterator[None]:
    """The host's start; at the end no job is left."""
    async with host_lifespan(application):
        yield
    for jobs_of_kind in queues.values():
        await beside(jobs_of_kind.stop_all)


async def _our_error(_: Request, error: Exception) -> Response:
    status = status_of(error) if isinstance(error, MedVLSAM2Error) else 500
    return _sentence(status, str(error))


async def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _sentence(error.status_code, str(error.detail))


async def _no_route(request: Request, error: Exception) -> Response:
    """What the router says where no route has the path, or none the method."""
    assert isinstance(error, NoRoute)
    sentence = str(error.detail)
    if error.status_code == 404:
        sentence = "There is no such page or route. The start page is /, and /docs lists all routes."
    elif error.status_code == 405:
        sentence = f"{request.method} is not allowed for this route. See /docs for all routes and methods."
    return JSONResponse({"detail": sentence}, error.status_code, headers=error.headers)


async def _wrong_form(_: Request, error: Exception) -> Response:
    """What FastAPI says of a wrong parameter, as a sentence, and without what was sent."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first.get("loc", ())[1:]) or "the request"
    sentence = f"The field {shown(where)} is wrong: {first.get('msg', 'not allowed')}."
    return _sentence(422, sentence)


async def _not_found(_: Request, error: Exception) -> Response:
    return _sentence(404, f"{error}. GET /datastore/?output=all lists what there is.")


async def _left(_: Request, error: Exception) -> Response:
    return _sentence(400, "The client left before it had sent its request.")


async def _system_error(request: Request, error: Exception) -> Response:
    """A full disk is told; any other is a bug."""
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return _sentence(507, "The server's disk is full, and nothing was changed. Free some space and try again.")
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return _sentence(400, "A name in the request is too long for a file. Give a shorter one.")
    return await _bug(request, error)


async def _bug(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    what = f"{request.method} {request.url.path}"
    sentence = f"{what} failed inside the server ({type(error).__name__}); its log says more."
    return _sentence(500, sentence)


def _sentence(status: int, sentence: str) -> Response:
    return JSONResponse({"detail": without_paths(sentence)}, status_code=status)


app = build()
