"""Inference over HTTP: the image of a request, its params and files, and the reply in the form that is wanted."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import FileResponse, JSONResponse, Response
from monailabel.interfaces.utils.app import app_instance
from requests_toolbelt import MultipartEncoder
from starlette.background import BackgroundTask

from label_tasks.failures import errors_as_http
from label_tasks.http import checks
from label_tasks.http.beside import Running, beside, while_connected
from label_tasks.http.bodies.forms import FrugalRoute
from label_tasks.http.middleware.clients import Client, client_of, name_in
from label_tasks.images import CHECKED, KnownImage, require_image_id
from label_tasks.pacs.datastore import PacsDatastore
from label_tasks.pacs.label_segs import seg_of_result
from label_tasks.prompting.ohif_panel import WARNINGS_HEADER
from label_tasks.uploads import strokes
from label_tasks.uploads.private_files import private_folder, write_private
from label_tasks.uploads.received import ending
from medvlsam2 import NOTICE
from medvlsam2.data.reading.plain_names import shown
from medvlsam2.errors import InvalidRequest, UnknownImage

logger = logging.getLogger(__name__)

HEADER_CHARACTERS: Final = 4000
"""Longest header with warnings: browsers and proxies take 8 KiB for all headers together."""
Output = Literal["image", "json", "all", "dicom_seg"]


@dataclass(frozen=True)
class Asked:
    """One inference as it was asked for."""

    model: str
    image: str
    session_id: str
    params: dict[str, Any]
    file: UploadFile | None
    label: UploadFile | None
    output: Output | None


def router(running: Running) -> APIRouter:
    """Routes of inference.

    Args:
        running: where requests on their way are noted, so that they can be cancelled.
    """
    routes = APIRouter(route_class=FrugalRoute, tags=["Infer"])

    @routes.post("/infer/{model}", summary="Run one of the model's abilities on an image")
    async def infer(
        *,
        request: Request,
        model: str,
        image: str = "",
        session_id: str = "",
        params: Annotated[str, Form()] = "{}",
        file: Annotated[UploadFile | None, File()] = None,
        label: Annotated[UploadFile | None, File()] = None,
        output: Output | None = None,
    ) -> Any:
        """Segment, report or answer.

        The work ends when the client leaves, or cancels it with DELETE at the same address.
        """
        record = checks.inference_params(params)
        client = client_of(request)
        owner = client.owner(record.get("client_id") or name_in(request))
        asked = Asked(model, image, session_id, {**record, "client_id": owner}, file, label, output)
        known = await beside(_known_image, asked, client)
        with running.one(owner, model, image or session_id) as stop:
            return await while_connected(request, stop, partial(_answer, asked, known))

    @routes.delete("/infer/", summary="Cancel all of one's own requests")
    async def cancel_all(request: Request) -> dict[str, int]:
        """Those of the same client: same cookie, or same address and ``client_id``."""
        return {"cancelled": running.cancel(client_of(request).owner(name_in(request)), None, None)}

    @routes.delete("/infer/{model}", summary="Cancel one's own requests for a model")
    async def cancel(request: Request, model: str, image: str = "", session_id: str = "") -> dict[str, int]:
        """Those for an image, where one is named."""
        owner = client_of(request).owner(name_in(request))
        return {"cancelled": running.cancel(owner, model, image or session_id or None)}

    return routes


def _known_image(asked: Asked, client: Client) -> KnownImage | None:
    """The image that is meant, checked before the request waits for the model; None for an upload.

    Raises:
        InvalidRequest: if the request names no scan, or two.
        UnknownImage: if it is not in the datastore, or no session of this client.
    """
    _refuse_two(asked)
    if asked.file is not None:
        checks.require_upload(asked.file, checks.UPLOADS)
        return None
    if asked.session_id:
        session = app_instance().sessions().owned(asked.session_id, client.may_use())
        if session is None:
            raise UnknownImage(
                f"Session {shown(asked.session_id)} does not exist or has expired. Upload the image again: "
                "PUT /session/."
            )
        return KnownImage(session.name, session.image)
    if not asked.image:
        raise InvalidRequest("The request names no image. Give ?image=ID or ?session_id=ID, or upload a file.")
    with errors_as_http():
        require_image_id(asked.image, app_instance().datastore())
    return KnownImage(asked.image)


def _refuse_two(asked: Asked) -> None:
    """Refuse a request for two scans. 3D Slicer names its volume beside a session; such a name is often no image's."""
    beside_it = asked.file is not None or asked.session_id
    is_known = bool(beside_it and asked.image) and asked.image in app_instance().datastore().list_images()
    given = {"an uploaded file": asked.file is not None, "session_id": bool(asked.session_id), "image": is_known}
    named = [name for name, is_given in given.items() if is_given]
    if len(named) > 1:
        raise InvalidRequest(
            f"The request names {' and '.join(named)}, and an answer is about one scan. Give one of them."
        )


