"""The routes under ``/datastore``, in place of the host's.

Like the host's for its clients (Slicer, OHIF, programs). Other than the host's: what is given is checked where it is
given and refused in a sentence; a scan is never replaced; every version of a label can be listed, fetched and restored;
nothing stays behind in the temporary folder; and all work is done beside the event loop.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import anyio
from fastapi import APIRouter, File, Form, HTTPException, UploadFile
from fastapi.responses import FileResponse, Response, StreamingResponse
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.others.generic import get_mime_type

from label_tasks.http import checks
from label_tasks.http.beside import beside
from label_tasks.http.bodies.forms import FrugalRoute
from label_tasks.http.held_file import held_file
from label_tasks.images import require_image_id
from label_tasks.store.infos import checked_image_info
from label_tasks.store.scan_folder import ScanFolder
from label_tasks.store.sent_scans import sent_file
from label_tasks.store.submissions import submitted_suffix
from medvlsam2 import atomic_files
from medvlsam2.data.reading.plain_names import FINAL, require_new_tag, require_plain_name, require_tag
from medvlsam2.data.scan_download import download_name, loads_as_it_is
from medvlsam2.errors import InvalidRequest, PacsUnavailable, UnknownImage, UnknownLabel

T = TypeVar("T")
Text = Annotated[str, Form()]
Upload = Annotated[UploadFile, File()]

CHECKSUMS: Final = ("MD5", "SHA1", "SHA256", "SHA512")
"""What a client may ask for; Slicer asks for the second."""

_QUEUE: Final = anyio.CapacityLimiter(16)
"""So many requests read and write studies at a time; they do not take the threads of others."""

router = APIRouter(prefix="/datastore", tags=["Datastore"], route_class=FrugalRoute)


@router.get("/", summary="Figures, or all images and labels")
async def studies(output: Literal["stats", "train", "all"] = "stats") -> Any:
    """The host's three outputs; the paths of ``train`` are given below the studies folder."""
    return await _beside(_outputs(_scan_folder())[output])


@router.put("/", include_in_schema=False)
@router.put("/image", summary="Upload a new image")
async def add_image(file: Upload, image: str | None = None, params: Text = "{}") -> Any:
    """Take up a scan that can be read, under an id that no image has."""
    info = checked_image_info(checks.parse_params(params))
    checks.require_upload(file, checks.UPLOADS)
    return await _beside(lambda: _add_image(_scan_folder(), file, image, info))


@router.delete("/", include_in_schema=False)
@router.delete("/image", summary="Take an image and its labels away")
async def remove_image(id: str) -> Any:
    """The scan and all versions of its labels are kept aside, in the studies folder's ``.removed``."""
    await _beside(lambda: _store().remove_image(id))
    return {}


@router.head("/image", summary="Whether an image exists")
async def check_image(image: str, check_sum: str | None = None) -> Any:
    """404 if there is no such image, or its file has another checksum ("SHA256:…")."""
    path = await _beside(lambda: _image_path(image))
    if check_sum and not await _beside(lambda: _has_checksum(path, check_sum)):
        raise HTTPException(404, f"Image '{image}' has another checksum.")
    return Response()


@router.get("/image", summary="Download an image")
async def image_file(image: str) -> FileResponse:
    """The scan as one file that a viewer loads: a folder of DICOM slices comes as NIfTI on the same grid."""
    return await _beside(lambda: _image_file(image))


@router.get("/image/info", summary="What is told about an image")
async def image_info(image: str) -> Any:
    """All that clients and the server noted of it."""
    await _beside(lambda: require_image_id(image, _store()))
    return await _beside(lambda: _scan_folder().told_to_viewers(image))


@router.put("/image/info", summary="Tell something about an image")
async def change_image_info(image: str, info: Text = "{}") -> Any:
    """Add to what is told; what the server reads must have the right type."""
    changes = checked_image_info(checks.parse_params(info))
    await _beside(lambda: require_image_id(image, _store()))
    await _beside(lambda: _store().update_image_info(image, changes))
    return {}


@router.put("/label", summary="Submit a label")
async def save_label(image: str, label: Upload, params: Text = "{}", tag: str = "") -> Any:
    """Store a label that is good for its scan; what is not is refused now, and kept aside."""
    info = checks.parse_params(params)
    tag = require_new_tag(tag or FINAL)
    return await _beside(lambda: _save_label(image, label, info, tag))


@router.delete("/label", summary="Take a label away")
async def remove_label(id: str, tag: str) -> Any:
    """Its versions are kept and can be restored."""
    await _beside(lambda: _store().remove_label(id, require_tag(tag)))
    return {}


@router.head("/label", summary="Whether a label exists")
async def check_label(image: str, tag: str) -> Any:
    """404 if there is none."""
    await _beside(lambda: _label_path(image, tag))
    return Response()


@router.get("/label", summary="Download a label")
async def label_file(label: str, tag: str) -> FileResponse:
    """The label as it is now."""
    return await _beside(lambda: _file(_label_path(label, tag)))


@router.get("/label/info", summary="What is told about a label")
async def label_info(label: str, tag: str) -> Any:
    """Also the names of its values."""
    await _beside(lambda: _label_path(label, tag))
    return await _beside(lambda: _store().get_label_info(label, require_tag(tag)))


@router.put("/label/info", summary="Tell something about a label")
async def change_label_info(label: str, tag: str, info: Text = "{}") -> Any:
    """Names must be certain for the label's values; what was told before stays among the label's versions."""
    return await _beside(lambda: _change_label_info(label, tag, checks.parse_params(info)))


