"""Counts bodies of requests as they arrive, and refuses those that are too large or stop arriving."""

from __future__ import annotations

import contextlib
import time
from typing import Final

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from label_tasks.http.bodies.refusals import refuse

JSON_BYTES: Final = 2 * 2**20
"""Bodies other than uploads: a request with the most clicks and the longest label information has under 200 kB."""
UPLOAD_BYTES: Final = 4 * 2**30 + 2**20
"""Uploads: 2^31 voxels of two bytes, the largest volume that the readers take, and what the form adds."""

_PACS: Final = "/proxy/dicom/"
"""What viewers store in the PACS is no form, and can be as large as uploads; its own route counts it, too."""

_LINGER_BYTES: Final = 2**30
_LINGER_S: Final = 20.0
_SILENCE_S: Final = 3.0
"""After a refusal what still comes is read and thrown away for so long: a client that is cut off while it sends would
see a broken connection in place of the sentence."""


STALLED_S: Final = 60.0
"""A body of which nothing more comes for so long is given up: it holds open files, and a thousand of them a server."""
MIN_BYTES_PER_S: Final = 100
"""After STALLED_S the whole body must have come this fast: far below any network, and above one byte now and then."""


class BodyLimits:
    """Middleware that answers 413 for a body that is too large, its size told or not, and 408 for one that stops.

    Args:
        app: what lies behind it.
        stalled_s: see STALLED_S.
    """

    def __init__(self, app: ASGIApp, stalled_s: float = STALLED_S) -> None:
        self._app = app
        self._stalled_s = stalled_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count a body; the reply of the application is replaced where the body was too large."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_upload = headers.get("content-type", "").lower().startswith("multipart/form-data")
        is_upload = is_upload or scope["path"].startswith(
            _PACS
        )  # a viewer stores a SEG; the proxy has a limit of its own
        body = _Body(receive, UPLOAD_BYTES if is_upload else JSON_BYTES, self._stalled_s)
        told = headers.get("content-length", "")
        if told and (not told.isascii() or not told.isdigit() or int(told[:20]) > body.limit_bytes):
            await _refuse(send, body, waits=headers.get("expect") is not None)
            return

        async def send_unless_too_large(message: Message) -> None:
            if not (body.is_too_large or body.has_stalled):
                await send(message)

        await self._app(scope, body.receive, send_unless_too_large)
        if body.is_too_large:
            await _refuse(send, body, waits=False)
        elif body.has_stalled:
            with contextlib.suppress(OSError):
                await refuse(send, 408, "The body of the request stopped on its way. Send it again.", ends=True)


class _Body:
    """A request's body on its way."""

    def __init__(self, receive: Receive, limit_bytes: int, stalled_s: float) -> None:
        self.limit_bytes = limit_bytes
        self.is_too_large = False
        self.has_stalled = False
        self._receive = receive
        self._stalled_s = stalled_s
        self._seen_bytes = 0
        self._is_whole = False
        self._start_s = time.monotonic()

    async def receive(self) -> Message:
        """The next part; beyond a limit the client seems to have left, so that the application stops at once."""
        if self._is_whole:  # what comes now is that the client leaves
            return await self._receive()
        with anyio.move_on_after(self._stalled_s) as silence:
            message = await self._receive()
        if silence.cancelled_caught or self._is_too_slow():
            self.has_stalled = True
            return {"type": "http.disconnect"}
        self._is_whole = message["type"] != "http.request" or not message.get("more_body", False)
        self._seen_bytes += len(message.get("body", b""))
        if self._seen_bytes > self.limit_bytes:
            self.is_too_large = True
            return {"type": "http.disconnect"}
        return message

    def _is_too_slow(self) -> bool:
        elapsed_s = time.monotonic() - self._start_s
        return elapsed_s > self._stalled_s and self._seen_bytes < MIN_BYTES_PER_S * elapsed_s

    async def throw_away(self) -> None:
        """Read on, for a while."""
        start_s, gone_bytes = time.monotonic(), 0
        while gone_bytes < _LINGER_BYTES and time.monotonic() - start_s < _LINGER_S:
            with anyio.move_on_after(_SILENCE_S) as silence:
                message = await self._receive()
            if silence.cancelled_caught or message["type"] != "http.request":
                return
            gone_bytes += len(message.get("body", b""))
            if not message.get("more_body", False):
                return


async def _refuse(send: Send, body: _Body, *, waits: bool) -> None:
    """Answer first, then let the client finish; one that waits for leave to send is not asked to."""
    limit = f"{body.limit_bytes >> 20} MiB"
    sentence = f"The body of the request is larger than {limit}, the most that is taken. Send less."
    await refuse(send, 413, sentence, is_last=False)
    if not waits:
        await body.throw_away()
    with contextlib.suppress(OSError):
        await send({"type": "http.response.body", "body": b"", "more_body": False})
