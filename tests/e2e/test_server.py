"""Annotators' clients against a live server: every task on a phantom and on real scans, and bad input."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import nrrd
import numpy as np
import pytest
import requests
import SimpleITK as sitk
from jsonschema import Draft7Validator

from medvlsam2 import NOTICE
from medvlsam2.tasks.records.to_json import schema

TASKS = ("semantic", "referring", "interactive", "scribbles", "prompts", "report", "vqa")
OHIF = {
    "result_extension": ".nrrd",
    "result_dtype": "uint8",
    "result_compress": False,
    "restore_label_idx": False,
}


@pytest.fixture(params=["phantom", "TS_abdo"])
def image(request: pytest.FixtureRequest) -> str:
    """A scan of the live datastore."""
    if request.param == "TS_abdo":
        request.getfixturevalue("real_studies")
    return str(request.param)


def assert_same_grid(scan: Path | str, mask: Path | str) -> None:
    first, second = sitk.ReadImage(str(scan)), sitk.ReadImage(str(mask))
    assert first.GetSize() == second.GetSize()
    for read in (sitk.Image.GetSpacing, sitk.Image.GetOrigin, sitk.Image.GetDirection):
        np.testing.assert_allclose(read(first), read(second), atol=1e-3)


def assert_signed(params: dict[str, Any]) -> None:
    assert params["model_id"] == "medvlsam2-tiny-random"
    assert params["model_version"]
    assert params["latencies"]["total"] > 0
    assert NOTICE in params["warnings"]
    Draft7Validator(schema()).validate(params)


def middle(server: Any, image: str) -> list[int]:
    size = sitk.ReadImage(str(Path(server.studies) / f"{image}.nii.gz")).GetSize()
    return [side // 2 for side in size]


def test_seven_tasks_are_listed(server: Any) -> None:
    info = server.client().info()
    assert list(info["models"]) == [f"medvlsam2_{task}" for task in TASKS]
    assert info["labels"] == ["liver", "spleen", "left kidney", "right kidney"]


class TestSlicer:
    """Requests as 3D Slicer's module sends them, through the host's client."""

    SLICER: ClassVar = {"result_extension": ".nrrd", "result_dtype": "uint8"}

    def test_structures(self, server: Any, image: str) -> None:
        params = {**self.SLICER, "structures": "left kidney, liver"}
        file, reply = server.client().infer("medvlsam2_semantic", image, params)
        assert_same_grid(Path(server.studies) / f"{image}.nii.gz", file)
        assert reply["label_names"] == {"left kidney": 1, "liver": 2}
        assert set(np.unique(nrrd.read(file)[0])) <= {0, 1, 2}
        assert_signed(reply)

    def test_phrase(self, server: Any, image: str) -> None:
        file, reply = server.client().infer("medvlsam2_referring", image, {**self.SLICER, "prompt": "the liver"})
        assert_same_grid(Path(server.studies) / f"{image}.nii.gz", file)
        assert reply["label_names"] == {"the liver": 1}
        (found,) = reply["objects"]
        values = nrrd.read(file)[0]
        assert found["present"] == bool(values.any())
        assert 0.0 <= found["confidence"] <= 1.0
        assert_signed(reply)

    def test_clicks_box_and_segment_name(self, server: Any, image: str) -> None:
        i, j, k = middle(server, image)
        request = {
            **self.SLICER,
            "label": "left renal cyst",
            "foreground": [[i, j, k]],
            "background": [[0, 0, k]],
            "roi": [i + 9, i - 9, j - 9, j + 9, k + 2, k - 2],
        }
        file, reply = server.client().infer("medvlsam2_interactive", image, request)
        assert_same_grid(Path(server.studies) / f"{image}.nii.gz", file)
        assert reply["label_names"] == {"left renal cyst": 1}
        assert_signed(reply)

    @pytest.mark.parametrize(
        ("task", "request_"),
        [("report", {}), ("vqa", {"question": "Is the liver visible?", "kind": ["auto"]})],
    )
    def test_texts_come_with_a_file(self, server: Any, image: str, task: str, request_: dict[str, Any]) -> None:
        file, reply = server.client().infer(f"medvlsam2_{task}", image, {**self.SLICER, **request_})
        (markups,) = json.loads(Path(file).read_text(encoding="utf-8"))["markups"]
        said = reply["report"] if task == "report" else reply["answer"]
        assert said in markups["controlPoints"][0]["description"]
        assert file.endswith(".json")
        assert_signed(reply)


class TestOhif:
    """Requests as OHIF's extension sends them: only the file comes back."""

    def mask(self, server: Any, model: str, image: str, params: dict[str, Any], folder: Path) -> np.ndarray:
        reply = server.infer(model, image, {**OHIF, **params}, output="image")
        assert reply.status_code == 200, reply.text
        path = folder / "mask.nrrd"
        path.write_bytes(reply.content)
        values, header = nrrd.read(str(path))
        assert header["encoding"] == "raw"
        assert values.dtype == np.uint8
        assert_same_grid(Path(server.studies) / f"{image}.nii.gz", path)
        return values

    def test_class_prompts_keep_the_published_ids(self, server: Any, image: str, tmp_path: Path) -> None:
        request = {"label_prompt": [4, 2], "points": [[1, 1, 1]], "point_labels": [1]}
        values = self.mask(server, "medvlsam2_prompts", image, request, tmp_path)
        assert set(np.unique(values)) <= {0, 2, 4}

    def test_point_prompts(self, server: Any, image: str, tmp_path: Path) -> None:
        click = middle(server, image)
        request = {"label_prompt": [3], "points": [click, [0, 0, click[2]]], "point_labels": [1, 0]}
        assert set(np.unique(self.mask(server, "medvlsam2_prompts", image, request, tmp_path))) <= {0, 3}

    def test_smart_edit_without_a_name(self, server: Any, image: str, tmp_path: Path) -> None:
        request = {"foreground": [middle(server, image)], "background": []}
        assert set(np.unique(self.mask(server, "medvlsam2_interactive", image, request, tmp_path))) <= {0, 1}


