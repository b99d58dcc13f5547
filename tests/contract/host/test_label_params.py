"""Parameters that come with a label are checked like later changes of them; the server's own keys are protected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from fastapi.testclient import TestClient

from medvlsam2.data.studies.studies_folder import StudiesFolder
from medvlsam2.errors import StorageFull

from .conftest import SHAPE

LIVER = [{"name": "liver", "idx": 1}]
ADDRESS = {"label": "alpha", "tag": "final"}


@pytest.fixture
def content(tmp_path: Path, affine: np.ndarray) -> bytes:
    nib.save(nib.Nifti1Image(np.ones(SHAPE, np.uint8), affine), tmp_path / "l.nii.gz")
    return (tmp_path / "l.nii.gz").read_bytes()


def tell(server: TestClient, content: bytes, door: str, told: dict[str, Any]) -> Any:
    """Send the parameters with the file, or for the label that is stored."""
    text = json.dumps(told)
    if door == "/datastore/label":
        files = {"label": ("l.nii.gz", content)}
        return server.put(door, params={"image": "alpha"}, data={"params": text}, files=files)
    field = "info" if door.endswith("/info") else "params"
    return server.put(door, params=ADDRESS, data={field: text})


def test_a_refusal_leaves_no_image_id_in_the_log(
    server: TestClient, studies: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        assert tell(server, content, "/datastore/label", {"label_info": [{"name": "liver", "idx": 9}] * 2}).is_error
    assert "was refused and kept aside" in caplog.text
    assert "alpha" not in "".join(record.getMessage() for record in caplog.records if "httpx" not in record.name)
    assert "alpha" in next((studies / ".refused").glob("*.told.json")).read_text(encoding="utf-8")


def test_neither_a_label_nor_a_next_sample_leaves_an_id_in_the_log(
    server: TestClient, content: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise StorageFull("There is no room on the disk.")

    with caplog.at_level("INFO"):
        assert tell(server, content, "/datastore/label", {"label_info": LIVER}).status_code == 200
        assert server.post("/activelearning/uniform_random").json()["id"] in {"beta", "gamma"}
        monkeypatch.setattr(StudiesFolder, "update_image_info", full)
        assert server.post("/activelearning/uniform_random").json()["id"] in {"beta", "gamma"}
    told = "\n".join(record.getMessage() for record in caplog.records if "httpx" not in record.name)
    for words in ("A label of image #", "Next sample by uniform_random", "cannot be noted"):
        assert words in told
    assert not any(name in told for name in ("alpha", "beta", "gamma"))


@pytest.mark.parametrize("door", ["/datastore/label", "/datastore/label/info", "/datastore/updatelabelinfo"])
def test_every_route_makes_the_same_checks(server: TestClient, studies: Path, content: bytes, door: str) -> None:
    good = {"label_info": LIVER, "model": "medvlsam2", "client_id": "ann"}
    assert tell(server, content, "/datastore/label", good).status_code == 200
    before = server.get("/datastore/label/info", params=ADDRESS).json()
    wrong = [
        {"params": []}, {"segmentationMeta": []}, {"id": "other"}, {"image": "beta"}, {"label": "beta"},
        {"client_id": []}, {"model": {"a": [1]}}, {"user": 5}, {"annotator": {}}, {"model_id": ["a"]},
        {"label_info": "liver"}, {f"k{number}": 1 for number in range(101)},
    ]  # fmt: skip
    for told in wrong:
        reply = tell(server, content, door, {"label_info": LIVER, **told})
        assert (next(iter(told)), reply.status_code) == (next(iter(told)), 422), reply.text
    assert server.get("/datastore/label/info", params=ADDRESS).json() == before
    if door == "/datastore/label":
        assert len(list((studies / ".refused").glob("*.told.json"))) == len(wrong)

    of_the_server = {
        "path": "/etc/passwd", "checksum": 5, "pacs": "in the PACS", "ts": 1, "name": "x", "warnings": ["w"],
        "submission": "s", "restored_from": 7,
    }  # fmt: skip
    meta = {"segmentationMeta": {"status": "approved"}, "params": {"label_names": {"liver": 1}}, "note": [1]}
    assert tell(server, content, door, {**good, **meta, **of_the_server}).status_code == 200
    after = server.get("/datastore/label/info", params=ADDRESS).json()
    assert {key: after.pop(key) for key in (*good, *meta)} == {**good, **meta}
    assert after.keys() == {"ts", "name"}
    assert (after["name"], after["ts"] > 1) == ("alpha.nii.gz", True)
