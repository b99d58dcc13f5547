"""The routes of images under /datastore: uploads, what is told about an image, and what is refused."""

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

from .conftest import snapshot, submit


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

    def test_an_image_that_an_older_server_accepted_is_read(self, server: TestClient, app: Any, studies: Path) -> None:
        index = json.loads((studies / "datastore_v2.json").read_text(encoding="utf-8"))
        poison = {"strategy": "soon", "id": "other", "path": "/etc/passwd"}
        for item in index["objects"].values():
            item["image"]["info"].update(poison)
        index["objects"]["beta"]["image"]["info"]["strategy"] = {"random": {"ts": "x"}, "uniform_random": 4}
        (studies / "datastore_v2.json").write_text(json.dumps(index), encoding="utf-8")
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

    def test_a_request_for_a_refused_upload_gets_the_reason(self, server: TestClient, studies: Path) -> None:
        """A script that ignores the refusal still requests the image."""
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
            "ElementDataFile = two.raw\n",
            encoding="utf-8",
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
