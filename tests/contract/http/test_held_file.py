"""A label that is replaced or taken away while it is sent arrives whole, as it was when it was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.responses import Response
from fastapi.testclient import TestClient

from label_tasks.http.held_file import held_file

BEFORE = b"first" * 100_000


@pytest.mark.parametrize("change", ["replaced", "taken away", "nothing"])
def test_the_file_at_the_time_of_the_request_is_sent(tmp_path: Path, change: str) -> None:
    path = tmp_path / "label.nii.gz"
    path.write_bytes(BEFORE)
    app = FastAPI()

    @app.get("/label")
    def label() -> Response:
        reply = held_file(path, "application/octet-stream", path.name)
        if change == "replaced":
            (tmp_path / "other").write_bytes(b"second, shorter")
            (tmp_path / "other").replace(path)
        if change == "taken away":
            path.unlink()
        return reply

    got = TestClient(app).get("/label")
    assert got.content == BEFORE
    assert got.headers["content-length"] == str(len(BEFORE))
    assert got.headers["content-disposition"].endswith('filename="label.nii.gz"')
    if change != "taken away":
        assert TestClient(app).get("/label", headers={"Range": "bytes=0-4"}).status_code == 206


def test_a_removed_label_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(HTTPException) as refused:
        held_file(tmp_path / "label.nii.gz", "application/octet-stream", "x")
    assert refused.value.status_code == 404
