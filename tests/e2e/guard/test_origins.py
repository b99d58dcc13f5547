"""Requests from foreign pages and for foreign host names are refused; programs and our own pages are served."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from .conftest import detail

CHANGING = [
    ("POST", "/train/medvlsam2_finetune"),
    ("POST", "/batch/infer/medvlsam2_report"),
    ("POST", "/activelearning/random"),
    ("POST", "/infer/medvlsam2_report?image=copy0"),
    ("PUT", "/datastore/label?image=copy0"),
    ("PUT", "/session/"),
    ("DELETE", "/datastore/label?id=copy0&tag=final"),
    ("DELETE", "/train/"),
    ("DELETE", "/infer/"),
    ("POST", "/proxy/dicom/studies"),
]
FOREIGN = [
    {"Origin": "http://elsewhere.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "file://"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Referer": "http://elsewhere.example/form.html"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_foreign_page_changes_nothing(raw: Callable[..., Any], headers: dict[str, str]) -> None:
    for method, path in CHANGING:
        status, _, body = raw(method, path, {**headers, "Content-Type": "text/plain"}, b"{}")
        assert (status, "another origin" in detail(body)) == (403, True), (method, path, body)


def test_a_foreign_page_reads_nothing_but_may_link(raw: Callable[..., Any]) -> None:
    embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    assert raw("GET", "/datastore/image?image=copy0", embedded)[0] == 403
    linked = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert raw("GET", "/info/", linked)[0] == 200


def test_the_next_sample_tells_no_folder(raw: Callable[..., Any], target: Any) -> None:
    status, _, body = raw("POST", "/activelearning/uniform_random", {}, b'{"client_id": "ann", "strategy": "x"}')
    told = json.loads(body)
    assert status == 200
    assert str(target.studies) not in body
    assert told["path"] == f"…/{told['id']}.nii.gz"


def test_our_pages_and_programs_are_served(raw: Callable[..., Any], target: Any) -> None:
    for headers in (
        {},
        {"Origin": target.url, "Sec-Fetch-Site": "same-origin"},
        {"Origin": target.url},
        {"Sec-Fetch-Site": "none"},
    ):
        assert raw("POST", "/activelearning/uniform_random", headers, b"{}")[0] == 200, headers


@pytest.mark.parametrize(
    "host",
    [
        "elsewhere.example",
        "elsewhere.example:8000",
        "127.0.0.1.elsewhere.example",
        "localhost.elsewhere.example",
        "127.0.0.1@elsewhere.example",
        "elsewhere.example#127.0.0.1",
        "10.1.2.3",
        "",
        "127.0.0.1 elsewhere.example",
    ],
)
@pytest.mark.parametrize("path", ["/info/", "/ohif/", "/datastore/?output=all", "/static/favicon.ico"])
def test_a_foreign_name_is_not_served(raw: Callable[..., Any], host: str, path: str) -> None:
    status, headers, body = raw("GET", path, {"Host": host})
    assert status in {400, 403}
    assert "elsewhere" not in headers.get("set-cookie", "")
    assert status == 400 or "is not called" in detail(body)


def test_our_names_are_served(raw: Callable[..., Any], target: Any) -> None:
    port = urlsplit(target.url).port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "LOCALHOST", "localhost.", "[::1]:8000", "127.0.0.1:9"):
        assert raw("GET", "/info/", {"Host": host})[0] == 200, host


@pytest.mark.parametrize("path", ["/info/", "/nowhere", "/ohif/", "/datastore/image?image=none", "/logs/?text=true"])
def test_every_reply_carries_careful_headers(raw: Callable[..., Any], path: str) -> None:
    _, headers, _ = raw("GET", path)
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors '" in headers["content-security-policy"]
    assert headers["referrer-policy"] in {"no-referrer", "same-origin"}
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert "access-control-allow-origin" not in headers