def _answer(asked: Asked, known: KnownImage | None) -> Response:
    """Write what was uploaded into a private folder for the time of the inference, run it, and pack the reply."""
    with private_folder() as folder:
        if asked.file is not None:
            name = f"upload-{secrets.token_hex(4)}{ending(asked.file.filename or '', checks.UPLOADS)}"
            write_private(asked.file.file, folder / name)
            known = KnownImage(name, str(folder / name))
        request = {"model": asked.model, **asked.params, CHECKED: known}
        if asked.label is not None:
            path = strokes.write_label_file(asked.label.filename or "", asked.label.file, folder)
            request["label"] = str(path)
        logger.info("Inference with %s: %s", asked.model, ", ".join(sorted(asked.params)))
        return _packed(asked, app_instance().infer(request))


def _packed(asked: Asked, result: Mapping[str, Any]) -> Response:
    file, body = result.get("file"), result.get("params")
    written = Path(file) if isinstance(file, str) and Path(file).is_file() else None
    if asked.output == "dicom_seg":
        return _dicom_seg(asked, result)
    if asked.output == "json" or written is None:
        if written is not None:
            written.unlink()
        return JSONResponse(body)
    if asked.output == "image":
        leave = BackgroundTask(written.unlink, missing_ok=True)
        told = {WARNINGS_HEADER: _in_a_header([one for one in result["params"]["warnings"] if one != NOTICE])}
        return FileResponse(
            written, media_type=_media_type(written), filename=written.name, headers=told, background=leave
        )
    with written.open("rb") as stream:
        fields = {
            "params": (None, json.dumps(body), "application/json"),
            "image": (written.name, stream, _media_type(written)),
        }
        form = MultipartEncoder(fields=fields)
        content = form.to_string()
    written.unlink()
    return Response(content, media_type=form.content_type)


def _in_a_header(warnings: Sequence[str]) -> str:
    """Warnings as JSON in ASCII, the first ones that fit into a header."""
    kept: list[str] = []
    for warning in warnings:
        if len(json.dumps([*kept, warning])) > HEADER_CHARACTERS:
            break
        kept.append(warning)
    return json.dumps(kept)


def _dicom_seg(asked: Asked, result: Mapping[str, Any]) -> Response:
    """A DICOM SEG of the result, where the scan is one of a PACS."""
    datastore = app_instance().datastore()
    if not isinstance(datastore, PacsDatastore):
        raise InvalidRequest("output=dicom_seg needs studies in a PACS. Ask for output=image.")
    scan, written = Path(datastore.get_image_uri(asked.image)), Path(result["file"])
    try:
        seg = seg_of_result(written, scan, asked.image, result["params"], asked.params)
    finally:
        written.unlink(missing_ok=True)
    told = {"Content-Disposition": 'attachment; filename="result.dcm"'}
    return Response(seg, media_type="application/dicom", headers=told)


def _media_type(path: Path) -> str:
    return "application/json" if path.suffix == ".json" else "application/octet-stream"
