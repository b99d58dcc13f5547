"""What Slicer and OHIF send, and what the app makes of it."""

from __future__ import annotations

import json

import pytest

from label_tasks.http import checks
from label_tasks.infer import questions, report_options, requests
from medvlsam2.data.label_info import names_of_values
from medvlsam2.data.reading.plain_names import require_new_tag
from medvlsam2.errors import DatasetError, InvalidPrompt, InvalidRequest, UnknownStructure

LABELS = {"liver": 1, "spleen": 2, "left kidney": 3, "right kidney": 4}

# Slicer adds these to every call; OHIF's persistent options leak keys of earlier calls.
SLICER = {"client_id": "user-1", "result_extension": ".nrrd", "result_dtype": "uint8", "reset_state": True}
OHIF = {
    "result_extension": ".nrrd",
    "result_dtype": "uint8",
    "result_compress": False,
    "restore_label_idx": False,
}


def named(targets: tuple[requests.Target, ...]) -> dict[str | None, int]:
    return {target.prompt.name: target.value for target in targets}


class TestSemantic:
    def test_all_known_structures_are_requested_by_default(self) -> None:
        assert named(requests.semantic({**SLICER, "label": None, "labels": [], "structures": ""}, LABELS)) == LABELS

    @pytest.mark.parametrize(
        "wish",
        [
            {"label": ["right kidney", "liver"]},
            {"labels": ["kidney_right", "Liver"]},
            {"label": "rt. kidney", "labels": ["liver"]},
            {"structures": "right kidney, liver"},
            {"labels": {"right kidney": 9, "liver": 7}},
        ],
    )
    def test_chosen_by_name_in_the_order_asked(self, wish: dict[str, object]) -> None:
        assert named(requests.semantic({**SLICER, **wish}, LABELS)) == {"right kidney": 1, "liver": 2}

    @pytest.mark.parametrize("wish", ["left kidney and right kidney", ["left kidney, right kidney"]])
    def test_a_list_in_one_name_does_not_collapse_into_its_whole(self, wish: object) -> None:
        labels = {**LABELS, "kidneys": 5}
        assert named(requests.semantic({"label": wish}, labels)) == {"left kidney": 1, "right kidney": 2}

    def test_chosen_by_id_keeps_the_published_ids(self) -> None:
        assert named(requests.semantic({**OHIF, "label_prompt": [3, 2, 3, None]}, LABELS)) == {
            "left kidney": 3,
            "spleen": 2,
        }

    def test_one_structure_by_two_names_is_asked_once(self) -> None:
        assert named(requests.semantic({"label": ["liver", "LIVER"]}, LABELS)) == {"liver": 1}

    def test_unknown_words_name_the_nearest(self) -> None:
        with pytest.raises(UnknownStructure, match=r"livr.*liver"):
            requests.semantic({"label": "livr"}, LABELS)

    def test_a_structure_that_the_model_does_not_know(self) -> None:
        with pytest.raises(UnknownStructure, match=r"'aorta' is not among the 4 structures"):
            requests.semantic({"label": "aorta"}, LABELS)

    @pytest.mark.parametrize("wrong", [5, "2", True, 1.5])
    def test_unpublished_id(self, wrong: object) -> None:
        with pytest.raises(InvalidPrompt, match=r"label_prompt holds .*1 to 4"):
            requests.semantic({"label_prompt": [wrong]}, LABELS)

    def test_labels_of_a_wrong_kind(self) -> None:
        with pytest.raises(InvalidRequest, match=r"\[3\] are not names"):
            requests.semantic({"label": [3]}, LABELS)


class TestReferring:
    def test_phrase(self) -> None:
        (target,) = requests.referring({**SLICER, "prompt": "  the largest cyst "})
        assert (target.value, target.prompt.text, target.prompt.name) == (
            1,
            "the largest cyst",
            "the largest cyst",
        )

    def test_a_list_of_the_two_sides_is_two_targets(self) -> None:
        targets = requests.referring({"prompt": "left kidney, right kidney"})
        assert named(targets) == {"left kidney": 1, "right kidney": 2}

    @pytest.mark.parametrize("blank", [None, "", "   ", []])
    def test_a_request_without_a_phrase_is_refused(self, blank: object) -> None:
        with pytest.raises(InvalidPrompt, match=r"'prompt' is .*Type one"):
            requests.referring({"prompt": blank})


