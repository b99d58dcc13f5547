"""The routes under /datastore: what they take, what they refuse with which words, and what never changes."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from fastapi.testclient import TestClient

from .conftest import LIVER, SHAPE, snapshot, submit


def names(server: TestClient, image: str = "alpha", tag: str = "final") -> list[str]:
    info = server.get("/datastore/label/info", params={"label": image, "tag": tag}).json()
    return [item["name"] for item in info["label_info"]]


class TestSubmissions:
    def test_an_unreadable_label_is_refused_and_kept_aside(
        self, server: TestClient, studies: Path, label_bytes: Any
    ) -> None:
        assert submit(server, label_bytes()).status_code == 200
        before = snapshot(studies)
        voxels = int(np.prod(SHAPE))
        refused = {
            "junk": ("x.nii.gz", b"not an image", LIVER),
            "no bytes": ("x.nii.gz", b"", LIVER),
            "short raw": ("x.bin", bytes(100), LIVER),
            "long raw": ("x.bin", b"\1" * (voxels + 1), LIVER),
            "other grid": ("x.nii.gz", label_bytes(shape=(4, 4, 3)), LIVER),
            "nothing painted": ("x.nii.gz", label_bytes(planes=0), LIVER),
            "a value without a name": ("x.nii.gz", label_bytes(value=3), LIVER),
            "a text as the final label": ("x.json", b"{}", LIVER),
            "two names of one value": ("x.nii.gz", label_bytes(), [*LIVER, {"name": "spleen", "idx": 1}]),
        }
        for what, (name, content, info) in refused.items():
            reply = submit(server, content, info, name)
            assert (what, reply.status_code) == (what, 422), reply.text
            assert "was not stored" in reply.json()["detail"], what
        assert snapshot(studies) == before
        assert server.get("/datastore/").json()["completed"] == 1
        kept = [path for path in (studies / ".refused").iterdir() if not path.name.endswith(".told.json")]
        assert {path.read_bytes() for path in kept} == {content for _, content, _ in refused.values()}
        told = [json.loads(path.read_text(encoding="utf-8")) for path in (studies / ".refused").glob("*.told.json")]
        assert {(item["image"], item["tag"]) for item in told} == {("alpha", "final")}
        assert all(item["reason"] for item in told)
        assert (studies / ".refused").stat().st_mode & 0o777 == 0o700
        assert list((studies / ".incoming").iterdir()) == []

    def test_the_size_of_label_params_is_bounded(self, server: TestClient, label_bytes: Any) -> None:
        params = json.dumps({"label_info": LIVER, "note": "x" * 300_000})
        reply = submit(server, label_bytes(), params)
        assert (reply.status_code, "262144" in reply.json()["detail"]) == (422, True)

    def test_nothing_is_counted_that_was_refused(self, server: TestClient, label_bytes: Any) -> None:
        assert submit(server, b"junk").status_code == 422
        assert server.get("/datastore/").json() == {"total": 3, "completed": 0, "label_tags": {}}
        assert server.get("/datastore/label?label=alpha&tag=final").status_code == 404

    @pytest.mark.parametrize(("params", "value"), [("{bad", "{bad"), ("[1]", "[1]"), ('"x"', '"x"'), ("7", "7")])
    def test_params_that_are_no_object(self, server: TestClient, label_bytes: Any, params: str, value: str) -> None:
        reply = submit(server, label_bytes(), params)
        assert (reply.status_code, value in reply.json()["detail"]) == (400, True)

    def test_raw_bytes_become_a_label_on_the_scans_grid(
        self, server: TestClient, studies: Path, affine: np.ndarray
    ) -> None:
        values = np.zeros(SHAPE, np.uint8)
        values[1, 2, 3] = 1
        assert submit(server, values.tobytes(order="F"), name="x.bin").status_code == 200
        stored = nib.load(studies / "labels" / "final" / "alpha.nii.gz")
        assert np.array_equal(np.asarray(stored.dataobj), values)
        assert np.allclose(stored.affine, affine, atol=1e-5)
        assert names(server) == ["liver"]

    def test_every_version_is_listed_fetched_and_restored(self, server: TestClient, label_bytes: Any) -> None:
        one, two = label_bytes(1), label_bytes(2, suffix=".nrrd")
        submit(server, one)
        submit(server, two, [{"name": "spleen", "idx": 1}], "l.nrrd")
        address = {"label": "alpha", "tag": "final"}
        listed = server.get("/datastore/label/versions", params=address).json()
        assert listed["current"] == 2
        assert [(v["version"], v["ext"], v["info"]["label_info"][0]["name"]) for v in listed["versions"]] == [
            (1, ".nii.gz", "liver"),
            (2, ".nrrd", "spleen"),
        ]
        assert server.get("/datastore/label", params=address).content == two
        first = server.get("/datastore/label/version", params={**address, "version": 1})
        assert (first.content, "alpha.nii.gz" in first.headers["content-disposition"]) == (one, True)
        restored = server.post("/datastore/label/restore", params={**address, "version": 1})
        assert (restored.status_code, restored.json()["current"]) == (200, 3)
        assert server.get("/datastore/label", params=address).content == one
        assert names(server) == ["liver"]
        for version in (0, 9, -1):
            reply = server.post("/datastore/label/restore", params={**address, "version": version})
            assert (reply.status_code, f"no version {version}" in reply.json()["detail"]) == (404, True)
        assert server.get("/datastore/label/versions?label=beta&tag=final").status_code == 404

    def test_a_label_that_is_taken_away_can_come_back(self, server: TestClient, label_bytes: Any) -> None:
        content = label_bytes()
        submit(server, content)
        assert server.delete("/datastore/label?id=alpha&tag=final").status_code == 200
        assert server.get("/datastore/").json()["completed"] == 0
        assert server.delete("/datastore/label?id=alpha&tag=final").status_code == 404
        assert server.post("/datastore/label/restore?label=alpha&tag=final&version=1").status_code == 200
        assert server.get("/datastore/label?label=alpha&tag=final").content == content
        assert names(server) == ["liver"]


class TestLabelInfo:
    @pytest.mark.parametrize("path", ["/datastore/label/info", "/datastore/updatelabelinfo"])
    def test_names_change_only_for_certain_ones_and_come_back(
        self, server: TestClient, label_bytes: Any, path: str
    ) -> None:
        submit(server, label_bytes())
        field = "info" if path.endswith("/info") else "params"
        address = {"label": "alpha", "tag": "final"}
        for wrong in ([], [{"name": "x", "idx": 9}, {"name": "y", "idx": 8}], "liver", [{"name": None, "idx": 1}], 3):
            form = {field: json.dumps({"label_info": wrong})}
            assert server.put(path, params=address, data=form).status_code == 422, wrong
            assert names(server) == ["liver"]
        form = {field: json.dumps({"label_info": [{"name": "spleen", "idx": 1}], "segmentationMeta": {"comment": "?"}})}
        assert server.put(path, params=address, data=form).status_code == 200
        assert names(server) == ["spleen"]
        server.post("/datastore/label/restore", params={**address, "version": 1})
        assert names(server) == ["liver"]

    @pytest.mark.parametrize("text", ["[1]", '"x"', '{"segmentationMeta": 4}', '{"params": []}', '{"label": "beta"}'])
    def test_other_types_are_refused(self, server: TestClient, label_bytes: Any, text: str) -> None:
        submit(server, label_bytes())
        reply = server.put("/datastore/label/info?label=alpha&tag=final", data={"info": text})
        assert reply.status_code in {400, 422}
        assert reply.json()["detail"].endswith(".")

    def test_info_of_a_missing_label_is_refused(self, server: TestClient) -> None:
        for method in ("GET", "PUT"):
            reply = server.request(method, "/datastore/label/info?label=alpha&tag=final", data={"info": "{}"})
            assert (reply.status_code, "'alpha'" in reply.json()["detail"]) == (404, True)


class TestArchive:
    def test_it_holds_the_labelled_images_and_leaves_nothing_behind(
        self, server: TestClient, studies: Path, label_bytes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(temporary))
        content = label_bytes()
        for image in ("alpha", "beta"):
            submit(server, content, image=image)
        (studies / "labels" / "final" / "beta.nii.gz").write_bytes(b"torn")
        reply = server.get("/datastore/dataset")
        assert reply.status_code == 200
        with zipfile.ZipFile(io.BytesIO(reply.content)) as archive:
            assert archive.testzip() is None
            assert sorted(archive.namelist()) == ["image/alpha.nii.gz", "label/alpha.nii.gz", "metadata.json"]
            assert archive.read("image/alpha.nii.gz") == (studies / "alpha.nii.gz").read_bytes()
            assert archive.read("label/alpha.nii.gz") == content
            metadata = json.loads(archive.read("metadata.json"))
        assert metadata["objects"]["alpha"]["labels"]["final"]["info"]["label_info"] == LIVER
        assert "'beta'" in metadata["left_out"][0]
        assert list(temporary.iterdir()) == []

    def test_nothing_labelled_is_a_sentence(self, server: TestClient, studies: Path) -> None:
        reply = server.get("/datastore/dataset")
        assert (reply.status_code, "no image has a final label" in reply.json()["detail"]) == (422, True)
        for limit in ("0", "-3"):
            assert server.get(f"/datastore/dataset?limit_cases={limit}").status_code == 400
        assert server.get("/datastore/dataset?limit_cases=many").status_code == 422


class TestModelResults:
    def test_they_never_touch_what_annotators_submitted(
        self, server: TestClient, studies: Path, label_bytes: Any, app: Any
    ) -> None:
        submit(server, label_bytes())
        before = snapshot(studies)
        params = json.dumps({"prompt": "liver", "save_label": True, "label_tag": "final"})
        reply = server.post("/infer/medvlsam2_referring?image=alpha", data={"params": params})
        assert (reply.status_code, "'final'" in reply.json()["detail"]) == (400, True)
        assert snapshot(studies) == before
        ok = json.dumps({"prompt": "liver", "save_label": True})
        assert server.post("/infer/medvlsam2_referring?image=alpha", data={"params": ok}).status_code == 200
        assert (studies / "labels" / "final" / "alpha.nii.gz").read_bytes() == label_bytes()
        assert (studies / "labels" / "original" / "alpha.nii.gz").is_file()

    def test_a_batch_does_not_touch_submitted_labels(
        self, app: Any, studies: Path, label_bytes: Any, server: TestClient
    ) -> None:
        from medvlsam2.errors import InvalidRequest

        submit(server, label_bytes())
        before = snapshot(studies)
        request = {"model": "medvlsam2_referring", "prompt": "liver", "images": "all", "label_tag": "final"}
        request |= {"device": "cpu", "multi_gpu": False, "max_workers": 1}
        with pytest.raises(Exception, match="'final'") as caught:
            app.batch_infer(request)
        assert isinstance(caught.value.__cause__, InvalidRequest)
        assert snapshot(studies) == before


class TestListing:
    def test_labels_left_out_of_an_export_are_listed_once(
        self, server: TestClient, studies: Path, caplog: pytest.LogCaptureFixture, affine: np.ndarray
    ) -> None:
        (studies / "README").write_text("by hand", encoding="utf-8")
        (studies / "._alpha.nii.gz").write_bytes(b"\0\5\26\7")
        (studies / ".DS_Store").write_bytes(b"x")
        (studies / "broken.nii.gz").write_bytes(b"")
        nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.int16), affine), studies / "alpha.nii")
        (studies / "beta.nii.gz").rename(studies / "BETA.NII.GZ")
        for _ in range(2):
            server.get("/datastore/image?image=nobody")
        assert sorted(server.get("/datastore/?output=all").json()["objects"]) == ["BETA", "alpha", "gamma"]
        told = [record.getMessage() for record in caplog.records if "Not among the studies" in record.getMessage()]
        assert sorted(text.split("'")[1] for text in told) == ["README", "alpha.nii", "broken.nii.gz"]
        assert server.get("/datastore/image?image=BETA").status_code == 200
        assert server.post("/infer/medvlsam2_referring?image=BETA", data={"params": '{"prompt": "liver"}'}).is_success
