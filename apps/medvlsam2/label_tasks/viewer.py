"""The host's OHIF and its way to the PACS, as a viewer on any port and a PACS with many studies need them.

Other than the host's own routes: the panel talks to the server that its page came from, and not always to
port 8000; a search in the study list reaches the PACS; a slow PACS does not hold up the event loop; and only
the PACS's DICOMweb can be asked, not what lies beside it.
"""

from __future__ import annotations

import functools
from typing import Final
from urllib.parse import quote, unquote

from fastapi import APIRouter, Request
from fastapi.responses import Response
from monailabel.config import settings
from monailabel.endpoints import ohif

from label_tasks.pacs.address import address_of
from label_tasks.pacs.proxy import Proxy
from label_tasks.pages import ohif_page
from medvlsam2.errors import InvalidRequest

SERVER_COOKIE: Final = "MONAILABEL_SERVER_URL"
"""Where OHIF's panel looks up which server it talks to."""

_SERVICES: Final = ("wado", "qido", "stow")

router = APIRouter(include_in_schema=False)


@router.get("/ohif/{path:path}")
async def viewer(request: Request, path: str) -> Response:
    """A file of OHIF, or its page."""
    is_remote = settings.MONAI_LABEL_STUDIES.startswith(("http://", "https://"))
    page = ohif_page.answer(ohif.get_ohif(path), is_remote=is_remote)
    if page.media_type == "text/html":
        page.set_cookie(SERVER_COOKIE, quote(str(request.base_url), safe=""), path="/ohif", samesite="strict")
    return page


@router.api_route("/proxy/dicom/{path:path}", methods=["GET", "POST"])
async def pacs(request: Request, path: str) -> Response:
    """What the DICOMweb server answers to a path of its own and a query.

    Raises:
        InvalidRequest: if there is no such server, or the path leads out of its DICOMweb.
    """
    if not settings.MONAI_LABEL_STUDIES.startswith(("http://", "https://")):
        raise InvalidRequest(
            "The studies are a local folder, but OHIF reads DICOMweb. Start the server with --studies and the "
            "address of a DICOMweb server, e.g. http://127.0.0.1:8042/dicom-web, or use 3D Slicer."
        )
    if any(part in {".", ".."} for part in unquote(path).replace("\\", "/").split("/")):
        raise InvalidRequest(f"The path '{path}' is not allowed. Give a DICOMweb path without '.' and '..'.")
    service, _, rest = path.partition("/")
    service, rest = (service, rest) if service in _SERVICES else ("", path)
    if service == "qido" and rest.endswith("metadata"):  # some versions of OHIF ask for headers there
        service = "wado"
    return await _proxy().forward(request, service, quote(rest, safe="/,;:=@"))


@functools.cache
def _proxy() -> Proxy:
    """The one way to the PACS, made at the first request: the settings are complete by then."""
    return Proxy(address_of(settings.MONAI_LABEL_STUDIES, settings))
