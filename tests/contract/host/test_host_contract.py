"""Facts about the host, each as a test: it finds our app, and our app answers as its two viewers expect."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import monailabel.interfaces.utils.app as host
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
from fastapi import HTTPException
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp

from label_tasks.failures import errors_as_http
from label_tasks.infer import mask_task
from medvlsam2 import NOTICE, errors
from medvlsam2.tasks.answers.results import ObjectResult
from medvlsam2.tasks.segment import Segmentation, segment

APP_DIR = Path(__file__).resolve().parents[3] / "apps" / "medvlsam2"
SHAPE = (5, 7, 9)
TASKS = {
    "medvlsam2_semantic": "segmentation",
    "medvlsam2_referring": "segmentation",
    "medvlsam2_interactive": "deepgrow",
    "medvlsam2_scribbles": "scribbles",
    "medvlsam2_prompts": "vista3d",
    "medvlsam2_report": "segmentation",
    "medvlsam2_vqa": "segmentation",
}
OHIF = {
    "result_extension": ".nrrd",
    "result_dtype": "uint8",
    "result_compress": False,
    "restore_label_idx": False,
}
Ask = Callable[..., dict[str, Any]]


class TestWhatTheHostLists:
    def test_seven_tasks_under_types_that_the_viewers_show(self, app: MONAILabelApp) -> None:
        models = app.info()["models"]
        assert {name: model["type"] for name, model in models.items()} == TASKS
        assert all(model["dimension"] == 3 for model in models.values())

    def test_labels_are_contiguous_and_hold_no_background(self, app: MONAILabelApp) -> None:
        for name in ("medvlsam2_semantic", "medvlsam2_prompts"):
            labels = app.info()["models"][name]["labels"]
            assert list(labels.values()) == list(range(1, len(labels) + 1))
            assert "background" not in labels
        assert list(labels) == ["liver", "spleen", "left kidney", "right kidney"]

    def test_options_are_of_kinds_that_both_viewers_can_show(self, app: MONAILabelApp) -> None:
        for model in app.info()["models"].values():
            for key, value in model["config"].items():
                assert key not in {"label", "foreground", "background", "roi", "slice"}
                if isinstance(value, list):
                    assert value
                    assert all(isinstance(item, str) for item in value)
                else:
                    assert isinstance(value, bool | str | int | float)

    def test_trainer_and_strategies(self, app: MONAILabelApp) -> None:
        info = app.info()
        assert list(info["trainers"]) == ["medvlsam2_finetune"]
        assert set(info["strategies"]) == {"medvlsam2_value", "random", "uniform_random"}
        assert info["strategies"]["random"] == info["strategies"]["medvlsam2_value"]

    def test_building_needs_no_weights_and_may_be_repeated(self, app: MONAILabelApp, studies: Path) -> None:
        host.clear_cache()
        again = host.app_instance(str(APP_DIR), str(studies), app.conf)
        assert again is not app
        assert again.info()["models"] == app.info()["models"]

    @pytest.mark.parametrize(("tta", "across"), [("none", False), ("axes", True)])
    def test_coronal_slices_are_looked_at_where_asked(
        self, app: MONAILabelApp, studies: Path, tta: str, across: bool
    ) -> None:
        host.clear_cache()
        again = host.app_instance(str(APP_DIR), str(studies), {**app.conf, "tta": tta})
        assert {task._engine.uses_coronal_views for task in again._infers.values()} == {across}

    def test_a_wrong_conf_key_stops_the_start_with_a_sentence(self, app: MONAILabelApp, studies: Path) -> None:
        host.clear_cache()
        with pytest.raises(errors.InvalidConfig, match=r"'devise'. Did you mean device"):
            host.app_instance(str(APP_DIR), str(studies), {"devise": "cpu"})

    def test_a_model_that_is_not_there_stops_the_start(self, app: MONAILabelApp, studies: Path) -> None:
        host.clear_cache()
        with pytest.raises(errors.MissingCheckpoint, match=r"'nanoo' is neither a model"):
            host.app_instance(str(APP_DIR), str(studies), {"model": "nanoo"})

    def test_a_device_that_is_not_there_stops_the_start(self, app: MONAILabelApp, studies: Path) -> None:
        host.clear_cache()
        with pytest.raises(errors.InvalidConfig, match=r"'tpu'"):
            host.app_instance(str(APP_DIR), str(studies), {**app.conf, "device": "tpu"})

    def test_nothing_is_downloaded_at_start(
        self, app: MONAILabelApp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """The host fetches a program at the first start with a PACS; here the PACS need not even answer."""
        monkeypatch.setattr("monailabel.interfaces.app.download_and_extract", pytest.fail)
        monkeypatch.setattr(settings, "MONAI_LABEL_DICOMWEB_CACHE_PATH", str(tmp_path / "cache"))
        host.clear_cache()
        pacs = host.app_instance(str(APP_DIR), "http://127.0.0.1:9/dicom-web", app.conf)
        assert pacs.info()["datastore"]["total"] == 0
        assert settings.MONAI_LABEL_AUTO_UPDATE_SCORING is False

    def test_a_folder_of_dicom_is_one_image(self, app: MONAILabelApp, studies: Path) -> None:
        folder = studies / "1.2.840.7"
        folder.mkdir()
        (folder / "1.dcm").write_bytes(bytes(128) + b"DICM")
        (studies / "notes").mkdir()
        app.datastore().refresh()
        assert sorted(app.datastore().list_images()) == ["1.2.840.7", "alpha", "beta", "gamma"]
        assert app.datastore().get_image_uri("1.2.840.7") == str(folder)


class TestMasks:
    def test_ohif_gets_raw_uint8_nrrd_on_the_grid_of_the_scan(self, ask: Ask, studies: Path) -> None:
        result = ask("medvlsam2_semantic", label_prompt=[2, 4], **OHIF)
        values, header = nrrd.read(result["file"])
        assert (header["type"], header["encoding"]) in {("unsigned char", "raw"), ("uint8", "raw")}
        assert values.shape == SHAPE
        assert [int(values[n, 0, 0]) for n in range(4)] == [0, 2, 4, 0]
        scan, mask = (sitk.ReadImage(str(path)) for path in (studies / "alpha.nii.gz", result["file"]))
        assert scan.GetSize() == mask.GetSize()
        for read in (sitk.Image.GetSpacing, sitk.Image.GetOrigin, sitk.Image.GetDirection):
            np.testing.assert_allclose(read(scan), read(mask), atol=1e-4)

    def test_slicer_gets_the_names_in_the_order_of_values_and_no_others(self, ask: Ask) -> None:
        params = ask("medvlsam2_semantic", label=["right kidney", "liver"])["params"]
        assert params["label_names"] == {"right kidney": 1, "liver": 2}

    def test_every_reply_names_the_model_and_the_time(self, ask: Ask) -> None:
        requests = {
            "medvlsam2_semantic": {"label": "liver"},
            "medvlsam2_referring": {"prompt": "the largest cyst"},
            "medvlsam2_interactive": {"foreground": [[1, 1, 1]]},
            "medvlsam2_prompts": {"label_prompt": [1], "points": [[1, 1, 1]], "point_labels": [1]},
            "medvlsam2_report": {},
            "medvlsam2_vqa": {"question": "Is the liver visible?"},
        }
        for model, params in requests.items():
            result = ask(model, **params)
            assert Path(result["file"]).is_file()
            assert result["params"]["model_id"] == "card-only"
            assert result["params"]["model_version"]
            assert set(result["params"]["latencies"]) >= {"read", "infer", "total"}
            assert result["params"]["warnings"][-1] == NOTICE

    def test_a_box_may_reach_beyond_the_scan_but_not_lie_beside_it(
        self, ask: Ask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mask_task, "segment", segment)
        with pytest.raises(HTTPException) as beyond:
            ask("medvlsam2_interactive", roi=[9, -3, 2, 4, 8, 8])
        assert beyond.value.status_code == 503, "the box is good, and this model has no weights"
        with pytest.raises(HTTPException) as refusal:
            ask("medvlsam2_interactive", roi=[0, 2, 0, 2, 20, 30])
        assert refusal.value.status_code == 422
        assert "(0, 3, 0, 3, 20, 31)" in refusal.value.detail
        assert "(5, 7, 9)" in refusal.value.detail

    @pytest.mark.parametrize("click", [{"foreground": [[-4, 5, 6]]}, {"background": [[1, 1, 1]]}])
    def test_clicks_never_empty_a_segment(
        self, ask: Ask, monkeypatch: pytest.MonkeyPatch, click: dict[str, object]
    ) -> None:
        """If no click lies on the object, only the name remains, and the named structure may be absent."""
        nowhere = ObjectResult("liver", False, 0.9, 0.0, 0.0, {}, None, values=(1,))
        empty = Segmentation(np.zeros(SHAPE, dtype=np.uint8), (nowhere,), (), {})
        monkeypatch.setattr(mask_task, "segment", lambda *_, **__: empty)
        with pytest.raises(HTTPException) as refusal:
            ask("medvlsam2_interactive", label="liver", **click)
        assert refusal.value.status_code == 422
        assert "Not present: 'liver'" in refusal.value.detail

    def test_a_click_outside_its_box_is_refused(self, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mask_task, "segment", segment)
        with pytest.raises(HTTPException) as refusal:
            ask("medvlsam2_interactive", foreground=[[4, 5, 6]], roi=[0, 1, 0, 1, 0, 1])
        assert refusal.value.status_code == 422
        assert "Click 1 on 'object' at voxel (4.0, 5.0, 6.0) lies outside its box (0, 2, 0, 2, 0, 2)" in (
            refusal.value.detail
        )


class TestTexts:
    def test_slicer_gets_markups_that_carry_the_text(self, ask: Ask, affine: np.ndarray) -> None:
        result = ask("medvlsam2_report", result_extension=".nrrd")
        assert result["params"]["report"] == "Liver normal."
        assert result["params"]["findings"] == []
        assert result["file"].endswith(".json")
        (markups,) = json.loads(Path(result["file"]).read_text(encoding="utf-8"))["markups"]
        (point,) = markups["controlPoints"]
        assert point["label"] == point["description"] == "Liver normal."
        assert markups["coordinateSystem"] == "LPS"
        assert markups["name"].startswith("Draft report ")
        middle_ras = affine @ [2, 3, 4, 1]
        np.testing.assert_allclose(point["position"], middle_ras[:3] * [-1, -1, 1], atol=1e-3)

    def test_answer(self, ask: Ask) -> None:
        params = ask("medvlsam2_vqa", question="Liver?", choices="yes; no")["params"]
        assert (params["answer"], params["choice_index"], params["choices"]) == ("Yes.", 0, ["yes", "no"])

    @pytest.mark.parametrize("task", ["report", "vqa"])
    def test_ohif_gets_an_error_for_texts_because_it_shows_masks_only(self, ask: Ask, task: str) -> None:
        with pytest.raises(HTTPException) as refusal:
            ask(f"medvlsam2_{task}", question="Liver?", **OHIF)
        assert refusal.value.status_code == 400
        assert f"'{task}'" in refusal.value.detail
        assert "output=json" in refusal.value.detail

    @pytest.mark.parametrize("tag", [None, "original", "final"])
    def test_a_stored_text_does_not_replace_a_mask(self, app: MONAILabelApp, ask: Ask, tag: str | None) -> None:
        ask("medvlsam2_semantic", label="liver", save_label=True)
        ask("medvlsam2_report", save_label=True, label_tag=tag)
        store = app.datastore()
        assert set(store.get_labels_by_image_id("alpha")) == {"original", "report"}
        assert store.get_label_uri("alpha", "original").endswith("original/alpha.nii.gz")
        assert store.get_label_info("alpha", "report")["params"]["report"] == "Liver normal."
        assert sorted(store.get_unlabeled_images()) == ["alpha", "beta", "gamma"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("kind", "status"),
        [
            (errors.InvalidRequest, 400),
            (errors.UnknownImage, 404),
            (errors.InvalidPrompt, 422),
            (errors.UnknownStructure, 422),
            (errors.UnreadableVolume, 422),
            (errors.DatasetError, 422),
            (errors.MissingCheckpoint, 503),
            (errors.CheckpointMismatch, 503),
        ],
    )
    def test_status_of_each_error(self, kind: type[errors.MedVLSAM2Error], status: int) -> None:
        with pytest.raises(HTTPException) as refusal, errors_as_http():
            raise kind("Value 7 is wrong.")
        assert (refusal.value.status_code, refusal.value.detail) == (status, "Value 7 is wrong.")

    def test_an_unexpected_error_is_not_hidden(self) -> None:
        with pytest.raises(ZeroDivisionError), errors_as_http():
            _ = 1 / 0

    @pytest.mark.parametrize("image", ["/etc/passwd", "", "alfa", "../studies/alpha.nii.gz"])
    def test_only_images_of_the_datastore_are_read(self, ask: Ask, image: str) -> None:
        with pytest.raises(HTTPException) as refusal:
            ask("medvlsam2_report", image=image)
        assert refusal.value.status_code == 404
        assert repr(image) in refusal.value.detail

    def test_a_forged_session_reads_nothing_outside_of_the_sessions(self, ask: Ask) -> None:
        with pytest.raises(HTTPException) as refusal:
            ask("medvlsam2_report", image="/etc/hostname", session={"image": "/etc/hostname"})
        assert refusal.value.status_code == 404

    def test_unknown_model_and_strategy(self, app: MONAILabelApp, ask: Ask) -> None:
        with pytest.raises(HTTPException, match=r"no model 'medvlsam2_reports'. Did you mean medvlsam2_report"):
            ask("medvlsam2_reports")
        with pytest.raises(HTTPException, match=r"no strategy 'randon'. Did you mean random"):
            app.next_sample({"strategy": "randon"})

    def test_a_tag_cannot_leave_the_studies_folder(self, ask: Ask) -> None:
        with pytest.raises(HTTPException, match=r"'\.\./\.\./outside' is not allowed"):
            ask("medvlsam2_semantic", label="liver", save_label=True, label_tag="../../outside")
