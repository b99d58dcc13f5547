"""Proxy between a viewer and the PACS: OHIF's requests are passed on, and answers are passed back as they arrive.

Tasks of the event loop wait for the PACS, not threads; their number and their time are limited. When a viewer
disconnects, its request to the PACS ends. Only headers and media types of DICOMweb are passed: for the browser the
answers come from the server's own address, so a page or a cookie of the PACS must not get through.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import anyio
import httpx
from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from starlette.requests import ClientDisconnect

from label_tasks.pacs.address import PacsAddress, keep_addresses_out_of_the_log, login_refused
from medvlsam2.errors import PacsUnavailable, TooLarge

logger = logging.getLogger(__name__)

AT_ONCE: Final = 32
"""Most requests to the PACS at once for all viewers: a browser opens six, so five viewers run at full speed."""

QUEUE_S: Final = 10.0
"""Longest wait in seconds for a free place among them."""

BODY_LIMIT_BYTES: Final = 512 * 2**20
"""Most bytes of a request: a DICOM SEG of 500 slices of 512 x 512 pixels with 30 segments has 490 MB."""

_PASSED_ON: Final = ("accept", "accept-encoding", "accept-language", "content-type", "content-length", "range")
_PASSED_BACK: Final = ("content-encoding", "content-length", "content-range", "etag", "last-modified", "warning")
_ALLOWED_TYPES: Final = frozenset((
    "application/dicom", "application/dicom+json", "application/json", "application/octet-stream", "application/pdf",
    "image/gif", "image/jls", "image/jp2", "image/jpeg", "image/jpx", "image/jxl", "image/png", "image/x-dicom-rle",
    "multipart/related", "text/plain", "video/mp4", "video/mpeg", "video/mpeg2",
))  # fmt: skip
"""Media types of DICOMweb (PS3.18 8.7) that a browser does not run; HTML, SVG and XML can hold scripts."""


class Proxy:
    """The proxy of one PACS for all viewers."""

    def __init__(self, address: PacsAddress, at_once: int = AT_ONCE, queue_s: float = QUEUE_S) -> None:
        keep_addresses_out_of_the_log()
        self._address = address
        self._slots = anyio.CapacityLimiter(at_once)
        self._queue_s = queue_s
        limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
        self._http = httpx.AsyncClient(auth=address.auth, timeout=address.timeouts, limits=limits)

    async def forward(self, request: Request, service: str, path: str) -> Response:
        """Pass a request on to a path of one of the PACS's services, and pass the answer back.

        Raises:
            TooLarge: if the request is longer than the limit.
            PacsUnavailable: if the PACS does not answer in time, or too many requests wait for it.
        """
        _require_length(request)
        address = self._address.path(service, path) + (f"?{request.url.query}" if request.url.query else "")
        passed = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        passed.setdefault("accept-encoding", "identity")
        received = anyio.Event()
        content = _body(request, received) if request.method == "POST" else None
        if content is None:
            passed.pop("content-length", None)
            received.set()
        async with AsyncExitStack() as unless_answered:
            await unless_answered.enter_async_context(self._slot())
            sent = self._http.build_request(request.method, address, headers=passed, content=content)
            reply = await self._answer(request, sent, received)
            unless_answered.push_async_callback(reply.aclose)
            if reply.is_redirect:
                raise PacsUnavailable(
                    f"The PACS answered with HTTP {reply.status_code}, another address. Start the server with that one."
                )
            if reply.status_code == httpx.codes.UNAUTHORIZED:  # a browser would show it as a login of this server
                raise login_refused(reply.status_code)
            kept = unless_answered.pop_all()
        return StreamingResponse(_streamed(reply, kept), reply.status_code, _passed_back(reply.headers))

    async def _answer(self, request: Request, sent: httpx.Request, received: anyio.Event) -> httpx.Response:
        """Return status and headers of the answer; if the viewer disconnects meanwhile, the request ends."""
        answers: list[httpx.Response] = []
        failed: list[PacsUnavailable | TooLarge] = []
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                try:
                    answers.append(await self._http.send(sent, stream=True))
                except (TooLarge, PacsUnavailable) as error:
                    failed.append(error)
                except ClientDisconnect:
                    pass
                except httpx.HTTPError as error:
                    failed.append(_unavailable(error, self._address.read_s))
                tasks.cancel_scope.cancel()

            tasks.start_soon(ask)
            await received.wait()
            await _until_gone(request)
            tasks.cancel_scope.cancel()
        if failed:
            raise failed[0]
        if not answers:
            raise PacsUnavailable("The viewer left before the PACS answered.")
        return answers[0]

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        borrower = object()
        with anyio.move_on_after(self._queue_s) as waiting:
            await self._slots.acquire_on_behalf_of(borrower)
        if waiting.cancelled_caught:
            raise PacsUnavailable(
                f"{int(self._slots.total_tokens)} requests of viewers wait for the PACS already, and none ended within "
                f"{self._queue_s:g} seconds. Try again later."
            )
        try:
            yield
        finally:
            self._slots.release_on_behalf_of(borrower)


async def _streamed(reply: httpx.Response, kept: AsyncExitStack) -> AsyncIterator[bytes]:
    """Yield the answer as it arrives; at its end, or if the viewer disconnects, release the connection."""
    try:
        async for chunk in reply.aiter_raw():
            yield chunk
    except httpx.HTTPError as error:
        logger.warning("The PACS ended an answer in the middle (%s)", type(error).__name__)
        raise
    finally:
        with anyio.CancelScope(shield=True):
            await kept.aclose()


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _require_length(request: Request) -> None:
    told = request.headers.get("content-length", "0")
    if told.isdecimal() and int(told) > BODY_LIMIT_BYTES:
        raise _too_large()


async def _body(request: Request, received: anyio.Event) -> AsyncIterator[bytes]:
    """Yield the body of the request as it arrives; after it only the disconnection of the viewer can arrive."""
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > BODY_LIMIT_BYTES:
            raise _too_large()
        yield chunk
    received.set()


def _too_large() -> TooLarge:
    return TooLarge(
        f"The request is longer than {BODY_LIMIT_BYTES} bytes, the most that is passed on to the PACS. Send fewer "
        "instances at once."
    )


def _unavailable(error: httpx.HTTPError, read_s: float) -> PacsUnavailable:
    what = (
        f"does not answer within {read_s:g} seconds" if isinstance(error, httpx.TimeoutException) else "cannot be asked"
    )
    return PacsUnavailable(f"The PACS {what} ({type(error).__name__}). Try again later, or ask its operator.")


def _passed_back(headers: Mapping[str, str]) -> dict[str, str]:
    passed = {name: headers[name] for name in _PASSED_BACK if name in headers}
    told = headers.get("content-type", "").strip()
    known = told.split(";")[0].strip().lower() in _ALLOWED_TYPES
    passed["content-type"] = told if known else "application/octet-stream"
    passed["cache-control"] = "no-store"
    passed["x-content-type-options"] = "nosniff"
    return passed
