"""Only pages that this server gave may act on it, and only under names that are its own.

A web page anywhere can send forms to ``127.0.0.1`` (no preflight asks for leave), and a page whose name its owner
points at ``127.0.0.1`` (DNS rebinding) can even read the replies. Browsers tell where a request comes from, in
``Sec-Fetch-Site`` and ``Origin``, and which name they asked for, in ``Host``. Programs (curl, 3D Slicer) send neither
of the first two.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from label_tasks.http.bodies.refusals import refuse
from medvlsam2.data.reading.plain_names import shown

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
OURS: Final = frozenset({"same-origin", "none"})
"""Values of ``Sec-Fetch-Site``: from a page of this server, or typed by the user."""
LOOPBACK_NAMES: Final = frozenset({"localhost"})

_HOST: Final = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?")


class OurOrigins:
    """Middleware that refuses foreign pages and foreign names.

    Args:
        app: what lies behind it.
        names: further names of the server, as an operator configures them; the loopback names, the address that a
            request arrived at, and this machine's name are always its own.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str] = ()) -> None:
        self._app = app
        machine = socket.gethostname().lower()
        self._names = LOOPBACK_NAMES | {machine, machine.split(".")[0]} | {name.strip().lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "Only HTTP is served here."})
            return
        sentence = self._why_not(scope) if scope["type"] == "http" else None
        if sentence is None:
            await self._app(scope, receive, send)
        else:
            await refuse(send, 403, sentence)

    def _why_not(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0], scope):
            return (
                f"The server is not called {shown(', '.join(hosts))}. Use its address, or name it when you start it: "
                "--allowed-host NAME."
            )
        if scope["method"] in READING:
            return None if _may_read(headers) else _FOREIGN
        return None if _may_change(headers, hosts[0]) else _FOREIGN

    def _is_ours(self, host: str, scope: Scope) -> bool:
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found["name"].lower().rstrip(".")
        if name in self._names:
            return True
        arrived_at = str((scope.get("server") or ("",))[0]).lower()
        return name.strip("[]") == arrived_at or _is_loopback(name.strip("[]"))


_FOREIGN: Final = (
    "The request comes from a web page of another origin, which may not act here. Open the page from this server, or "
    "use a program."
)


def _may_read(headers: Headers) -> bool:
    """A foreign page may lead to this server, but not read or embed anything of it."""
    site = headers.get("sec-fetch-site")
    if site is None or site in OURS:
        return True
    return headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"


def _may_change(headers: Headers, host: str) -> bool:
    site = headers.get("sec-fetch-site")
    if site is not None and site not in OURS:
        return False
    origins = headers.getlist("origin")
    if origins:
        return all(_place(origin) == host.lower() for origin in origins)
    referer = headers.get("referer")
    return referer is None or _place(referer) == host.lower()


def _place(address: str) -> str:
    """Name and port of an address; nothing for 'null' and what is no address."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return parts.netloc.lower() if parts.scheme in {"http", "https"} else ""


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