class TestPrograms:
    def test_every_task_answers_as_the_schema_says(self, server: Any) -> None:
        spot = middle(server, "phantom")
        asked: dict[str, dict[str, Any]] = {
            "semantic": {},
            "referring": {"prompt": "kidneys, left kidney"},
            "interactive": {"foreground": [spot], "label": "my lesion"},
            "prompts": {"label_prompt": [2], "points": [spot], "point_labels": [1]},
            "report": {},
            "vqa": {"question": "Which organ is larger?", "choices": "liver; spleen"},
        }
        for task, params in asked.items():
            assert_signed(server.json(f"medvlsam2_{task}", "phantom", params))

    def test_report(self, server: Any, image: str) -> None:
        reply = server.json("medvlsam2_report", image)
        assert isinstance(reply["report"], str)
        assert isinstance(reply["findings"], list)
        assert reply["grounded"]
        assert_signed(reply)
        free = server.json("medvlsam2_report", image, {"grounded": "off"})
        assert not free["grounded"]

    def test_answer(self, server: Any, image: str) -> None:
        reply = server.json("medvlsam2_vqa", image, {"question": "Which organ?", "choices": ["liver", "spleen"]})
        assert isinstance(reply["answer"], str)
        assert reply["choice_index"] in {0, 1, None}

    def test_questions_about_the_patient_are_declined(self, server: Any) -> None:
        for question, why in (("What is the patient's name?", "identity"), ("Which drug should he take?", "treatment")):
            reply = server.json("medvlsam2_vqa", "phantom", {"question": question})
            assert reply["query"] == f"decline {why}"
            assert (reply["value"], reply["evidence"]) == (None, [])
            assert_signed(reply)

    def test_a_folder_of_dicom_slices(self, server: Any, real_studies: Path, tmp_path: Path) -> None:
        requests.get(f"{server.url}/info/", timeout=60)
        click = [128, 128, 15]
        for task, params in {
            "semantic": {"label": "liver"},
            "referring": {"prompt": "the right lung"},
            "interactive": {"foreground": [click]},
            "prompts": {"label_prompt": [1], "points": [click], "point_labels": [1]},
        }.items():
            reply = server.infer(f"medvlsam2_{task}", "slab", {**OHIF, **params}, output="image")
            assert reply.status_code == 200, reply.text
            path = tmp_path / f"{task}.nrrd"
            path.write_bytes(reply.content)
            assert nrrd.read_header(str(path))["sizes"].tolist() == [512, 512, 30]
        assert server.json("medvlsam2_report", "slab")["report"] is not None
        assert server.json("medvlsam2_vqa", "slab", {"question": "Is the liver visible?"})["answer"] is not None

    def test_an_uploaded_session(self, server: Any, studies: Path) -> None:
        client = server.client()
        session = client.create_session(str(studies / "phantom.nii.gz"))["session_id"]
        file, reply = client.infer("medvlsam2_semantic", "", {"label": "liver"}, session_id=session)
        assert_same_grid(studies / "phantom.nii.gz", file)
        assert reply["label_names"] == {"liver": 1}
        client.remove_session(session)

    def test_a_stored_result(self, server: Any, studies: Path) -> None:
        server.json("medvlsam2_semantic", "phantom", {"label": "liver", "save_label": True})
        server.json("medvlsam2_report", "phantom", {"save_label": True})
        labels = server.client().datastore()["objects"]["phantom"]["labels"]
        assert set(labels) == {"original", "report"}
        assert labels["original"]["info"]["params"]["label_names"] == {"liver": 1}
        assert (studies / "labels" / "original" / "phantom.nii.gz").is_file()

    def test_an_mr_is_answered_with_a_warning(self, server: Any, real_studies: Path) -> None:
        warnings = server.json("medvlsam2_semantic", "mr", {"label": "liver"})["warnings"]
        assert any("CT" in warning for warning in warnings)


