"""What the annotator's segments in 3D Slicer hold after a reply of ours, by the module's own rules.

Slicer cannot run here. ``Segments`` does what the wheel's ``MONAILabel.py`` (``onClickSegmentation``,
``onClickDeepgrow``, ``updateSegmentationMask``) and Slicer's ``ImportLabelmapToSegmentationNode`` do: names are those
of ``label_names`` by value, or those of the model where a reply lists none; every listed segment is cleared, and the
n-th takes the voxels of the value n. "Smart edit" and scribbles take the name of the current segment instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from fastapi import HTTPException

from label_tasks.infer import mask_task

SLICER = {"result_extension": ".nrrd", "result_dtype": "uint8"}
"""What the module adds to every request."""
DRAWN = 7
"""Plane along i on which the annotator drew every segment before."""
Ask = Callable[..., dict[str, Any]]


class Segments:
    """A segmentation of Slicer, in which the annotator drew some segments."""

    def __init__(self, names: Iterable[str]) -> None:
        self.planes = {name: {DRAWN} for name in names}

    def take_over(self, reply: dict[str, Any], model: dict[str, Any], current: str | None = None) -> None:
        """What the module does with a reply."""
        names = reply["params"].get("label_names") or model["labels"]
        if isinstance(names, dict):
            names = [name for name, _ in sorted(names.items(), key=lambda item: item[1])]
        names = [current] if current else [name for name in names if name != "background"]
        values = sitk.GetArrayFromImage(sitk.ReadImage(reply["file"])).T
        for number, name in enumerate(names, start=1):
            self.planes[name] = set(np.unique(np.nonzero(values == number)[0]).tolist())


@pytest.fixture
def absent(app: Any, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of structures that the model does not find; the n-th prompt is the n-th plane along i."""
    names: set[str] = set()
    found_all = mask_task.segment

    def segment(engine: Any, volume: Any, prompts: Any, **owner: Any) -> Any:
        result = found_all(engine, volume, prompts, **owner)
        for number, item in enumerate(result.objects, start=1):
            if item.name in names:
                result.label_map[result.label_map == number] = 0
        return replace(result, objects=tuple(replace(one, present=one.name not in names) for one in result.objects))

    monkeypatch.setattr(mask_task, "segment", segment)
    return names


@pytest.mark.parametrize(("task", "key"), [("semantic", "structures"), ("referring", "prompt")])
def test_a_structure_that_is_not_found_keeps_the_drawn_voxels(
    app: Any, ask: Ask, absent: set[str], task: str, key: str
) -> None:
    """ "Not present" emptied the segment; and no name may take the voxels of its neighbour in the list."""
    asked = {"liver": {1}, "spleen": {2}, "left kidney": {3}}
    for missing in ((), ("liver",), ("spleen",), ("left kidney",), ("liver", "spleen")):
        absent.clear()
        absent.update(missing)
        segments = Segments([*asked, "my lesion"])
        reply = ask(f"medvlsam2_{task}", **SLICER, **{key: ", ".join(asked)})
        segments.take_over(reply, app.info()["models"][f"medvlsam2_{task}"])
        expected = {name: {DRAWN} if name in missing else planes for name, planes in asked.items()}
        assert segments.planes == {**expected, "my lesion": {DRAWN}}, missing
        told = reply["params"]
        assert {one["name"]: one["present"] for one in told["objects"]} == {name: name not in missing for name in asked}
        assert {one["value"] for one in told["objects"] if one["present"]} == set(told["label_names"].values())
        said = [one for one in told["warnings"] if one.startswith("Not present: ")]
        assert len(said) == bool(missing)
        assert all(f"'{name}'" in said[0] for name in missing)


def test_all_structures_and_one_of_them_not_found(app: Any, ask: Ask, absent: set[str]) -> None:
    """Auto-Segmentation without a choice, after the annotator has drawn everything."""
    absent.add("spleen")
    segments = Segments(["liver", "spleen", "left kidney", "right kidney"])
    model = app.info()["models"]["medvlsam2_semantic"]
    segments.take_over(ask("medvlsam2_semantic", **SLICER, structures=""), model)
    clicked = ask("medvlsam2_interactive", **SLICER, label="liver", foreground=[[1, 1, 1]], background=[])
    segments.take_over(clicked, app.info()["models"]["medvlsam2_interactive"], current="liver")
    assert segments.planes == {"liver": {1}, "spleen": {DRAWN}, "left kidney": {3}, "right kidney": {4}}


def test_nothing_found_is_a_sentence_and_no_mask(ask: Ask, absent: set[str]) -> None:
    """An empty list of names would make the module clear ALL segments of the model."""
    absent.update(("liver", "spleen", "left kidney", "right kidney"))
    for task, request in (
        ("semantic", {"structures": "liver"}),
        ("semantic", {"structures": ""}),
        ("referring", {"prompt": "liver"}),
        ("referring", {"prompt": "liver, spleen"}),
        ("interactive", {"label": "liver", "foreground": [], "background": []}),
    ):
        with pytest.raises(HTTPException, match=r"Not present: 'liver'.* seen in this scan, so no segment") as refused:
            ask(f"medvlsam2_{task}", **SLICER, **request)
        assert refused.value.status_code == 422


def test_a_program_still_gets_a_value_for_every_object(ask: Ask, absent: set[str]) -> None:
    absent.add("liver")
    told = ask("medvlsam2_semantic", label=["liver", "spleen"])["params"]
    assert told["label_names"] == {"liver": 1, "spleen": 2}
    assert [(one["present"], one["value"]) for one in told["objects"]] == [(False, 1), (True, 2)]


def test_a_stored_result_has_its_names_in_slicer(app: Any, ask: Ask) -> None:
    """*Next Sample* loads the stored "original" label, and reads the n-th key of its ``label_names`` as the value n."""
    names = {value: name for name, value in app.info()["models"]["medvlsam2_semantic"]["labels"].items()}
    store = app.datastore()
    for ids in ([4, 1], [3], [2, 4, 1]):
        ask("medvlsam2_prompts", label_prompt=ids, save_label=True)
        told = list(store.get_label_info("alpha", "original")["params"]["label_names"])
        segments = Segments([])
        segments.take_over({"file": store.get_label_uri("alpha", "original"), "params": {"label_names": told}}, {})
        assert segments.planes == {names[value]: {place} for place, value in enumerate(ids, start=1)}
