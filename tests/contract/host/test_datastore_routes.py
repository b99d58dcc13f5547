"""The routes under /datastore: what they take, what they refuse with which words, and what never changes."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from fastapi.testclient import TestClient

from .conftest import SHAPE

LIVER = [{"name": "liver", "idx": 1}]


@pytest.fixture
def label_bytes(tmp_path: Path, affine: np.ndarray) -> Any:
    """A label map on the scans' grid as a file: two organs at first, more planes as the number grows."""

    def make(planes: int = 1, value: int = 1, shape: tuple[int, int, int] = SHAPE, suffix: str = ".nii.gz") -> bytes:
        values = np.zeros(shape, np.uint8)
        values[:planes] = value
        path = tmp_path / f"made{suffix}"
        if suffix.endswith(".nrrd"):
            from medvlsam2.data.label_maps import write_label_map

            write_label_map(path, values, affine, {})
        else:
            nib.save(nib.Nifti1Image(values, affine), path)
        return path.read_bytes()

    return make


def submit(server: TestClient, content: bytes, info: Any = LIVER, name: str = "l.nii.gz", image: str = "alpha") -> Any:
    params = info if isinstance(info, str) else json.dumps({"label_info": info})
    files = {"label": (name, content)}
    return server.put("/datastore/label", params={"image": image}, data={"params": params}, files=files)


def names(server: TestClient, image: str = "alpha", tag: str = "final") -> list[str]:
    info = server.get("/datastore/label/info", params={"label": image, "tag": tag}).json()
    return [item["name"] for item in info["label_info"]]


def snapshot(studies: Path) -> dict[str, bytes]:
    """All that the server serves; what it keeps aside is hidden."""
    files = (path for path in studies.rglob("*") if path.is_file())
    shown = (path for path in files if not any(part.startswith(".") for part in path.relative_to(studies).parts))
    return {str(path.relative_to(studies)): path.read_bytes() for path in shown}


class TestSubmissions:
    def test_junk_is_refused_now_and_kept_aside(self, server: TestClient, studies: Path, label_bytes: Any) -> None:
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
        told = [json.loads(path.read_text()) for path in (studies / ".refused").glob("*.told.json")]
        assert {(item["image"], item["tag"]) for item in told} == {("alpha", "final")}
        assert all(item["reason"] for item in told)
        assert (studies / ".refused").stat().st_mode & 0o777 == 0o700
        assert list((studies / ".incoming").iterdir()) == []

    def test_what_is_told_is_bounded(self, server: TestClient, label_bytes: Any) -> None:
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

    def test_of_no_label(self, server: TestClient) -> None:
        for method in ("GET", "PUT"):
            reply = server.request(method, "/datastore/label/info?label=alpha&tag=final", data={"info": "{}"})
            assert (reply.status_code, "'alpha'" in reply.json()["detail"]) == (404, True)


class TestImageInfo:
    @pytest.mark.parametrize(
        "text",
        [
            "[1]",
            '"x"',
            "3",
            "true",
            '{"strategy": 5}',
            '{"strategy": {"random": 1}}',
            '{"strategy": {"random": {"ts": "x"}}}',
            '{"strategy": {"random": {"ts": 1, "client_id": [1]}}}',
            '{"id": "beta"}',
            '{"PatientID": 7}',
        ],
    )
    def test_other_types_are_refused_and_next_sample_goes_on(self, server: TestClient, text: str) -> None:
        reply = server.put("/datastore/image/info?image=alpha", data={"info": text})
        assert reply.status_code in {400, 422}, reply.text
        assert reply.json()["detail"].endswith(".")
        assert server.post("/activelearning/uniform_random").json()["id"] in {"alpha", "beta", "gamma"}

    def test_it_is_bounded(self, server: TestClient, studies: Path) -> None:
        for number in range(6):
            form = {"info": json.dumps({f"note {number}": "x" * 60_000})}
            reply = server.put("/datastore/image/info?image=alpha", data=form)
        assert (reply.status_code, "262144" in reply.json()["detail"]) == (422, True)
        many = {"info": json.dumps({str(number): 1 for number in range(101)})}
        assert server.put("/datastore/image/info?image=alpha", data=many).status_code == 422
        assert (studies / "datastore_v2.json").stat().st_size < 400_000

    def test_one_that_an_older_server_let_in_is_read(self, server: TestClient, app: Any, studies: Path) -> None:
        index = json.loads((studies / "datastore_v2.json").read_text())
        poison = {"strategy": "soon", "id": "other", "path": "/etc/passwd"}
        for item in index["objects"].values():
            item["image"]["info"].update(poison)
        index["objects"]["beta"]["image"]["info"]["strategy"] = {"random": {"ts": "x"}, "uniform_random": 4}
        (studies / "datastore_v2.json").write_text(json.dumps(index))
        for _ in range(6):
            sample = server.post("/activelearning/uniform_random").json()
            assert sample["id"] in {"alpha", "beta", "gamma"}
        assert "passwd" not in json.dumps(server.get("/datastore/image/info?image=alpha").json())


