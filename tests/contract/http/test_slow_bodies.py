"""A body that stops on its way, or comes byte by byte, does not hold a request for ever."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

from label_tasks.http.middleware.body_limits import BodyLimits

STALLED_S = 0.2


async def read_all(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    """An application that reads the body, waits until the client disconnects, and records what happened."""
    size, message = 0, {"more_body": True}
    while message.get("more_body"):
        message = await receive()
        size += len(message.get("body", b""))
        if message["type"] == "http.disconnect":
            return
    with anyio.move_on_after(4 * STALLED_S) as waited:
        await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps([size, waited.cancelled_caught]).encode()})


def asked(parts: Callable[[], AsyncIterator[bytes]], length: int) -> tuple[int, str, dict[bytes, bytes]]:
    """Return status, text and headers of the reply to a body that arrives in these pieces."""
    sent: list[Any] = []

    async def run() -> None:
        coming = parts()
        left = length

        async def receive() -> dict[str, Any]:
            nonlocal left
            async for part in coming:
                left -= len(part)
                return {"type": "http.request", "body": part, "more_body": left > 0}
            await anyio.sleep_forever()
            raise AssertionError

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/x", "headers": []}
        await BodyLimits(read_all, stalled_s=STALLED_S)(scope, receive, send)

    with anyio.from_thread.start_blocking_portal() as portal:
        portal.start_task_soon(run).result(timeout=20)
    return sent[0]["status"], b"".join(item.get("body", b"") for item in sent).decode(), dict(sent[0]["headers"])


async def stops() -> AsyncIterator[bytes]:
    yield b"{"


async def drips() -> AsyncIterator[bytes]:
    while True:
        await anyio.sleep(STALLED_S / 4)
        yield b"x"


async def steady() -> AsyncIterator[bytes]:
    for _ in range(8):
        await anyio.sleep(STALLED_S / 4)
        yield b"x" * 1000


@pytest.mark.parametrize("parts", [stops, drips])
def test_a_slow_body_is_given_up(parts: Callable[[], AsyncIterator[bytes]]) -> None:
    start_s = time.monotonic()
    status, text, headers = asked(parts, 1000)
    assert time.monotonic() - start_s < 20 * STALLED_S
    assert (status, headers[b"connection"]) == (408, b"close")
    assert "stopped on its way" in json.loads(text)["detail"]


def test_a_steady_body_takes_its_time_and_a_whole_one_may_wait_for_its_answer() -> None:
    assert asked(steady, 8000)[:2] == (200, "[8000, true]")
