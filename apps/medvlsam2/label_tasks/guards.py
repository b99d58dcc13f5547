"""What an HTTP request may hold, checked before the host sees it."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import Any, Final

from fastapi import Request, UploadFile

from label_tasks.requests import EXTENSIONS, label_tag
from label_tasks.store.listing import SCAN_SUFFIXES
from medvlsam2.errors import InvalidRequest

RESERVED: Final = ("model", "image", "session", "image_id")
"""Fields that the address of a request names; params must not say otherwise."""

UPLOADS: Final = SCAN_SUFFIXES

_NAMES: Final = ("image", "id", "label", "session_id")
_ABSOLUTE: Final = re.compile(r"^([A-Za-z]:)?[/\\]")
_NAME = re.compile(r"^[^/\\\x00-\x1f]{1,200}$")


async def check_names(request: Request) -> None:
    """Refuse image ids, label ids and tags in the query that could leave the studies folder.

    Raises:
        InvalidRequest: naming the parameter and its value.
    """
    for key in _NAMES:
        for value in request.query_params.getlist(key):
            if value:
                require_plain_name(key, value)
    for tag in request.query_params.getlist("tag"):
        if tag:
            label_tag(tag)


def require_plain_name(key: str, value: str) -> None:
    """Refuse a name that is a path.

    Raises:
        InvalidRequest: if it holds a separator or a control character, or starts with a dot.
    """
    if not _NAME.match(value) or value.startswith("."):
        raise InvalidRequest(f"The {key} {value!r} is not allowed. Give an id without '/', '\\' or a leading dot.")


def parse_params(params: str) -> dict[str, Any]:
    """The form field ``params`` as a dictionary.

    Raises:
        InvalidRequest: if it is not a JSON object.
    """
    try:
        record = json.loads(params) if params else {}
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"The field 'params' is not JSON ({error.msg} at character {error.pos}): {params[:80]!r}. "
            'Send an object, e.g. {"prompt": "liver"}.'
        ) from error
    if not isinstance(record, dict):
        raise InvalidRequest(
            f'The field \'params\' is {params[:80]!r}, not a JSON object. Send one, e.g. {{"prompt": "liver"}}.'
        )
    return record


def inference_params(params: str) -> dict[str, Any]:
    """Like :func:`parse_params`, for a request whose address names the model and the image.

    Raises:
        InvalidRequest: also if it claims another model or image than the address, or names a file of the server.
    """
    record = parse_params(params)
    for key in RESERVED:
        if key in record:
            raise InvalidRequest(
                f"The field 'params' sets '{key}' to {record[key]!r}. The address of the request names it: "
                "leave it out."
            )
    label = record.get("label")
    if isinstance(label, str) and _ABSOLUTE.match(label):
        raise InvalidRequest(
            f"The field 'params' sets 'label' to {label!r}, a path. Name a segment there, and upload a label map as a "
            "file."
        )
    return record


def require_upload(file: UploadFile, allowed: tuple[str, ...]) -> None:
    """Refuse files that are no scan or label map by their name.

    Raises:
        InvalidRequest: naming the file and the allowed endings.
    """
    name = PurePosixPath(file.filename or "").name
    if not name.endswith(allowed):
        raise InvalidRequest(f"The file '{name}' cannot be taken. Its name must end in {', '.join(allowed)}.")


LABEL_UPLOADS: Final = (*EXTENSIONS, ".bin", ".json")
