"""Too large bodies, archives, numbers and names are refused with a sentence, and the server is unchanged."""

from __future__ import annotations

import json
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
import requests

from .conftest import SHAPE, detail

MIB = 2**20


def memory_bytes(target: Any) -> int:
    """Return the memory of the server process, which is found by its port."""
    port = int(target.url.rsplit(":", 1)[1])
    for process in psutil.process_iter():
        try:
            if any(c.status == "LISTEN" and c.laddr.port == port for c in process.net_connections()):
                return int(process.memory_info().rss)
        except psutil.Error:
            continue
    pytest.fail("The server's process was not found")


def parts(size_mib: int) -> Iterator[bytes]:
    for _ in range(size_mib):
        yield b"9" * MIB


@pytest.mark.parametrize("path", ["/train/medvlsam2_finetune", "/activelearning/random", "/infer/medvlsam2_report"])
def test_a_long_body_is_refused_while_it_arrives(raw: Callable[..., Any], target: Any, path: str) -> None:
    before = memory_bytes(target)
    form = "application/x-www-form-urlencoded"
    for content_type in (form,) if path.startswith("/infer/") else ("application/json", form):
        headers = {"Content-Type": content_type}
        status, _, body = raw("POST", path, headers, parts(60))
        assert (status, "B" in detail(body)) == (413, True)
        status, _, body = raw("POST", path, headers, b"9" * (60 * MIB))
        assert status == 413
    assert memory_bytes(target) - before < 100 * MIB
    assert target.log.stat().st_size < 5 * MIB


def test_a_length_that_is_told_is_refused_at_once(raw: Callable[..., Any]) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(10**12)}
    status, _, body = raw("PUT", "/session/", headers)
    assert (status, "MiB" in detail(body)) == (413, True)


def test_a_long_field_is_refused(target: Any) -> None:
    files = {"params": (None, "9" * (2 * MIB)), "x": (None, "1")}
    reply = requests.post(f"{target.url}/infer/medvlsam2_report?image=copy0", files=files, timeout=60)
    assert reply.status_code == 413
    many = [("files", (f"{n}.dcm", b"1")) for n in range(600)]
    assert requests.put(f"{target.url}/session/", files=many, timeout=60).status_code == 413


