"""Reads forms with files within limits: few parts, and almost nothing of a file in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, Final

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser

from label_tasks.http.bodies.once import check_form, require_form
from medvlsam2.data.reading.plain_names import shown

MAX_FILES: Final = 500
"""Files of one form. Each is open while the form is read, and systems allow 1,024 open files; more go as a zip."""
MAX_FIELDS: Final = 50
FIELD_BYTES: Final = 2**20
"""A field that is no file, such as ``params``."""
IN_MEMORY_BYTES: Final = 2**16
"""Bytes of each file that stay in memory; the rest lies on the disk."""
CHARSETS: Final = ("utf-8", "utf8", "us-ascii")
"""Allowed charsets. Python's other codecs raise errors of their own, and one takes minutes for a field (punycode)."""


class FrugalRequest(Request):
    """A request whose form is always read within the limits."""

    _read: FormData | None = None

    async def form(self, **_: Any) -> FormData:  # type: ignore[override]
        """The form.

        Raises:
            HTTPException: 400 if it cannot be read, or has a field that is not known or twice, 413 if it has too many
                parts or too large a field, 415 if the body is no form.
        """
        if self._read is None:
            require_form(self)
            self._require_charset()
            try:
                async with aclosing(self.stream()) as stream:
                    self._read = await self._parser(stream).parse()
            except MultiPartException as error:
                is_limit = error.message.startswith(("Too many", "Part exceeded", "Field exceeded"))
                advice = f"At most {MAX_FILES} files; send more of them as one zip archive." if is_limit else ""
                raise HTTPException(
                    413 if is_limit else 400, f"The form cannot be taken: {error.message} {advice}".strip()
                ) from error
            check_form(self, [name for name, _ in self._read.multi_items()])
        return self._read

    def _require_charset(self) -> None:
        _, options = parse_options_header(self.headers.get("content-type", ""))
        charset = options.get(b"charset", b"utf-8").decode("latin-1")
        if charset.lower() not in CHARSETS:
            raise HTTPException(415, f"The form has the charset {shown(charset, 40)}. Send it as UTF-8.")

    def _parser(self, stream: AsyncIterator[bytes]) -> Any:
        if self.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            limits = {"max_files": MAX_FILES, "max_fields": MAX_FIELDS, "max_part_size": FIELD_BYTES}
            return _FrugalParser(self.headers, stream, **limits)  # type: ignore[arg-type]
        return FormParser(self.headers, stream, max_fields=MAX_FIELDS)  # type: ignore[arg-type]


class FrugalRoute(APIRoute):
    """A route that reads its forms so: ``APIRouter(route_class=FrugalRoute)``."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's own handler, given such a request."""
        handle = super().get_route_handler()

        async def handle_frugally(request: Request) -> Response:
            return await handle(FrugalRequest(request.scope, request.receive))

        return handle_frugally


class _FrugalParser(MultiPartParser):
    spool_max_size = IN_MEMORY_BYTES
    _has_ended = False

    def on_end(self) -> None:
        self._has_ended = True
        super().on_end()

    def on_part_end(self) -> None:
        if self._current_part.file is None:
            try:
                self._current_part.data.decode("utf-8")
            except UnicodeDecodeError as error:
                raise MultiPartException("One of its fields is not UTF-8. Send text as UTF-8.") from error
        super().on_part_end()

    async def parse(self) -> FormData:
        """Refuse a form that was cut off: its last part, which may be a slice of a series, would be missing."""
        form = await super().parse()
        if not self._has_ended:
            await form.close()
            raise MultiPartException("Its end is missing. Send all of it.")
        return form
