"""The server around the app: what it refuses, and with which words."""

from __future__ import annotations

import http.cookiejar
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from fastapi.testclient import TestClient

from label_tasks.infer import mask_task, text
from label_tasks.server import build

from .conftest import SHAPE, fake_segment


class TestServer:
    def test_params_and_file_reach_slicer_together(self, server: TestClient) -> None:
        reply = server.post("/infer/medvlsam2_report?image=alpha", data={"params": "{}"})
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("multipart/form-data")
        assert b"Liver normal." in reply.content

    def test_a_mask_alone_tells_its_warnings_in_a_header(self, server: TestClient) -> None:
        """OHIF requests the mask alone, so without the header its annotators would not see warnings."""
        params = json.dumps({"label_prompt": [1], "restore_label_idx": False})
        reply = server.post("/infer/medvlsam2_prompts?image=alpha&output=image", data={"params": params})
        assert reply.status_code == 200
        assert json.loads(reply.headers["Medvlsam2-Warnings"]) == ["seen once"]

    @pytest.mark.parametrize(
        "case",
        [
            ("POST", "/infer/medvlsam2_report?image=alpha", {"params": "{bad"}, 400, "{bad"),
            (
                "POST",
                "/infer/medvlsam2_report?image=alpha",
                {"params": '{"image": "/etc/passwd"}'},
                400,
                "passwd",
            ),
            ("POST", "/infer/medvlsam2_report?image=/etc/passwd", {"params": "{}"}, 400, "/etc/passwd"),
            ("POST", "/infer/medvlsam2_report?image=alfa", {"params": "{}"}, 404, "'alfa'"),
            ("POST", "/infer/medvlsam2_reporter?image=alpha", {"params": "{}"}, 404, "medvlsam2_reporter"),
            ("POST", "/infer/medvlsam2_report?session_id=gone", {"params": "{}"}, 404, "'gone'"),
            ("POST", "/infer/medvlsam2_referring?image=alpha", {"params": "{}"}, 422, "'prompt'"),
            ("POST", "/activelearning/randon", None, 404, "'randon'"),
            ("GET", "/datastore/label?label=alpha&tag=../../x", None, 400, "../../x"),
            ("GET", "/datastore/label/info?label=../x&tag=final", None, 400, "../x"),
            ("DELETE", "/datastore/image?id=delta", None, 404, "delta"),
        ],
    )
    def test_refusals_are_json_with_a_sentence(
        self, server: TestClient, case: tuple[str, str, dict[str, str] | None, int, str]
    ) -> None:
        method, path, form, status, value = case
        reply = server.request(method, path, data=form)
        assert reply.status_code == status
        assert value in reply.json()["detail"]
        assert reply.json()["detail"].endswith(".")

    @pytest.mark.parametrize(
        ("path", "field", "filename"),
        [
            ("/datastore/image?image=../escaped", "file", "x.nii.gz"),
            ("/datastore/image?image=escaped", "file", "x.py"),
            ("/datastore/label?image=alpha&tag=../../outside", "label", "x.nii.gz"),
            ("/datastore/label?image=alpha&tag=final", "label", "x.sh"),
        ],
    )
    def test_nothing_is_written_outside_of_the_studies(
        self, server: TestClient, studies: Path, path: str, field: str, filename: str
    ) -> None:
        before = sorted(studies.parent.rglob("*"))
        reply = server.put(path, data={"params": "{}"}, files={field: (filename, b"content")})
        assert reply.status_code == 400
        assert sorted(studies.parent.rglob("*")) == before

    def test_a_session_unpacks_no_archive_that_could_write_elsewhere(self, server: TestClient) -> None:
        reply = server.put("/session/?uncompress=true", files={"files": ("slices.tar", b"content")})
        assert (reply.status_code, "'slices.tar'" in reply.json()["detail"]) == (400, True)

    def test_an_image_is_uploaded_and_a_label_submitted(
        self, server: TestClient, studies: Path, affine: np.ndarray, tmp_path: Path
    ) -> None:
        scan = (studies / "beta.nii.gz").read_bytes()
        reply = server.put("/datastore/image?image=delta", files={"file": ("d.nii.gz", scan)})
        assert reply.json() == {"image": "delta"}
        nib.save(nib.Nifti1Image(np.ones(SHAPE, np.uint8), affine), tmp_path / "label.nii.gz")
        label = (tmp_path / "label.nii.gz").read_bytes()
        named = {"params": '{"label_info": [{"name": "liver", "idx": 1}]}'}
        reply = server.put("/datastore/label?image=delta", files={"label": ("d.nii.gz", label)}, data=named)
        assert reply.json() == {"image": "delta", "label": "delta"}
        assert server.get("/datastore/").json()["completed"] == 1

    def test_an_id_is_the_datastores_whatever_lies_in_the_working_directory(
        self, server: TestClient, affine: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The host uses an id as a path if such a file exists, and would answer about another scan."""
        seen: list[tuple[int, ...]] = []

        def note(engine: Any, volume: Any, *given: Any, **named: Any) -> Any:
            seen.append(volume.shape_ijk)
            return fake_segment(engine, volume, *given, **named)

        monkeypatch.setattr(mask_task, "segment", note)
        other = tmp_path / "started_here"
        (other / "alpha").mkdir(parents=True)
        nib.save(
            nib.Nifti1Image(np.arange(7**3, dtype=np.int16).reshape(7, 7, 7), affine), other / "alpha" / "a.nii.gz"
        )
        (other / "beta").touch()
        monkeypatch.chdir(other)
        for image in ("alpha", "beta"):
            form = {"params": '{"prompt": "liver"}'}
            assert server.post(f"/infer/medvlsam2_referring?image={image}", data=form).status_code == 200
        assert seen == [SHAPE, SHAPE]

    def test_clients_are_identified_by_cookie_or_by_address_and_name(
        self, app: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        owners: list[tuple[str, str]] = []

        def note(*given: Any, owner: tuple[str, str], **_: Any) -> Any:
            owners.append(owner)
            return fake_segment(*given)

        def asked(client: TestClient, image: str = "alpha", **params: str | None) -> tuple[str, str]:
            form = {"params": json.dumps({"prompt": "liver", **params})}
            assert client.post(f"/infer/medvlsam2_referring?image={image}", data=form).status_code == 200
            return owners[-1]

        monkeypatch.setattr(mask_task, "segment", note)

        def program(address: str) -> TestClient:
            client = TestClient(build(), client=(address, 50000))
            client.cookies.jar.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
            return client

        first = asked(program("10.0.0.1"))
        assert first == asked(program("10.0.0.1"), client_id=None)
        assert first != asked(program("10.0.0.2"))
        assert first[0] == asked(program("10.0.0.1"), "beta")[0]
        assert first[1] != asked(program("10.0.0.1"), "beta")[1]
        named = asked(program("10.0.0.1"), client_id="ann")
        assert named != first
        assert named != asked(program("10.0.0.2"), client_id="ann")
        browsers = [TestClient(build(), client=("10.0.0.1", 50000)) for _ in range(2)]
        for browser in browsers:
            browser.get("/info/")
        seen = [asked(browser, client_id="ann") for browser in browsers]
        assert len({named, *seen}) == 3
        assert seen == [asked(browser, client_id="ann") for browser in browsers]

    def test_routes_of_the_host_that_stay_closed(self, server: TestClient) -> None:
        assert server.post("/reload").status_code == 404
        assert server.put("/model/medvlsam2_report").status_code == 404
        allowed = server.get("/info/", headers={"Origin": "http://elsewhere.example"}).headers
        assert "access-control-allow-origin" not in allowed

    def test_a_bug_is_reported_without_its_details(self, server: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(text.converse, "report", lambda *_, **__: {}["secret"])
        reply = server.post("/infer/medvlsam2_report?image=alpha", data={"params": "{}"})
        assert reply.status_code == 500
        assert "KeyError" in reply.json()["detail"]
        assert "secret" not in reply.json()["detail"]


def test_the_hosts_own_server_takes_no_folder_of_code(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host adds ``bundle_path`` to the import path of the process, so the app replaces the value of the request."""
    from monailabel.utils.async_tasks import task

    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(task, "run_background_task", lambda request, _: asked.append(request))
    for method in ("train", "batch_infer", "scoring"):
        task.AsyncTask.run(method, request={"model": "medvlsam2_report"}, params={"bundle_path": "/tmp/evil"})
    assert [request["bundle_path"] for request in asked] == [str(app.app_dir)] * 3