class TestImages:
    def test_a_scan_is_never_replaced(self, server: TestClient, studies: Path) -> None:
        before = snapshot(studies)
        other = (studies / "beta.nii.gz").read_bytes()
        for name in ("x.nii.gz", "x.nii", "x.nrrd"):
            reply = server.put("/datastore/image?image=alpha", files={"file": (name, other)})
            assert (reply.status_code, "'alpha' exists" in reply.json()["detail"]) == (409, True)
        assert server.put("/datastore/image", files={"file": ("alpha.nii.gz", other)}).status_code == 409
        assert snapshot(studies) == before

    def test_what_is_no_scan_is_refused_now(self, server: TestClient, studies: Path) -> None:
        before = snapshot(studies)
        header = b"ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_SHORT\nElementDataFile = s.raw\n"
        nrrd = (
            b"NRRD0004\ntype: uint8\ndimension: 3\nspace: RAS\nsizes: 4 4 4\nencoding: raw\nspace origin: (0,0,0)\n"
            b"space directions: (4,0,0) (0,4,0) (0,0,5)\nkinds: domain domain domain\ndata file: /etc/passwd\n"
        )
        whole = (studies / "beta.nii.gz").read_bytes()
        for name, content in {
            "a.nii.gz": b"<html>404</html>",
            "b.nii.gz": b"",
            "c.nii.gz": whole[: len(whole) // 2],
            "d.mhd": header,
            "e.nrrd": nrrd,
            "f.nii": b"\0" * 400,
        }.items():
            reply = server.put("/datastore/image", files={"file": (name, content)})
            assert (name, reply.status_code) == (name, 422), reply.text
        assert snapshot(studies) == before
        assert list((studies / ".incoming").iterdir()) == []

    def test_who_asks_for_a_refused_upload_gets_its_reason(self, server: TestClient, studies: Path) -> None:
        """A script that does not look at the refusal asks for the image all the same."""
        nrrd = b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 4 4\nencoding: raw\ndata file: /etc/passwd\n"
        refused = server.put("/datastore/image?image=elsewhere", files={"file": ("e.nrrd", nrrd)})
        for reply in (
            server.post("/infer/medvlsam2_semantic?image=elsewhere&output=json"),
            server.get("/datastore/image?image=elsewhere"),
        ):
            assert reply.status_code == refused.status_code == 422
            assert refused.json()["detail"][:200] in reply.json()["detail"]
            assert "root:" not in reply.text
        assert server.get("/datastore/image?image=elsewhere2").status_code == 404
        whole = (studies / "beta.nii.gz").read_bytes()
        assert server.put("/datastore/image?image=elsewhere", files={"file": ("e.nii.gz", whole)}).status_code == 200
        assert server.get("/datastore/image?image=elsewhere").content == whole

    @pytest.mark.parametrize("image_id", ["datastore_v2", "p.seg", "ALPHA"])
    def test_an_id_that_would_not_be_its_own_is_refused(self, server: TestClient, studies: Path, image_id: str) -> None:
        before = snapshot(studies)
        whole = (studies / "beta.nii.gz").read_bytes()
        name = "x.nrrd" if image_id == "p.seg" else "x.nii.gz"
        reply = server.put(f"/datastore/image?image={image_id}", files={"file": (name, whole)})
        assert (reply.status_code, "another id" in reply.json()["detail"]) == ({"ALPHA": 409}.get(image_id, 400), True)
        assert snapshot(studies) == before

    def test_an_upload_with_a_suffix_in_capitals(self, server: TestClient, studies: Path) -> None:
        whole = (studies / "beta.nii.gz").read_bytes()
        reply = server.put("/datastore/image", files={"file": ("NEW.NII.GZ", whole)})
        assert reply.json() == {"image": "NEW"}
        assert server.get("/datastore/image?image=NEW").content == whole

    def test_a_removed_image_goes_aside(self, server: TestClient, studies: Path) -> None:
        content = (studies / "beta.nii.gz").read_bytes()
        assert server.delete("/datastore/image?id=beta").status_code == 200
        assert "beta" not in server.get("/datastore/?output=all").json()["objects"]
        (kept,) = (studies / ".removed").glob("*-beta/beta.nii.gz")
        assert kept.read_bytes() == content

    def test_checksums(self, server: TestClient, studies: Path) -> None:
        digest = hashlib.sha256((studies / "alpha.nii.gz").read_bytes()).hexdigest()
        address = "/datastore/image?image=alpha&check_sum="
        assert server.head(address + digest).status_code == 200
        assert server.head(address + f"SHA256:{digest}").status_code == 200
        assert server.head(address + f"MD5:{digest}").status_code == 404
        assert server.head(address + "ROT13:x").status_code == 400
        assert server.head("/datastore/image?image=nobody").status_code == 404

    def test_a_scan_in_two_files_comes_as_one(
        self, server: TestClient, studies: Path, label_bytes: Any, tmp_path: Path
    ) -> None:
        hu = np.arange(4 * 5 * 6, dtype="<i2").reshape((4, 5, 6))
        (studies / "two.raw").write_bytes(hu.tobytes(order="F"))
        (studies / "two.mhd").write_text(
            "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nDimSize = 4 5 6\n"
            "ElementSpacing = 4 4 5\nOffset = 0 0 0\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nElementType = MET_SHORT\n"
            "ElementDataFile = two.raw\n"
        )
        assert server.get("/datastore/image/info?image=two").json()["name"] == "two.nii.gz"
        for image in ("alpha", "beta", "gamma"):
            submit(server, label_bytes(), image=image)
        sample = server.post("/activelearning/uniform_random").json()
        assert (sample["id"], sample["name"]) == ("two", "two.nii.gz")
        assert sample["path"] == "…/two.nii.gz", "no folder of the server, so that clients download the scan"
        for _ in range(2):
            reply = server.get("/datastore/image?image=two")
            assert 'filename="two.nii.gz"' in reply.headers["content-disposition"]
            (tmp_path / "got.nii.gz").write_bytes(reply.content)
            assert np.array_equal(np.asarray(nib.load(tmp_path / "got.nii.gz").dataobj), hu)
            submit(server, label_bytes())  # changes the folder
        assert len(list((studies / ".converted" / "two").iterdir())) == 1
        assert (studies / ".converted").stat().st_mode & 0o777 == 0o700

    def test_a_folder_of_links_to_scans(
        self, server: TestClient, studies: Path, label_bytes: Any, tmp_path: Path
    ) -> None:
        (studies / "alpha.nii.gz").rename(tmp_path / "elsewhere.nii.gz")
        (studies / "alpha.nii.gz").symlink_to(tmp_path / "elsewhere.nii.gz")
        assert submit(server, label_bytes()).status_code == 200
        expected = [{"image": "alpha.nii.gz", "label": "labels/final/alpha.nii.gz"}]
        assert server.get("/datastore/?output=train").json() == expected
        with zipfile.ZipFile(io.BytesIO(server.get("/datastore/dataset").content)) as archive:
            assert archive.read("image/alpha.nii.gz") == (tmp_path / "elsewhere.nii.gz").read_bytes()


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

    def test_nor_does_a_batch(self, app: Any, studies: Path, label_bytes: Any, server: TestClient) -> None:
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
    def test_what_is_left_out_is_told_once(
        self, server: TestClient, studies: Path, caplog: pytest.LogCaptureFixture, affine: np.ndarray
    ) -> None:
        (studies / "README").write_text("by hand")
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