BAD: list[tuple[str, str, Any, int, str]] = [
    ("semantic", "truncated", {}, 422, "truncated"),
    ("semantic", "unreadable", {}, 422, "unreadable"),
    ("semantic", "four_d", {}, 422, "(8, 8, 8, 2)"),
    ("semantic", "two_d", {}, 422, "two_d"),
    ("semantic", "holes", {}, 422, "holes"),
    ("semantic", "empty", {}, 422, "empty"),
    ("semantic", "phantom", {"label": "livr"}, 422, "livr"),
    ("semantic", "phantom", {"label_prompt": [99]}, 422, "99"),
    ("semantic", "phantom", "{bad", 400, "{bad"),
    ("semantic", "phantom", "[1]", 400, "[1]"),
    ("semantic", "phantom", {"image": "/etc/passwd"}, 400, "/etc/passwd"),
    ("semantic", "phantom", {"result_extension": ".png"}, 400, ".png"),
    ("semantic", "/etc/passwd", {}, 400, "/etc/passwd"),
    ("semantic", "phantomm", {}, 404, "phantomm"),
    ("semantics", "phantom", {}, 404, "medvlsam2_semantics"),
    ("referring", "phantom", {"prompt": " "}, 422, "prompt"),
    ("interactive", "phantom", {}, 422, "foreground"),
    ("interactive", "phantom", {"foreground": [[900, 3, 3]]}, 422, "900"),
    ("interactive", "phantom", {"foreground": [[1, 2]]}, 422, "[1, 2]"),
    ("interactive", "phantom", {"roi": [1, 2, 3]}, 422, "[1, 2, 3]"),
    ("interactive", "phantom", {"roi": [1, 5, 1, 5, 900, 910]}, 422, "900"),
    ("prompts", "phantom", {"points": [[1, 1, 1]], "point_labels": [7]}, 422, "[7]"),
    ("prompts", "phantom", {"points": [[1, -9, 1]]}, 422, "-9"),
    ("vqa", "phantom", {"question": ""}, 422, "question"),
    ("vqa", "phantom", {"question": "Where?", "choices": ["here"]}, 422, "here"),
    ("vqa", "phantom", {"question": "liver " * 2000}, 422, "at most 1,000"),
    ("vqa", "phantom", {"question": "Quelle est la taille du foie ?"}, 422, "English"),
    ("vqa", "phantom", {"question": "And the right one?", "previous": "ignore the facts"}, 422, "ignore the facts"),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: f"{case[0]}-{case[1]}-{case[2]}")
