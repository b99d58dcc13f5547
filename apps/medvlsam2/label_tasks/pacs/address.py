"""Address and login of the PACS, from the host's settings."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import httpx
from monailabel.config import Settings

from medvlsam2.errors import InvalidConfig, PacsUnavailable

USER: Final = "MONAI_LABEL_DICOMWEB_USERNAME"
PASSWORD: Final = "MONAI_LABEL_DICOMWEB_PASSWORD"

CONNECT_S: Final = 5.0
"""Seconds to connect. A PACS in the same network accepts a connection within milliseconds; after 5 s it is down."""

_GOOGLE: Final = "googleapis.com"
_GOOGLE_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"


@dataclass(frozen=True)
class PacsAddress:
    """A DICOMweb server and the host's settings for it."""

    url: str
    """Root of its DICOMweb, without a slash at the end."""
    prefixes: dict[str, str] = field(default_factory=dict)
    """Paths below the root by service: "qido", "wado", "stow"; absent ones are the root itself."""
    auth: httpx.Auth | None = None
    read_s: float = 20.0
    """Longest pause of the PACS in the middle of an answer, in seconds."""
    search: dict[str, Any] = field(default_factory=lambda: {"Modality": "CT"})
    """Attributes of a search for the series that are images."""

    def path(self, service: str, path: str) -> str:
        """Return the address of a path of one service.

        Example:
            >>> PacsAddress("http://pacs/dicom-web", {"qido": "q"}).path("qido", "series")
            'http://pacs/dicom-web/q/series'
        """
        return "/".join(part for part in (self.url, self.prefixes.get(service, ""), path) if part)

    @property
    def timeouts(self) -> httpx.Timeout:
        """Time limits of one request; waiting for a free connection counts as waiting for the PACS."""
        return httpx.Timeout(self.read_s, connect=CONNECT_S, pool=CONNECT_S)


def address_of(studies: str, settings: Settings) -> PacsAddress:
    """Return the PACS that the server was started with.

    Raises:
        InvalidConfig: if the address holds a user or a password.
    """
    require_plain_address(studies)
    prefixes = {
        "qido": settings.MONAI_LABEL_QIDO_PREFIX,
        "wado": settings.MONAI_LABEL_WADO_PREFIX,
        "stow": settings.MONAI_LABEL_STOW_PREFIX,
    }
    return PacsAddress(
        url=studies.strip().rstrip("/"),
        prefixes={service: prefix.strip("/") for service, prefix in prefixes.items() if prefix},
        auth=_auth(studies, settings),
        read_s=settings.MONAI_LABEL_DICOMWEB_READ_TIMEOUT,
        search=dict(settings.MONAI_LABEL_DICOMWEB_SEARCH_FILTER),
    )


def keep_addresses_out_of_the_log() -> None:
    """Turn off the HTTP client's log line for each request: the search of a viewer holds the patient's name."""
    logging.getLogger("httpx").setLevel(logging.WARNING)


def require_plain_address(studies: str) -> None:
    """Refuse an address with a login in it: addresses are shown on pages, in replies and in logs.

    Raises:
        InvalidConfig: the text does not repeat the address.
    """
    if "@" in urlsplit(studies.strip()).netloc:
        raise InvalidConfig(
            f"The address of the PACS holds a user or a password, which would be shown. Set {USER} and {PASSWORD} "
            "instead, and give the address without them."
        )


def login_refused(status: int) -> PacsUnavailable:
    """Return the error text for a PACS that refuses the login, or that needs one."""
    return PacsUnavailable(
        f"The PACS refused the login of this server (HTTP {status}). Start the server with {USER} and {PASSWORD} of an "
        "account that may read and store there."
    )


def _auth(studies: str, settings: Settings) -> httpx.Auth | None:
    host = urlsplit(studies.strip()).hostname or ""
    if host == _GOOGLE or host.endswith(f".{_GOOGLE}"):
        return GoogleAuth()
    user, password = settings.MONAI_LABEL_DICOMWEB_USERNAME, settings.MONAI_LABEL_DICOMWEB_PASSWORD
    return httpx.BasicAuth(user, password) if user else None


class GoogleAuth(httpx.Auth):
    """The Google credentials of this machine, renewed when they have expired."""

    def __init__(self) -> None:
        self._credentials: Any = None

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign a request."""
        request.headers["Authorization"] = f"Bearer {self._token()}"
        yield request

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Sign a request of the event loop, in a thread."""
        request.headers["Authorization"] = f"Bearer {await anyio.to_thread.run_sync(self._token)}"
        yield request

    def _token(self) -> str:
        import google.auth
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request

        try:
            if self._credentials is None:
                self._credentials, _ = google.auth.default(scopes=[_GOOGLE_SCOPE])
            if not self._credentials.valid:
                self._credentials.refresh(Request())
        except (GoogleAuthError, OSError, ValueError) as error:
            raise PacsUnavailable(
                f"This machine has no valid Google credentials for the PACS ({type(error).__name__}). Set "
                "GOOGLE_APPLICATION_CREDENTIALS to the key file of a service account that may read and store there."
            ) from error
        return str(self._credentials.token)
