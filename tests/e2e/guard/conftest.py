"""One live server for attacks, with files and sockets to make them."""

from __future__ import annotations

import http.client
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nibabel as nib
import numpy as np
import pytest

SHAPE = (24, 20, 10)


@pytest.fixture(scope="package")
def scan_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small body in air, as NIfTI."""
    hu = np.full(SHAPE, -1000, np.int16)
    hu[4:20, 4:16] = 40
    hu[8:12, 6:10, 3:7] = 120
    path = tmp_path_factory.mktemp("scan") / "scan.nii.gz"
    nib.save(nib.Nifti1Image(hu, np.diag([-5.0, -5.0, 6.0, 1.0])), path)
    return path.read_bytes()


@pytest.fixture(scope="package")
def target(
    start: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, scan_bytes: bytes, tiny_model_dir: Path
) -> Iterator[Any]:
    """A server with four scans of one content."""
    folder = tmp_path_factory.mktemp("guard")
    studies = folder / "studies"
    studies.mkdir()
    for number in range(4):
        (studies / f"copy{number}.nii.gz").write_bytes(scan_bytes)
    temporary = folder / "tmp"
    temporary.mkdir()
    with start(folder / "server", str(studies), tiny_model_dir, TMPDIR=str(temporary)) as live:
        yield live


@pytest.fixture
def raw(target: Any) -> Callable[..., tuple[int, dict[str, str], str]]:
    """Send a request whose headers are all set by the test."""

    def ask(
        method: str, path: str, headers: dict[str, str] | None = None, body: Any = None
    ) -> tuple[int, dict[str, str], str]:
        place = urlsplit(target.url)
        connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=120)
        try:
            connection.putrequest(method, path, skip_host="Host" in (headers or {}))
            chunked = body is not None and not isinstance(body, bytes)
            given = {**(headers or {}), **({"Transfer-Encoding": "chunked"} if chunked else {})}
            if isinstance(body, bytes):
                given.setdefault("Content-Length", str(len(body)))
            for name, value in given.items():
                connection.putheader(name, value)
            connection.endheaders()
            if isinstance(body, bytes):
                connection.send(body)
            elif chunked:
                for part in body:
                    connection.send(b"%x\r\n%s\r\n" % (len(part), part))
                connection.send(b"0\r\n\r\n")
            reply = connection.getresponse()
            return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read().decode("utf-8", "replace")
        finally:
            connection.close()

    return ask


@pytest.fixture
def zipped() -> Callable[..., bytes]:
    """A zip archive of names and contents."""

    def pack(members: dict[str, bytes], *, attributes: int = 0, method: int = zipfile.ZIP_DEFLATED) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                member = zipfile.ZipInfo(name)
                member.compress_type = method
                member.external_attr = attributes << 16
                archive.writestr(member, data)
        return buffer.getvalue()

    return pack


def detail(text: str) -> str:
    """The sentence of a refusal."""
    return str(json.loads(text)["detail"])