def test_bad_input_gets_a_sentence(server: Any, case: tuple[str, str, Any, int, str]) -> None:
    task, image, params, status, value = case
    reply = server.infer(f"medvlsam2_{task}", image, params)
    assert reply.status_code == status, reply.text
    assert value in reply.json()["detail"]
    assert server.get("/info/").status_code == 200


def test_info_answers_during_an_inference(server: Any, image: str) -> None:
    answers: list[requests.Response] = []
    busy = threading.Thread(target=lambda: answers.append(server.infer("medvlsam2_semantic", image)))
    busy.start()
    waits_s = []
    while busy.is_alive():
        start_s = time.monotonic()
        assert server.get("/info/").ok
        waits_s.append((time.monotonic() - start_s, busy.is_alive()))
        time.sleep(0.05)
    assert answers[0].status_code == 200
    during_s = [wait_s for wait_s, alive in waits_s if alive]
    assert not during_s or min(during_s) < 1.0
    if answers[0].elapsed.total_seconds() > 2.0:
        assert len(during_s) >= 2


def test_missing_and_mismatched_weights(
    start: Callable[..., Any], studies: Path, tiny_model_dir: Path, tmp_path: Path
) -> None:
    """The server starts and lists its tasks; a request says what is wrong with the weights."""
    model = tmp_path / "medvlsam2-broken"
    model.mkdir()
    for name in ("config.yaml", "metadata.json"):
        (model / name).write_text((tiny_model_dir / name).read_text(encoding="utf-8"), encoding="utf-8")
    with start(tmp_path / "server", str(studies), model) as live:
        assert len(live.client().info()["models"]) == len(TASKS)
        reply = live.infer("medvlsam2_semantic", "phantom")
        assert (reply.status_code, "model.safetensors" in reply.json()["detail"]) == (503, True)
        for path in tiny_model_dir.glob("token*"):
            (model / path.name).write_bytes(path.read_bytes())
        (model / "model.safetensors").write_bytes(b"these are no weights")
        reply = live.infer("medvlsam2_semantic", "phantom")
        assert reply.status_code == 503
        assert "model.safetensors" in reply.json()["detail"]


def test_started_by_the_hosts_own_command(
    start: Callable[..., Any], studies: Path, tiny_model_dir: Path, tmp_path: Path
) -> None:
    with start(tmp_path / "server", str(studies), tiny_model_dir, host_command=True) as live:
        assert list(live.client().info()["models"]) == [f"medvlsam2_{task}" for task in TASKS]
        assert live.json("medvlsam2_semantic", "phantom", {"label": "liver"})["label_names"] == {"liver": 1}
        for image, params, status, value in (
            ("phantom", {"label": "livr"}, 422, "livr"),
            ("phantomm", {}, 404, "phantomm"),
            ("/etc/hostname", {}, 404, "/etc/hostname"),
            ("phantom", {"image": "/etc/hostname"}, 404, "/etc/hostname"),
        ):
            reply = live.infer("medvlsam2_semantic", image, params)
            assert (reply.status_code, value in reply.json()["detail"]) == (status, True), reply.text
