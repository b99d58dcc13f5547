"""Adds headers to every reply that make browsers handle it safely."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
FRAMES: Final = "frame-ancestors 'self'"
NO_PAGE: Final = f"default-src 'none'; {FRAMES}"
"""For data: should a browser show it as a page, nothing in it runs. Not for scripts: a worker has its own policy."""
DATA: Final = ("application/json", "application/octet-stream", "application/dicom", "multipart/", "text/plain")


class CarefulHeaders:
    """Middleware that adds the headers. A page keeps its own policy, and no cache keeps data of patients."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add the headers to its reply."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add(MutableHeaders(raw=message.setdefault("headers", [])), message)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _add(headers: MutableHeaders, message: Message) -> None:
    for name, value in ALWAYS.items():
        headers.setdefault(name, value)
    is_data = headers.get("content-type", "").startswith(DATA)
    policy = headers.get("content-security-policy")
    if policy is None:
        headers["Content-Security-Policy"] = NO_PAGE if is_data else FRAMES
    elif "frame-ancestors" not in policy:
        headers["Content-Security-Policy"] = f"{policy.rstrip('; ')}; {FRAMES}"
    if "etag" not in headers:
        headers.setdefault("Cache-Control", "no-store")
    message["headers"] = headers.raw
