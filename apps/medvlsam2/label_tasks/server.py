"""The host's routes on a server of our own, with the doors closed that the host leaves open.

Other than the host's own application: inference runs beside the event loop, where requests take turns on the
device, so that the server keeps answering; every refusal is JSON with a sentence; only ids of the datastore are
read, and only plain names are written; no foreign web page may call it (no CORS); there is no ``/reload``, no upload
of weights, and no built-in login, which rejects every token.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import anyio
import monailabel
from fastapi import APIRouter, Depends, FastAPI, File, Form, Request, UploadFile
from fastapi.background import BackgroundTasks
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from monailabel.app import lifespan
from monailabel.endpoints import (
    activelearning,
    batch_infer,
    datastore,
    info,
    logs,
    scoring,
    session,
    train,
)
from monailabel.endpoints import infer as host_infer
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException
from monailabel.interfaces.utils.app import app_instance

from label_tasks import guards, viewer
from label_tasks.failures import errors_as_http, status_of
from label_tasks.images import require_image_id
from label_tasks.pages import router as pages
from medvlsam2.errors import MedVLSAM2Error, UnknownImage

logger = logging.getLogger(__name__)

T = TypeVar("T")
Params = Annotated[str, Form()]

_MODEL_QUEUE: Final = anyio.CapacityLimiter(8)
"""So many requests share the model, step by step; the others wait in order, and the event loop stays free."""

router = APIRouter()


@router.post("/infer/{model}", tags=["Infer"], summary="Run one of the model's abilities on an image")
async def infer(
    *,
    request: Request,
    background_tasks: BackgroundTasks,
    model: str,
    image: str = "",
    session_id: str = "",
    params: Params = "{}",
    file: Annotated[UploadFile | None, File()] = None,
    label: Annotated[UploadFile | None, File()] = None,
    output: host_infer.ResultType | None = None,
) -> Any:
    """Check the request, then let the host resolve, run and pack it.

    Who does not say who asks (OHIF) is told from others by the address, so that annotators do not end each other's
    requests.
    """
    record = guards.inference_params(params)
    if not isinstance(record.get("client_id"), str) and request.client is not None:
        record["client_id"] = request.client.host
    if file is not None:
        guards.require_upload(file, guards.UPLOADS)
    elif session_id:
        _require_session(session_id)
    else:
        await _beside(_require_image, image)
    work = partial(
        host_infer.run_inference, background_tasks, model, image, session_id, json.dumps(record), file, label, output
    )
    return await _beside(work, limiter=_MODEL_QUEUE)


@router.post("/activelearning/{strategy}", tags=["ActiveLearning"], summary="Name the scan to label next")
async def next_sample(strategy: str, params: dict[str, Any] | None = None) -> Any:
    """Like the host's, beside the event loop: our strategy may run the model."""
    return await _beside(partial(activelearning.sample, strategy, params), limiter=_MODEL_QUEUE)


@router.put("/datastore/", tags=["Datastore"], include_in_schema=False)
@router.put("/datastore/image", tags=["Datastore"], summary="Upload a new image")
async def add_image(
    *,
    background_tasks: BackgroundTasks,
    file: Annotated[UploadFile, File()],
    image: str | None = None,
    params: Params = "{}",
) -> Any:
    """Like the host's, for scans only."""
    guards.parse_params(params)
    guards.require_upload(file, guards.UPLOADS)
    return await _beside(partial(datastore.add_image, background_tasks, image, params, file))


@router.put("/datastore/label", tags=["Datastore"], summary="Submit a label")
async def save_label(
    *,
    background_tasks: BackgroundTasks,
    image: str,
    label: Annotated[UploadFile, File()],
    params: Params = "{}",
    tag: str = "",
) -> Any:
    """Like the host's, for known images and label maps only."""
    guards.parse_params(params)
    guards.require_upload(label, guards.LABEL_UPLOADS)
    await _beside(_require_image, image)
    return await _beside(partial(datastore.save_label, background_tasks, image, params, tag, label))


@router.put("/session/", tags=["Session"], summary="Create a session with an image of the client's own")
async def create_session(
    *,
    background_tasks: BackgroundTasks,
    files: Annotated[list[UploadFile], File()],
    uncompress: bool = False,
    expiry: int = 0,
) -> Any:
    """Like the host's; of archives it unpacks only those whose members cannot leave their folder."""
    if uncompress:
        for file in files:
            guards.require_upload(file, (".zip",))
    return await _beside(partial(session.create_session, background_tasks, uncompress, expiry, files))


def build() -> FastAPI:
    """The application that ``medvlsam2 serve`` starts."""
    application = FastAPI(title="MedVL-SAM2 for MONAI Label", lifespan=lifespan, docs_url=None, redoc_url=None)
    checked = [Depends(guards.check_names)]
    application.include_router(router, dependencies=checked)
    application.include_router(pages.router, dependencies=checked)
    for part in (info, batch_infer, train, activelearning, scoring, datastore, logs, session, viewer):
        application.include_router(part.router, dependencies=checked)
    static = Path(monailabel.__file__).parent / "endpoints" / "static"
    application.mount("/static", StaticFiles(directory=static), name="static")
    application.add_exception_handler(MedVLSAM2Error, _our_error)
    application.add_exception_handler(ImageNotFoundException, _not_found)
    application.add_exception_handler(LabelNotFoundException, _not_found)
    application.add_exception_handler(Exception, _bug)
    return application


async def _beside(work: Callable[..., T], *arguments: Any, limiter: anyio.CapacityLimiter | None = None) -> T:
    return await anyio.to_thread.run_sync(work, *arguments, limiter=limiter)


def _require_image(image: str) -> None:
    with errors_as_http():
        require_image_id(image, app_instance().datastore())


def _require_session(session_id: str) -> None:
    if app_instance().sessions().get_session(session_id) is None:
        raise UnknownImage(
            f"Session '{session_id}' does not exist or has expired. Upload the image again: PUT /session/."
        )


async def _our_error(_: Request, error: Exception) -> Response:
    status = status_of(error) if isinstance(error, MedVLSAM2Error) else 500
    return JSONResponse({"detail": str(error)}, status_code=status)


async def _not_found(_: Request, error: Exception) -> Response:
    return JSONResponse({"detail": f"{error}. GET /datastore/?output=all lists what there is."}, status_code=404)


async def _bug(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    what = f"{request.method} {request.url.path}"
    sentence = f"{what} failed inside the server ({type(error).__name__}); its log says more."
    return JSONResponse({"detail": sentence}, status_code=500)


app = build()