class TestInteractive:
    def test_slicer_clicks_box_and_segment_name(self) -> None:
        request = {
            **SLICER,
            "label": "left renal cyst",
            "foreground": [[10, 20, 30], [11, 20, 30]],
            "background": [[1, 2, 3]],
            "roi": [40, 5, 6, 50, 7, 7],
        }
        (target,) = requests.interactive(request)
        prompt = target.prompt
        assert prompt.text == prompt.name == "left renal cyst"
        assert prompt.points_ijk == ((10, 20, 30), (11, 20, 30), (1, 2, 3))
        assert prompt.point_labels == (1, 1, 0)
        assert prompt.box_ijk == (5, 41, 6, 51, 7, 8)

    def test_ohif_sends_no_name_and_may_leave_foreground_out(self) -> None:
        with pytest.raises(InvalidPrompt, match="no foreground click"):
            requests.interactive({**OHIF, "background": [[1, 2, 3]]})
        (target,) = requests.interactive({**OHIF, "foreground": [[1, 2, 3]], "background": None})
        assert (target.prompt.text, target.prompt.name) == (None, "object")

    @pytest.mark.parametrize("placeholder", ["Segment_1", "Segment 12", "segment", "background", ""])
    def test_a_name_that_slicer_gave_is_no_phrase(self, placeholder: str) -> None:
        (target,) = requests.interactive({"label": placeholder, "foreground": [[1, 2, 3]]})
        assert target.prompt.text is None

    def test_a_name_without_meaning_does_not_stand_in_the_way_of_a_click(self) -> None:
        (target,) = requests.interactive({"label": "target 1", "foreground": [[1, 2, 3]]})
        assert (target.prompt.text, target.prompt.name) == (None, "target 1")
        (target,) = requests.interactive({"label": "target 1"})
        assert target.prompt.text == "target 1"

    def test_the_segment_name_alone_is_a_phrase(self) -> None:
        (target,) = requests.interactive({"label": "left renal cyst", "foreground": [], "background": []})
        assert (target.prompt.text, target.prompt.points_ijk) == ("left renal cyst", ())

    @pytest.mark.parametrize("point", [[1, 2], [1, 2, None], "1,2,3", [1, 2, float("nan")], [True, 1, 2], 7])
    def test_malformed_click(self, point: object) -> None:
        with pytest.raises(InvalidPrompt, match="Click 2 of 'foreground'"):
            requests.interactive({"foreground": [[1, 2, 3], point]})

    @pytest.mark.parametrize("roi", [[1, 2, 3], "box", [1, 2, 3, 4, 5, None], [1, 2, 3, 4, 5, float("inf")]])
    def test_malformed_box(self, roi: object) -> None:
        with pytest.raises(InvalidPrompt, match=r"The box 'roi' is .*six voxel indices"):
            requests.interactive({"foreground": [[1, 2, 3]], "roi": roi})


class TestClassAndPoints:
    def test_ohif_point_prompt(self) -> None:
        request = {**OHIF, "label_prompt": [3], "points": [[1, 2, 3], [4, 5, 6]], "point_labels": [1, 0]}
        (target,) = requests.class_and_points(request, LABELS)
        assert (target.value, target.prompt.text) == (3, "left kidney")
        assert (target.prompt.points_ijk, target.prompt.point_labels) == (((1, 2, 3), (4, 5, 6)), (1, 0))

    def test_class_prompt_ignores_points_left_from_an_earlier_call(self) -> None:
        request = {**OHIF, "label_prompt": [4, 1], "points": [[1, 2, 3]], "point_labels": [1]}
        targets = requests.class_and_points(request, LABELS)
        assert named(targets) == {"right kidney": 4, "liver": 1}
        assert all(target.prompt.points_ijk == () for target in targets)

    def test_points_alone_are_an_unnamed_object(self) -> None:
        (target,) = requests.class_and_points({"points": [[1, 2, 3]]}, LABELS)
        assert (target.value, target.prompt.text, target.prompt.point_labels) == (1, None, (1,))

    def test_no_prompt_means_all_structures(self) -> None:
        assert named(requests.class_and_points({**OHIF, "points": None, "label_prompt": None}, LABELS)) == LABELS

    @pytest.mark.parametrize("labels", [[1], [1, 2], [1, "0"], 1])
    def test_labels_that_do_not_fit_the_points(self, labels: object) -> None:
        with pytest.raises(InvalidPrompt, match="for 2 points"):
            requests.class_and_points({"points": [[1, 2, 3], [4, 5, 6]], "point_labels": labels}, LABELS)


class TestQuestion:
    def test_drop_down_lists_mean_their_first_item(self) -> None:
        asked = questions.question(
            {"question": "Which side?", "choices": "left; right", "kind": ["auto", "short", "long"]}
        )
        assert (asked.text, asked.choices, asked.kind) == ("Which side?", ("left", "right"), None)

    def test_choices_as_a_list(self) -> None:
        asked = questions.question({"question": "Which?", "choices": ["a", " b "], "kind": "multiple_choice"})
        assert (asked.choices, asked.kind) == (("a", "b"), "multiple_choice")

    def test_no_question(self) -> None:
        with pytest.raises(InvalidPrompt, match="'question' is None"):
            questions.question({})

    def test_a_single_choice_is_refused(self) -> None:
        with pytest.raises(InvalidPrompt, match="holds only 'left'"):
            questions.question({"question": "Which?", "choices": ["left"]})

    def test_unknown_kind(self) -> None:
        with pytest.raises(InvalidRequest, match="'kind' is 'essay'"):
            questions.question({"question": "Which?", "kind": "essay"})


