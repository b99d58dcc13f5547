"""Forms with files, read within limits: few parts, and nearly nothing of a file in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, Final

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import FormData
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser

from label_tasks.http.once import check_form, require_form

MAX_FILES: Final = 500
"""Files of one form. Each is open while the form is read, and systems allow 1,024 open files; more go as a zip."""
MAX_FIELDS: Final = 50
FIELD_BYTES: Final = 2**20
"""A field that is no file, such as ``params``."""
IN_MEMORY_BYTES: Final = 2**16
"""Of each file; the rest waits on the disk."""


class FrugalRequest(Request):
    """A request whose form is read within the limits, whatever the route asks for."""

    _read: FormData | None = None

    async def form(self, **_: Any) -> FormData:  # type: ignore[override]
        """The form.

        Raises:
            HTTPException: 400 if it cannot be read, or has a field that is not known or twice, 413 if it has too many
                parts or too large a field, 415 if the body is no form.
        """
        if self._read is None:
            require_form(self)
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
