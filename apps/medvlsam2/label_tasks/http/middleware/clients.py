"""Tells clients apart: browsers by a random cookie of this server, programs by their address and the name they give.

Thus users of OHIF behind one proxy are told apart, and no client can act as another one: a cookie cannot be guessed,
and a ``client_id`` counts only together with the address that it comes from.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE: Final = "medvlsam2_client"
HEADER: Final = "x-client-id"
"""Header in which a program may name itself if it sends no ``params``."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_TOKEN_BYTES: Final = 32
_SCOPE_KEY: Final = "medvlsam2.client"


@dataclass(frozen=True)
class Client:
    """The client of one request."""

    token: str
    """The cookie that it sent, or the one that it gets with this reply."""
    is_known: bool
    """Whether it sent that cookie."""
    address: str

    def owner(self, name: Any = None) -> str:
        """A hash that is the same for all requests of this client; the cookie cannot be read from it.

        Args:
            name: what a program calls itself.
        """
        who = f"cookie {self.token}" if self.is_known else f"address {self.address}"
        return _digest(f"{who} {name}" if isinstance(name, str) else who)

    def owners_of_new(self) -> list[str]:
        """Who may use what this request makes: whoever sends its cookie; without one, also programs at its address."""
        by_cookie = _digest(f"cookie {self.token}")
        return [by_cookie] if self.is_known else [by_cookie, self.owner()]

    def may_use(self) -> set[str]:
        """The owners whose things this request may use (see :meth:`owners_of_new`)."""
        return {self.owner()}


def client_of(request: Request) -> Client:
    """The client of a request."""
    found: Client = request.scope.get(_SCOPE_KEY) or _client(request.scope)
    return found


def name_in(request: Request) -> str | None:
    """What a program calls itself in the address or the header of a request."""
    return request.query_params.get("client_id") or request.headers.get(HEADER)


class Cookies:
    """Middleware that gives every client without a cookie one of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note who asks, and add the cookie to the reply where it is new."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client = scope[_SCOPE_KEY] = _client(scope)

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start" and not client.is_known:
                secure = "; Secure" if scope["scheme"] == "https" else ""
                cookie = f"{COOKIE}={client.token}; Path=/; HttpOnly; SameSite=Strict{secure}"
                message["headers"] = [*message.get("headers", ()), (b"set-cookie", cookie.encode())]
            await send(message)

        await self._app(scope, receive, send_with_cookie)


def _client(scope: Scope) -> Client:
    address = str((scope.get("client") or ("",))[0])
    for name, value in scope["headers"]:
        if name == b"cookie":
            token = _token(value.decode("latin-1"))
            if token is not None:
                return Client(token, True, address)
    return Client(secrets.token_urlsafe(_TOKEN_BYTES), False, address)


def _token(header: str) -> str | None:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel is not None and _TOKEN.fullmatch(morsel.value) else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