class TestResultForm:
    def test_what_the_viewers_ask_for(self) -> None:
        assert requests.result_form(OHIF, "scan.nii.gz") == requests.ResultForm(".nrrd", compress=False)
        assert requests.result_form(SLICER, "folder") == requests.ResultForm(".nrrd", compress=False)

    def test_without_an_extension_the_scans_format_is_used(self) -> None:
        assert requests.result_form({}, "scan.nii.gz").extension == ".nii.gz"
        assert requests.result_form({}, "series").extension == ".nrrd"

    def test_unknown_extension(self) -> None:
        with pytest.raises(InvalidRequest, match=r"'.png' cannot be written"):
            requests.result_form({"result_extension": ".png"}, "scan.nii.gz")


class TestGuards:
    @pytest.mark.parametrize("tag", ["../../outside", "a/b", "", ".hidden", "x" * 65, None, "a b"])
    def test_tags_that_could_leave_the_studies_folder(self, tag: object) -> None:
        with pytest.raises(InvalidRequest, match="label tag"):
            require_new_tag(tag)

    @pytest.mark.parametrize("name", ["../escaped", "/etc/passwd", "a\\b", ".hidden", "a\x00b", "..", "x" * 201])
    def test_names_that_are_paths(self, name: str) -> None:
        with pytest.raises(InvalidRequest, match="is not allowed"):
            checks.require_plain_name("image", name)

    @pytest.mark.parametrize("name", ["1.2.840.113.2", "scan 1", "Fälle_07", "a..b"])
    def test_ordinary_names(self, name: str) -> None:
        checks.require_plain_name("image", name)

    @pytest.mark.parametrize("params", ["{bad", "[1]", '"text"', "NaN,"])
    def test_params_that_are_no_object(self, params: str) -> None:
        with pytest.raises(InvalidRequest, match="'params' is"):
            checks.inference_params(params)

    @pytest.mark.parametrize("key", ["model", "image", "session", "image_id"])
    def test_params_must_not_name_another_image_or_model(self, key: str) -> None:
        with pytest.raises(InvalidRequest, match=f"sets '{key}' to '/etc/passwd'"):
            checks.inference_params(json.dumps({key: "/etc/passwd"}))

    @pytest.mark.parametrize("label", ["/studies/labels/final/x.nii.gz", "\\\\server\\x.nrrd", "C:\\x.nii"])
    def test_params_must_not_name_a_file_as_label(self, label: str) -> None:
        with pytest.raises(InvalidRequest, match=r"sets 'label' to .* a path"):
            checks.inference_params(json.dumps({"label": label}))

    @pytest.mark.parametrize("label", ["left renal cyst", "kidney l/r", ["liver", "spleen"], {"liver": 1}])
    def test_names_of_segments_are_no_paths(self, label: object) -> None:
        assert checks.inference_params(json.dumps({"label": label})) == {"label": label}


class TestNamesOfSubmittedValues:
    def test_a_client_that_sends_the_file_values(self) -> None:
        info = [{"name": "liver", "idx": 4}, {"name": "spleen", "idx": 9}]
        assert names_of_values("a", [4, 9], info) == {4: "liver", 9: "spleen"}

    def test_slicer_counts_segments_that_the_file_does_not_hold(self) -> None:
        info = [{"name": "liver", "idx": 2}, {"name": "spleen", "idx": 3}]
        assert names_of_values("a", [1, 2], info) == {1: "liver", 2: "spleen"}

    def test_label_info_with_two_readings_is_refused(self) -> None:
        info = [{"name": "liver", "idx": 2}, {"name": "spleen", "idx": 3}]
        with pytest.raises(DatasetError, match=r"image 'a' holds the values \[2\]"):
            names_of_values("a", [2], info)

    def test_a_value_without_a_name_is_refused(self) -> None:
        with pytest.raises(DatasetError, match="does not say for certain"):
            names_of_values("a", [1, 2], [{"name": "liver", "idx": 1}])


class TestReport:
    def test_a_grounded_narrative_report_is_the_default(self) -> None:
        assert report_options.wanted_report(dict(SLICER)) == report_options.WantedReport("narrative", is_grounded=True)

    @pytest.mark.parametrize("off", ["off", "OFF", False, "false", ["off", "on"]])
    def test_style_and_own_words_by_request(self, off: object) -> None:
        wanted = report_options.wanted_report({"style": ["terse", "narrative", "structured"], "grounded": off})
        assert wanted == report_options.WantedReport("terse", is_grounded=False)

    @pytest.mark.parametrize(("option", "value"), [("style", "poem"), ("grounded", "maybe")])
    def test_what_is_not_allowed_is_refused(self, option: str, value: str) -> None:
        with pytest.raises(InvalidRequest, match=f"'{option}' is '{value}'. Allowed: "):
            report_options.wanted_report({option: value})
