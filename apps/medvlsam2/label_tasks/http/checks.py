"""What an HTTP request may hold, checked before the host sees it."""

from __future__ import annotations

import re
from typing import Any, Final

from fastapi import Request, UploadFile

from label_tasks.http.bodies.json_text import read_object
from label_tasks.uploads.received import SCANS, ending
from medvlsam2.data.reading.plain_names import holds_unseen, require_plain_name, require_tag, shown
from medvlsam2.errors import InvalidRequest

RESERVED: Final = ("model", "image", "session", "image_id")
"""Fields that the address of a request names; params must not say otherwise."""

UPLOADS: Final = SCANS

_NAMES: Final = ("image", "id", "label", "session_id")
_IN_PATH: Final = ("model", "strategy", "method", "session_id")
_NAMES_IN_PARAMS: Final = (
    "label",
    "labels",
    "structures",
    "selected_label_name",
    "label_info",
    "client_id",
    "label_tag",
)
_PHRASES_IN_PARAMS: Final = ("prompt", "question", "choices", "kind")
_IN_PHRASES: Final = "\n\r\t\u200c\u200d"
"""Line ends and tabs, and the joiners of scripts that are written joined."""
_ABSOLUTE: Final = re.compile(r"([A-Za-z]:)?[/\\]")


async def check_names(request: Request) -> None:
    """Refuse ids, names and tags in the address that could leave the studies folder, or show as what they are not.

    Raises:
        InvalidRequest: naming the parameter and its value.
    """
    for key in _NAMES:
        for value in request.query_params.getlist(key):
            if value:
                require_plain_name(key, value)
    for key in _IN_PATH:
        if key in request.path_params:
            require_plain_name(key, request.path_params[key])
    for tag in request.query_params.getlist("tag"):
        if tag:
            require_tag(tag)


def parse_params(params: str) -> dict[str, Any]:
    """The form field ``params`` as a dictionary.

    Raises:
        InvalidRequest: if it is not a JSON object.
    """
    return read_object(params, "The field 'params'")


def inference_params(params: str) -> dict[str, Any]:
    """Like :func:`parse_params`, for a request whose address names the model and the image.

    Raises:
        InvalidRequest: also if it claims another model or image than the address, names a file of the server, or holds
            a name with characters that cannot be seen.
    """
    record = parse_params(params)
    for key in RESERVED:
        if key in record:
            raise InvalidRequest(
                f"The field 'params' sets '{key}' to {shown(str(record[key]))}. The address of the request names it: "
                "leave it out."
            )
    for key in _NAMES_IN_PARAMS:
        _check_text(key, record.get(key))
    for key in _PHRASES_IN_PARAMS:
        _check_text(key, record.get(key), _IN_PHRASES)
    label = record.get("label")
    if isinstance(label, str) and _ABSOLUTE.match(label):
        raise InvalidRequest(
            f"The field 'params' sets 'label' to {shown(label)}, a path. Name a segment there, and upload a label "
            "map as a file."
        )
    return record


def _check_text(key: str, value: Any, allowed: str = "") -> None:
    """Texts, in lists and objects too, that a person is to read as what they are."""
    if isinstance(value, str) and holds_unseen(value, allowed):
        raise InvalidRequest(
            f"The field 'params' sets '{key}' to {shown(value)}, with characters that cannot be seen. Type it anew."
        )
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_text(key, item, allowed)


def require_upload(file: UploadFile, allowed: tuple[str, ...]) -> None:
    """Refuse files that are no scan or label map by their name.

    Raises:
        InvalidRequest: naming the file and the allowed endings.
    """
    if not ending(file.filename or "", allowed):
        raise InvalidRequest(
            f"The file {shown(file.filename or '')} cannot be taken. Its name must end in {', '.join(allowed)}."
        )
