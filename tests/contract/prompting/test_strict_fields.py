"""Fields of a request have their documented type or are refused; nothing is reinterpreted silently."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from label_tasks.infer import requests
from medvlsam2.errors import InvalidPrompt, InvalidRequest, MedVLSAM2Error

LABELS = {"liver": 1, "spleen": 2, "left kidney": 3, "right kidney": 4}
OHIF = {"restore_label_idx": False}
HUGE = 10**400
Ask = Callable[[dict[str, object]], tuple[requests.Target, ...]]


def semantic(request: dict[str, object]) -> tuple[requests.Target, ...]:
    return requests.semantic(request, LABELS)


def prompts(request: dict[str, object]) -> tuple[requests.Target, ...]:
    return requests.class_and_points(request, LABELS)


@pytest.mark.parametrize("ask", [semantic, prompts])
@pytest.mark.parametrize("nothing", [[], [None], (), [None, None]])
def test_nothing_ticked_is_refused_not_everything(ask: Ask, nothing: object) -> None:
    """OHIF's Class Prompts send [] when nothing is ticked; all structures came back under shifted ids."""
    with pytest.raises(InvalidPrompt, match="no structure is chosen"):
        ask({**OHIF, "label_prompt": nothing})


def test_ohif_with_nothing_ticked_is_refused_in_every_task() -> None:
    with pytest.raises(InvalidPrompt, match="no structure is chosen"):
        requests.require_choice({**OHIF, "label_prompt": [], "prompt": "liver"})
    requests.require_choice({**OHIF, "label_prompt": [1], "prompt": "liver"})
    requests.require_choice({**OHIF, "prompt": "liver"})


@pytest.mark.parametrize("ask", [semantic, prompts])
@pytest.mark.parametrize("ids", [[3, 2], [3.0, 2.0], (3, 2, 3)])
def test_ids_keep_their_values(ask: Ask, ids: object) -> None:
    found = {target.prompt.name: target.value for target in ask({"label_prompt": ids})}
    assert found == {"left kidney": 3, "spleen": 2}
    assert all(type(value) is int for value in found.values())


@pytest.mark.parametrize("ask", [semantic, prompts])
@pytest.mark.parametrize(
    "wrong", ["2", True, 2.5, pytest.param(HUGE, id="400 digits"), -1, 0, {"id": 2}, [2], float("nan"), 1e300]
)
def test_a_wrong_id_is_refused_with_a_short_text(ask: Ask, wrong: object) -> None:
    with pytest.raises(InvalidPrompt, match=r"label_prompt holds .*1 to 4") as refused:
        ask({"label_prompt": [wrong]})
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("names", [[""], ";;", " , ", ["liver", " "], [None], {"": 1}])
def test_blank_names_do_not_mean_everything(names: object) -> None:
    with pytest.raises(InvalidRequest, match="Labels"):
        semantic({"label": names})


@pytest.mark.parametrize(
    "request_",
    [
        {"foreground": "[[1, 2, 3]]"},
        {"foreground": [["1", "2", "3"]]},
        {"foreground": [[HUGE, 2, 3]]},
        {"foreground": [[1e300, 2, 3]]},
        {"foreground": [[1, 2, True]]},
        {"foreground": {"0": [1, 2, 3]}},
        {"foreground": [[1, 2, 3]], "roi": [HUGE, 2, 3, 4, 5, 6]},
        {"foreground": [[1, 2, 3]], "roi": ["0", 2, 3, 4, 5, 6]},
        {"foreground": [[1, 2, 3]], "roi": {"0": 1}},
        {"foreground": [[1, 2, 3]], "label": 7},
        {"foreground": [[1, 2, 3]], "label": ["liver", "spleen"]},
    ],
)
def test_clicks_boxes_and_names_of_a_wrong_type(request_: dict[str, object]) -> None:
    with pytest.raises(MedVLSAM2Error) as refused:
        requests.interactive(request_)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("labels", [[True, False], [1.0, 0.0], [1, 0]])
def test_flags_of_points_that_mean_one_thing(labels: list[object]) -> None:
    (target,) = prompts({"label_prompt": [2], "points": [[1, 2, 3], [4, 5, 6]], "point_labels": labels})
    assert target.prompt.point_labels == (1, 0)


@pytest.mark.parametrize("labels", [[0.5, 1], ["1", "0"], [None, 1], [[1], 0], "10", {"0": 1, "1": 0}, [HUGE, 1]])
def test_flags_of_points_that_do_not(labels: object) -> None:
    with pytest.raises(InvalidPrompt, match="point_labels is"):
        prompts({"label_prompt": [2], "points": [[1, 2, 3], [4, 5, 6]], "point_labels": labels})


def test_no_point_and_no_structure_is_not_everything() -> None:
    with pytest.raises(InvalidPrompt, match="no point is placed"):
        prompts({"points": []})


def test_ohif_has_no_segment_for_clicks_without_a_structure() -> None:
    with pytest.raises(InvalidPrompt, match="Choose a structure"):
        prompts({**OHIF, "points": [[1, 2, 3]], "point_labels": [1]})


@pytest.mark.parametrize(("given", "meant"), [(True, True), ("false", False), (0, False), (1.0, True), (None, False)])
def test_notations_of_compression_are_understood(given: object, meant: bool) -> None:
    assert requests.result_form({"result_compress": given}, "scan.nii.gz").compress is meant


@pytest.mark.parametrize("given", ["no", 2, [], {}, 0.5])
def test_compression_that_is_no_flag(given: object) -> None:
    with pytest.raises(InvalidRequest, match=r"'result_compress' is .*true or false"):
        requests.result_form({"result_compress": given}, "scan.nii.gz")


@pytest.mark.parametrize("prompt", [["liver", "spleen"], 5, {"text": "liver"}, [["liver"]], True])
def test_a_phrase_is_one_string(prompt: object) -> None:
    with pytest.raises(InvalidRequest, match=r"'prompt' is .*one string"):
        requests.referring({"prompt": prompt})


def test_several_objects_in_a_phrase_are_several_segments() -> None:
    found = requests.referring({"prompt": "left kidney, spleen and liver"})
    assert [(target.value, target.prompt.name) for target in found] == [(1, "left kidney"), (2, "spleen"), (3, "liver")]


def test_one_segment_holds_one_object() -> None:
    with pytest.raises(InvalidPrompt, match=r"names 2 objects \(left kidney, spleen\)"):
        requests.interactive({"label": "left kidney and spleen"})
    (target,) = requests.interactive({"label": "left kidney and spleen", "foreground": [[1, 2, 3]]})
    assert target.prompt.text is None, "where the words mean two things the click alone says which"
