"""``medvlsam2 segment``: names, numbers and output of objects."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medvlsam2.cli import console
from medvlsam2.data.label_maps import read_label_map
from medvlsam2.data.quantities.heard import told_in


@pytest.mark.parametrize(
    ("prompts", "names"),
    [
        (["left kidney and spleen"], ["left kidney", "spleen"]),
        (
            ["aorta", "left kidney, right kidney; left kidney", "liver"],
            ["aorta", "left kidney", "right kidney", "liver"],
        ),
        (["portal vein and splenic vein"], ["portal and splenic veins"]),
    ],
)
def test_a_phrase_of_several_objects_gives_each_its_value(run, scan, tmp_path, prompts, names):
    mask = tmp_path / "mask.nrrd"
    given = [word for prompt in prompts for word in ("--prompt", prompt)]
    code, out, _ = run("segment", scan, *given, "-o", mask, "--json")
    record = json.loads(out)
    assert code == 0
    assert [(item["value"], item["name"]) for item in record["objects"]] == list(enumerate(names, start=1))
    written = read_label_map(mask)
    assert written.names == dict(enumerate(names, start=1))
    voxel_ml = abs(np.linalg.det(written.affine[:3, :3])) / 1000
    for item in record["objects"]:
        assert item["values"] == [item["value"]]
        held = int(np.isin(written.values, item["values"]).sum())
        assert item["volume_ml"] == pytest.approx(held * voxel_ml, abs=0.01)


def test_a_whole_is_told_with_the_values_of_its_parts(run, scan, tmp_path):
    mask = tmp_path / "mask.nii.gz"
    given = ["--prompt", "kidneys", "--prompt", "left kidney, right kidney"]
    code, out, _ = run("segment", scan, *given, "-o", mask, "--json")
    assert code == 0
    told = {item["name"]: item["values"] for item in json.loads(out)["objects"]}
    assert told == {"kidneys": [2, 3], "left kidney": [2], "right kidney": [3]}
    assert set(np.unique(read_label_map(mask).values)) <= {0, 2, 3}
    _, out, _ = run("segment", scan, *given)
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in out.splitlines()]
    assert rows[0] == ["label", "object", "present", "volume", "diameter", "confidence", "slice to fix"]
    assert [row[:2] for row in rows[1:4]] == [["2, 3", "kidneys"], ["2", "left kidney"], ["3", "right kidney"]]


def test_text_and_json_tell_the_same(run, scan):
    _, out, _ = run("segment", scan, "--prompt", "liver, spleen", "--json")
    told = json.loads(out)["objects"]
    _, out, _ = run("segment", scan, "--prompt", "liver, spleen")
    for item, line in zip(told, out.splitlines()[1:3], strict=True):
        words = line.split()
        fix = [] if item["slice_to_fix"] is None else [str(item["slice_to_fix"])]
        assert words[:3] == [str(item["value"]), item["name"], "yes" if item["present"] else "no"]
        assert words[-1 - len(fix) :] == [f"{item['confidence']:.2f}", *fix]
        assert ("mL" in words) == item["present"]
        assert told_in(line, item["diameter_mm"], "mm") == item["present"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prompt", "liver", "--prompt", "Hepar"], ["'liver' and 'Hepar'", "Name each object once"]),
        (["--prompt", "left kidney and spleen", "--prompt", "spleen"], ["'spleen' and 'spleen'"]),
        (["--prompt", "a cyst in the liver", "--prompt", "A  cyst in the liver"], ["name one object"]),
        (["--prompt", "left kidney and spleen", "--point", "20,17,7,+"], ["2 objects (left kidney, spleen)"]),
        (["--prompt", "liver, spleen", "--box", "10,30,8,25,4,10"], ["2 objects (liver, spleen)"]),
        (["--prompt", "left lung and kidney"], ["two ways"]),
        (["--prompt", "liver, spleen", "--prompt", ""], ["''", "empty"]),
    ],
)
def test_what_would_shift_or_hide_a_value_is_refused(run, scan, tmp_path, arguments, words):
    mask = tmp_path / "mask.nii.gz"
    code, out, err = run("segment", scan, *arguments, "-o", mask)
    assert (code, out) == (2, "")
    assert [word for word in words if word not in err] == []
    assert not mask.exists()


def test_an_answer_without_a_voxel_is_an_answer_with_a_warning(run, scan, tmp_path, monkeypatch):
    """Exit code 0: a loop over an archive goes on, and programs read ``present``."""
    from medvlsam2.tasks import segment as task
    from medvlsam2.tasks.answers.results import ObjectResult

    def nothing(engine, volume, prompts, **_):
        absent = ObjectResult(prompts[0].display_name, False, 0.93, 0.0, 0.0, {}, None, values=(1,))
        return task.Segmentation(np.zeros(volume.shape_ijk, np.uint8), (absent,), (), {"total": 0.1})

    monkeypatch.setattr(task, "segment", nothing)
    mask = tmp_path / "mask.nii.gz"
    code, out, err = run("segment", scan, "--prompt", "gallstone", "-o", mask)
    assert code == 0
    assert err == "warning: Nothing of what was asked for is seen in this scan: the mask is empty.\n"
    assert out.splitlines()[1].split() == ["1", "gallstone", "no", "0.93"]
    assert not read_label_map(mask).values.any()
    code, out, err = run("segment", scan, "--prompt", "gallstone", "--json")
    assert (code, json.loads(out)["objects"][0]["present"]) == (0, False)
    assert err == "warning: Nothing of what was asked for is seen in this scan.\n"


def test_square_brackets_in_a_table_are_text(capsys):
    console.show_table(["name"], [["cyst [/bold] [red]1[/red]"]])
    assert "cyst [/bold] [red]1[/red]" in capsys.readouterr().out
