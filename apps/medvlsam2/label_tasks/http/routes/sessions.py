"""Sessions over HTTP: a client uploads a scan that it alone can use."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, HTTPException, Request, UploadFile
from fastapi.responses import FileResponse
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.sessions import SessionInfo

from label_tasks.http import checks
from label_tasks.http.beside import beside
from label_tasks.http.bodies.forms import FrugalRoute
from label_tasks.http.middleware.clients import Client, client_of
from label_tasks.uploads.private_files import private_folder
from label_tasks.uploads.received import Received, holds_detached_header
from label_tasks.uploads.sessions import PrivateSessions, public_info
from medvlsam2.data.reading.plain_names import shown
from medvlsam2.errors import UnknownImage

router = APIRouter(route_class=FrugalRoute, tags=["Session"])


@router.put("/session/", summary="Create a session with an image of the client's own")
async def create(
    *,
    request: Request,
    files: Annotated[list[UploadFile], File(description="one scan, its slices, or a zip archive")],
    uncompress: bool = False,
    expiry: int = 0,
    uncompress_field: Annotated[bool, Form(alias="uncompress")] = False,
    expiry_field: Annotated[int, Form(alias="expiry")] = 0,
) -> dict[str, Any]:
    """Keep a scan under a random id until nobody has used it for ``expiry`` seconds.

    Zip archives are unpacked, with ``uncompress`` or without. The host's Python client sends both as
    fields of the form.
    """
    expiry = expiry or expiry_field
    for file in files if uncompress or uncompress_field else ():
        checks.require_upload(file, (".zip",))
    info = await beside(partial(_keep, files, client_of(request), expiry))
    return {"session_id": info.name, "session_info": public_info(info)}


@router.get("/session/{session_id}", summary="State of a session, or its image")
async def state(request: Request, session_id: str, update_ts: bool = False, image: bool = False) -> Any:
    """Of one's own session."""
    info = await beside(_owned, session_id, client_of(request))
    if not image:
        return public_info(info)
    path = Path(info.image)
    if not path.is_file():
        raise HTTPException(422, "The session holds a folder of slices, which is no single file to download.")
    return FileResponse(path, media_type="application/octet-stream", filename=path.name)


@router.delete("/session/{session_id}", summary="Remove a session and its image")
async def remove(request: Request, session_id: str) -> dict[str, Any]:
    """One's own."""
    info = await beside(_owned, session_id, client_of(request))
    await beside(_sessions().remove_session, session_id)
    return public_info(info)


def _keep(files: list[UploadFile], client: Client, expiry_s: int) -> SessionInfo:
    """Write the uploads into a private folder that becomes the session's, or is removed where they hold no scan."""
    sessions = _sessions()
    sessions.require_room(client.owners_of_new())
    with private_folder() as folder:
        received = Received(folder / "upload")
        with_names = holds_detached_header(file.filename or "" for file in files)
        for file in files:
            received.add(file.filename or "", file.file, with_names=with_names)
        return sessions.add_scan(received.folder, received.scan(), client.owners_of_new(), expiry_s)


def _owned(session_id: str, client: Client) -> SessionInfo:
    """A session of this client; one of another looks as if it did not exist."""
    info = _sessions().owned(session_id, client.may_use())
    if info is None:
        raise UnknownImage(
            f"Session {shown(session_id)} does not exist or has expired. Upload the image again: PUT /session/."
        )
    return info


def _sessions() -> PrivateSessions:
    sessions = app_instance().sessions()
    if sessions is None:
        raise HTTPException(406, "Sessions are switched off on this server (MONAI_LABEL_SESSIONS).")
    assert isinstance(sessions, PrivateSessions)
    return sessions