@router.put("/updatelabelinfo", include_in_schema=False)
async def change_label_info_as_reviewer(label: str, tag: str, params: Text = "{}") -> Any:
    """The same as Slicer's reviewer asks for it."""
    return await _beside(lambda: _change_label_info(label, tag, checks.parse_params(params)))


@router.get("/label/versions", summary="Every version of a label")
async def label_versions(label: str, tag: str) -> Any:
    """Number, time, suffix, bytes, info of each, oldest first; ``current`` is the label now."""
    return await _beside(lambda: _versions(label, require_tag(tag)))


@router.get("/label/version", summary="Download one version of a label")
async def label_version(label: str, tag: str, version: int) -> FileResponse:
    """The file as it was."""
    place = _scan_folder().folder.shelf.place(label, require_tag(tag))
    path, record = await _beside(lambda: place.version_file(version))
    return await _beside(lambda: held_file(path, get_mime_type(str(path)), f"{label}{record.ext}"))


@router.post("/label/restore", summary="Make an earlier version the label again")
async def restore_label(label: str, tag: str, version: int) -> Any:
    """The earlier version comes back as a new one, with the names that it had."""
    await _beside(lambda: _scan_folder().restore_label(label, require_tag(tag), version))
    return await _beside(lambda: _versions(label, require_tag(tag)))


@router.get("/dataset", summary="Download the labelled images as a ZIP")
async def dataset(limit_cases: int | None = None) -> StreamingResponse:
    """It is made while it is sent."""
    blocks = await _beside(lambda: _scan_folder().archive(limit_cases))
    headers = {"Content-Disposition": 'attachment; filename="dataset.zip"'}
    return StreamingResponse(blocks, media_type="application/zip", headers=headers)


def _outputs(store: ScanFolder) -> dict[str, Callable[[], Any]]:
    return {"stats": store.status, "all": store.json, "train": store.labelled_files}


def _add_image(store: ScanFolder, file: UploadFile, image: str | None, info: dict[str, Any]) -> dict[str, str]:
    name = Path(file.filename or "").name
    suffix = next(suffix for suffix in checks.UPLOADS if name.lower().endswith(suffix))
    image_id = image or name[: -len(suffix)]
    require_plain_name("image", image_id)
    with store.folder.incoming(f"scan{suffix}") as arrived:
        _receive(file, arrived)
        store.receive_image(image_id, arrived, info)
    return {"image": image_id}


def _save_label(image: str, label: UploadFile, info: dict[str, Any], tag: str) -> dict[str, Any]:
    suffix = submitted_suffix(Path(label.filename or "").name)
    store, app = _scan_folder(), app_instance()
    try:
        require_image_id(image, store)
    except (PacsUnavailable, UnknownImage) as error:
        store.expect_image(image, error)
    with store.folder.incoming(f"label{suffix}") as arrived:
        _receive(label, arrived)
        told = store.submit_label(image, arrived, tag, info)
    return {**(app.on_save_label(image, image) or {}), **told, "image": image, "label": image}


def _receive(file: UploadFile, path: Path) -> None:
    with atomic_files.no_room_as_error(path.name), path.open("xb") as target:
        shutil.copyfileobj(file.file, target)


def _change_label_info(label: str, tag: str, changes: dict[str, Any]) -> dict[str, Any]:
    store = _scan_folder()
    require_image_id(label, store)
    return store.change_label_info(label, require_tag(tag), changes)


def _versions(label: str, tag: str) -> dict[str, Any]:
    place = _scan_folder().folder.shelf.place(label, tag)
    found = place.versions()
    if not found:
        raise UnknownLabel(f"Image '{label}' never had a label under tag '{tag}'.")
    now = place.current()
    listed = [
        {
            "version": item.number,
            "saved": item.saved,
            "ext": item.ext,
            "bytes": item.content.size_bytes,
            "info": dict(item.info),
        }
        for item in found
    ]
    return {"label": label, "tag": tag, "current": now and now.version and now.version.number, "versions": listed}


def _image_path(image: str) -> Path:
    require_image_id(image, _store())
    path = Path(_store().get_image_uri(image))
    if not path.exists():
        raise HTTPException(404, f"The file of image '{image}' is no longer there.")
    return path


def _image_file(image: str) -> FileResponse:
    source = _image_path(image)
    name = download_name(source, image)
    sent = source if loads_as_it_is(source) else sent_file(_scan_folder(), source, image)
    return held_file(sent, get_mime_type(str(sent)), name)


def _label_path(image: str, tag: str) -> Path:
    path = _store().get_label_uri(image, require_tag(tag))
    if not path:
        require_image_id(image, _store())
        raise UnknownLabel(f"Image '{image}' has no label under tag '{tag}'.")
    return Path(path)


def _has_checksum(path: Path, check_sum: str) -> bool:
    algorithm, _, digest = check_sum.rpartition(":")
    algorithm = algorithm.upper() or "SHA256"
    if algorithm not in CHECKSUMS:
        raise InvalidRequest(f"The checksum {algorithm[:20]!r} is not known; allowed are {', '.join(CHECKSUMS)}.")
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm.lower()).hexdigest() == digest.lower()


def _file(path: Path) -> FileResponse:
    return held_file(path, get_mime_type(str(path)), path.name)


def _store() -> Datastore:
    return app_instance().datastore()


def _scan_folder() -> ScanFolder:
    """The datastore, where it is one of ours.

    Raises:
        InvalidRequest: if it is one of the host's.
    """
    store = _store()
    if not isinstance(store, ScanFolder):
        raise InvalidRequest("This datastore cannot do that. Serve a local folder or a DICOMweb server.")
    return store


async def _beside(work: Callable[[], T]) -> T:
    return await beside(work, limiter=_QUEUE)
