"""The viewer's way to the PACS: limits in time and number, and nothing but DICOMweb passes."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi.testclient import TestClient

from label_tasks.failures import status_of
from label_tasks.pacs import proxy as proxies
from label_tasks.pacs.address import PacsAddress
from label_tasks.pacs.proxy import Proxy
from medvlsam2.errors import MedVLSAM2Error

SERIES = "1.2.3.2"
INSTANCE = f"studies/1.2.3.1/series/{SERIES}/instances/{SERIES}.1"


@pytest.fixture
def front(address: PacsAddress) -> Iterator[str]:
    """A server whose only routes are the proxy, with two places, and one that answers by itself."""
    app = FastAPI()
    proxy = Proxy(address, at_once=2, queue_s=0.2)

    @app.api_route("/dicom/{path:path}", methods=["GET", "POST"])
    async def dicom(request: Request, path: str) -> Response:
        return await proxy.forward(request, "", path)

    @app.get("/info")
    async def info() -> str:
        return "here"

    @app.exception_handler(MedVLSAM2Error)
    async def ours(_: Request, error: MedVLSAM2Error) -> Response:
        return JSONResponse({"detail": str(error)}, status_of(error))

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def test_answers_pass_through(front: str, pacs: Any) -> None:
    listed = requests.get(f"{front}/dicom/series?Modality=CT", timeout=5)
    assert [entry["0020000E"]["Value"] for entry in listed.json()] == [[SERIES]]
    assert listed.headers["content-type"] == "application/dicom+json"
    whole = requests.get(f"{front}/dicom/{INSTANCE}", timeout=5)
    assert pacs.series[SERIES][f"{SERIES}.1"] in whole.content
    assert "boundary=the-boundary" in whole.headers["content-type"]


def test_a_login_that_the_pacs_refuses_is_not_asked_of_the_viewer(front: str, pacs: Any) -> None:
    """A browser would ask its user for a name and password of this server."""
    pacs.answer_with = 401
    reply = requests.get(f"{front}/dicom/series", timeout=5)
    assert (reply.status_code, "refused the login" in reply.json()["detail"]) == (503, True)
    assert "www-authenticate" not in reply.headers


def test_what_is_stored_arrives_whole(front: str, pacs: Any) -> None:
    content = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + bytes(range(256)) * 9000 + b"\r\n--b--"
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}
    assert requests.post(f"{front}/dicom/studies", data=content, headers=headers, timeout=5).status_code == 200
    assert pacs.stored == [bytes(range(256)) * 9000]


def test_headers_of_the_pacs_stay_there(front: str, pacs: Any) -> None:
    reply = requests.get(f"{front}/dicom/series", timeout=5)
    assert "set-cookie" not in reply.headers
    assert "access-control-allow-origin" not in reply.headers
    assert reply.headers["x-content-type-options"] == "nosniff"
    pacs.html = True
    page = requests.get(f"{front}/dicom/series", timeout=5)
    assert page.headers["content-type"] == "application/octet-stream"


def test_headers_of_the_viewer_stay_here() -> None:
    """Cookies, tokens and the address of the viewer are the server's own business."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy_port = listener.getsockname()[1]

        def answer() -> None:
            connection, _ = listener.accept()
            heard.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]")
            connection.close()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        app = FastAPI()
        proxy = Proxy(PacsAddress(f"http://127.0.0.1:{proxy_port}"))

        @app.get("/dicom/{path:path}")
        async def dicom(request: Request, path: str) -> Response:
            return await proxy.forward(request, "", path)

        sent = {"Cookie": "token=1", "Authorization": "Bearer x", "X-Forwarded-For": "1.2.3.4", "Accept": "a/b"}
        TestClient(app).get("/dicom/series", headers=sent)
        thread.join(5)
    text = heard[0].decode().lower()
    assert "accept: a/b" in text
    assert not any(word in text for word in ("cookie", "authorization", "x-forwarded-for"))


def test_a_pacs_that_hangs_is_a_503_and_holds_up_nothing_else(front: str, pacs: Any) -> None:
    pacs.hang()
    replies: list[requests.Response] = []

    def ask() -> None:
        replies.append(requests.get(f"{front}/dicom/series", timeout=10))

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    began_s = time.monotonic()
    assert requests.get(f"{front}/info", timeout=5).json() == "here"
    assert time.monotonic() - began_s < 0.45
    for thread in threads:
        thread.join()
    sentences = {reply.json()["detail"].split(" ", 1)[1] for reply in replies}
    assert {reply.status_code for reply in replies} == {503}
    assert any("within 0.5 seconds" in sentence for sentence in sentences)
    assert any("wait for the PACS already" in sentence for sentence in sentences)
    pacs.wake()
    assert requests.get(f"{front}/dicom/series", timeout=5).status_code == 200


def test_viewers_that_leave_free_their_places(front: str, pacs: Any) -> None:
    pacs.hang()
    for _ in range(6):
        left = http.client.HTTPConnection(front.removeprefix("http://"), timeout=5)
        left.request("GET", "/dicom/series")
        time.sleep(0.03)
        left.close()
    pacs.wake()
    time.sleep(0.1)
    began_s = time.monotonic()
    assert requests.get(f"{front}/dicom/series", timeout=5).status_code == 200
    assert time.monotonic() - began_s < 0.3


def test_errors_of_the_pacs_are_its_own_and_other_addresses_are_not_followed(front: str, pacs: Any) -> None:
    pacs.answer_with = 500
    assert requests.get(f"{front}/dicom/series", timeout=5).status_code == 500, "its own answer"
    pacs.answer_with = 302
    moved = requests.get(f"{front}/dicom/series", timeout=5, allow_redirects=False)
    assert (moved.status_code, "another address" in moved.json()["detail"]) == (503, True)


def test_a_body_beyond_the_limit_is_refused(front: str, pacs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxies, "BODY_LIMIT_BYTES", 1000)
    told = requests.post(f"{front}/dicom/studies", data=b"x" * 1001, timeout=5)
    untold = requests.post(f"{front}/dicom/studies", data=(b"x" * 600 for _ in range(3)), timeout=5)
    assert {told.status_code, untold.status_code} == {413}
    assert "1000 bytes" in untold.json()["detail"]
    assert not pacs.stored