DEEP = '{"a":' * 5000 + "1" + "}" * 5000
HUGE = "1" + "0" * 400
BAD_JSON = {
    "deep": DEEP,
    "deep list": '{"foreground": ' + "[" * 5000 + "]" * 5000 + "}",
    "long number": '{"foreground": [[' + HUGE + ", 1, 1]]}",
    "longer number": '{"roi": [' + "1" + "0" * 6000 + ", 1, 1, 1, 1, 1]}",
    "long fraction": '{"roi": [1e999, 1, 1, 1, 1, 1]}',
    "surrogate": '{"prompt": "\\ud800"}',
    "surrogate key": '{"\\udfff": 1}',
    "NaN": '{"foreground": [[NaN, 1, 1]]}',
    "-Infinity": '{"foreground": [[-Infinity, 1, 1]]}',
    "twice": '{"prompt": "liver", "prompt": "spleen"}',
    "list": "[1]",
    "text": '"liver"',
    "broken": "{bad",
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_json_that_no_reader_agrees_on(target: Any, name: str) -> None:
    text = BAD_JSON[name]
    for reply in (
        target.infer("medvlsam2_interactive", "copy0", text),
        requests.post(f"{target.url}/train/medvlsam2_finetune", data=text.encode(), timeout=60),
        requests.post(f"{target.url}/activelearning/random", data=text.encode(), timeout=60),
        requests.post(f"{target.url}/batch/infer/medvlsam2_report", data=text.encode(), timeout=60),
    ):
        assert reply.status_code in {400, 422}, reply.text
        assert reply.json()["detail"].endswith(".")
        assert len(reply.text) < 1000


def bomb(size_mib: int) -> bytes:
    return b"\0" * (size_mib * MIB)


@pytest.mark.parametrize(
    "name", ["big", "link", "up", "absolute", "drive", "many", "lies", "no zip", "encrypted", "lzma"]
)
def test_archives_that_are_traps(
    target: Any, zipped: Callable[..., bytes], scan_bytes: bytes, name: str, tmp_path: Path
) -> None:
    content = {
        "big": lambda: zipped({"scan.raw": bomb(300)}),
        "link": lambda: zipped({"scan.nii.gz": b"/etc/passwd"}, attributes=stat.S_IFLNK | 0o777),
        "up": lambda: zipped({"../../escaped.nii.gz": scan_bytes}),
        "absolute": lambda: zipped({"/tmp/escaped.nii.gz": scan_bytes}),
        "drive": lambda: zipped({"C:\\escaped.nii.gz": scan_bytes}),
        "many": lambda: zipped({f"{n}.dcm": b"" for n in range(10_001)}),
        "lies": lambda: lying(zipped({"scan.nii.gz": scan_bytes})),
        "no zip": lambda: b"PK no archive at all",
        "lzma": lambda: zipped({"scan.nii.gz": scan_bytes}, method=zipfile.ZIP_LZMA),
        "encrypted": lambda: flagged(zipped({"scan.nii.gz": scan_bytes})),
    }[name]()
    files = {"files": ("s.zip", content)}
    reply = requests.put(f"{target.url}/session/", params={"uncompress": "true"}, files=files, timeout=120)
    assert reply.status_code in {400, 413, 422}, reply.text
    assert reply.json()["detail"].endswith(".")
    assert not list(Path(target.folder).parent.rglob("*escaped*"))
    assert left_over(target) == []


def test_several_archives_are_refused(target: Any, zipped: Callable[..., bytes], scan_bytes: bytes) -> None:
    """Each archive alone would stay below the limits."""
    files = [("files", (f"{n}.zip", zipped({f"{n}.nii.gz": scan_bytes}))) for n in range(3)]
    reply = requests.put(f"{target.url}/session/", files=files, timeout=60)
    assert (reply.status_code, "alone" in reply.json()["detail"]) == (400, True)


def lying(archive: bytes) -> bytes:
    """Return the archive with a table of contents that claims another size and checksum."""
    at = archive.index(b"PK\x01\x02")
    return archive[: at + 16] + struct.pack("<III", zlib.crc32(b""), 5, 5) + archive[at + 28 :]


def flagged(archive: bytes) -> bytes:
    at = archive.index(b"PK\x01\x02")
    return archive[: at + 8] + struct.pack("<H", 1) + archive[at + 10 :]


def left_over(target: Any) -> list[str]:
    """Return the files of uploads in the temporary folder, without the server's own folder and lock."""
    temporary = Path(target.folder).parent / "tmp"
    return [
        str(path)
        for path in temporary.rglob("*")
        if path.is_file() and path.name != "in-use" and not path.name.endswith(".json")
    ]


def test_uploads_are_private_and_leave_nothing(target: Any, scan_bytes: bytes) -> None:
    reply = requests.post(
        f"{target.url}/infer/medvlsam2_referring?output=json",
        files={"file": ("SCAN.NII.GZ", scan_bytes)},
        data={"params": '{"prompt": "liver"}'},
        timeout=120,
    )
    assert reply.status_code == 200, reply.text
    damaged = requests.post(
        f"{target.url}/infer/medvlsam2_referring", files={"file": ("s.nii.gz", scan_bytes[:200])}, timeout=60
    )
    assert damaged.status_code in {400, 422}
    assert left_over(target) == []
    temporary = Path(target.folder).parent / "tmp"
    assert [stat.S_IMODE(path.stat().st_mode) for path in temporary.iterdir() if path.is_dir()] == [0o700]


def test_strokes_of_a_wrong_size_are_refused(target: Any) -> None:
    voxels = SHAPE[0] * SHAPE[1] * SHAPE[2]
    for size in (0, 1, voxels - 1, voxels + 1, 2 * voxels):
        reply = requests.post(
            f"{target.url}/infer/medvlsam2_scribbles?image=copy0",
            files={"label": ("strokes.bin", bytes(size))},
            data={"params": json.dumps({"label_info": [{"name": "foreground_scribbles", "id": 1}]})},
            timeout=60,
        )
        assert (reply.status_code in {400, 422}, str(size) in reply.json()["detail"]) == (True, True), reply.text


BAD_NAMES = ["a\nb", "p1\0", "\u202ecba", "a\u200bb", "..", "../x", "a/b", "a\\b", " a", "x" * 300, "ä" * 150, ".x"]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_wrong_names_are_refused(raw: Callable[..., Any], scan_bytes: bytes, target: Any, name: str) -> None:
    there = quote(name, safe="")
    for method, path in (
        ("GET", f"/datastore/image?image={there}"),
        ("GET", f"/datastore/label?label={there}&tag=final"),
        ("DELETE", f"/datastore/image?id={there}"),
        ("POST", f"/infer/medvlsam2_report?image={there}"),
        ("GET", f"/session/{there}"),
        ("DELETE", f"/session/{there}"),
        ("GET", f"/datastore/label?label=copy0&tag={there}"),
        ("POST", f"/train/{there}"),
        ("POST", f"/activelearning/{there}"),
        ("POST", f"/scoring/{there}"),
        ("POST", f"/batch/infer/{there}"),
        ("POST", f"/infer/{there}?image=copy0"),
    ):
        status, _, body = raw(method, path, {}, b"" if method == "POST" else None)
        assert status in {400, 404, 405, 422}, (method, path, status, body)
        assert "detail" in json.loads(body)
    reply = requests.put(
        f"{target.url}/datastore/image?image={there}", files={"file": ("s.nii.gz", scan_bytes)}, timeout=60
    )
    assert reply.status_code == 400


@pytest.mark.parametrize("tag", ["final\n", "final ", "", "a" * 65, "fin/al", "-final"])
def test_wrong_tags_are_refused(raw: Callable[..., Any], tag: str) -> None:
    params = json.dumps({"save_label": True, "label_tag": tag})
    body = f"params={quote(params)}".encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    status, _, text = raw("POST", "/infer/medvlsam2_semantic?image=copy0&output=json", headers, body)
    assert (status, "tag" in detail(text)) == (400, True)


def test_the_models_results_never_become_final(target: Any) -> None:
    reply = target.infer("medvlsam2_semantic", "copy1", {"save_label": True, "label_tag": "final"})
    assert (reply.status_code, "final" in reply.json()["detail"]) == (400, True)


@pytest.mark.parametrize("path", ["/logs/gpu", "/session/%2e%2e", "/session/none", "/logs/?lines=-5", "/logs/?lines=x"])
def test_no_bare_errors(raw: Callable[..., Any], path: str) -> None:
    status, _, body = raw("GET", path)
    assert status == 200 or (status < 500 and detail(body).endswith("."))


def test_the_log_tells_no_path_and_no_words(target: Any) -> None:
    target.infer("medvlsam2_referring", "copy0", {"prompt": "Mrs Secret's liver"})
    text = target.get("/logs/?text=true&html=false").text
    assert str(target.folder.parent) not in text
    assert "Secret" not in text
    assert "Secret" not in target.log.read_text(encoding="utf-8")
