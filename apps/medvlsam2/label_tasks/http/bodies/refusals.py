"""Sends a refusal in the form that every client can read: JSON with a sentence."""

from __future__ import annotations

import json

from starlette.types import Send

from label_tasks.logs.server_paths import without_paths


async def refuse(send: Send, status: int, sentence: str, *, is_last: bool = True, ends: bool = False) -> None:
    """Send a refusal.

    Args:
        send: of the connection.
        status: of HTTP.
        sentence: what was given, what is allowed, and what to do.
        is_last: whether the reply ends with it.
        ends: whether the connection ends with it.
    """
    body = json.dumps({"detail": without_paths(sentence)}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(b"connection", b"close")] if ends else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": not is_last})
