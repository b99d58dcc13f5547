"""The short programs that the documents show: each runs, and does what its first lines say."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from medvlsam2.data.volume_files import write_volume

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
MAX_LINES = 60

Run = Callable[..., None]


@pytest.fixture
def run(tiny_model_dir: Path) -> Run:
    """Run an example by its name, with the smallest model."""

    def main_of(name: str, *arguments: object) -> None:
        spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.main([*map(str, arguments), "--model", str(tiny_model_dir)])

    return main_of


@pytest.fixture
def scan(small_phantom: Any, tmp_path: Path) -> Path:
    path = tmp_path / "scan.nii.gz"
    write_volume(path, small_phantom.volume)
    return path


def test_three_short_examples_are_shipped() -> None:
    assert [path.stem for path in EXAMPLES] == ["batch_over_a_folder", "click_and_correct", "segment_by_words"]
    assert all(len(path.read_text(encoding="utf-8").splitlines()) < MAX_LINES for path in EXAMPLES)


def test_words_give_one_label_map_on_the_grid_of_the_scan(run: Run, scan: Path, tmp_path: Path, capsys: Any) -> None:
    run("segment_by_words", scan, tmp_path / "mask.nii.gz", "liver", "left kidney")
    mask, source = nib.load(tmp_path / "mask.nii.gz"), nib.load(scan)
    assert mask.shape == source.shape
    np.testing.assert_allclose(mask.affine, source.affine, atol=1e-5)
    assert set(np.unique(np.asarray(mask.dataobj))) <= {0, 1, 2}
    told = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("Warning:")]
    assert [line.split(":")[0] for line in told] == ["1 liver", "2 left kidney"]


@pytest.mark.parametrize(
    ("name", "options"),
    [("segment_by_words", ["liver"]), ("click_and_correct", ["--on", "1,1,1", "--beside", "2,2,2"])],
)
def test_no_file_is_overwritten_least_of_all_the_scan(run: Run, scan: Path, name: str, options: list[str]) -> None:
    before = scan.read_bytes()
    with pytest.raises(SystemExit, match="2"):
        run(name, scan, scan, *options)
    assert scan.read_bytes() == before


def test_the_second_click_is_heeded(run: Run, scan: Path, tmp_path: Path, small_phantom: Any, capsys: Any) -> None:
    liver = next(value for value, key in small_phantom.labels.items() if key == "liver")
    inside = np.argwhere(small_phantom.label_map == liver)
    on, beside = inside[len(inside) // 2], inside[len(inside) // 2] + (0, 0, 2)
    clicks = [",".join(map(str, one)) for one in (on, beside)]
    run("click_and_correct", scan, tmp_path / "mask.nii.gz", "--on", clicks[0], "--beside", clicks[1])
    values = np.asarray(nib.load(tmp_path / "mask.nii.gz").dataobj)
    assert (values[tuple(on)], values[tuple(beside)]) == (1, 0)
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["Request 1", "Request 2"]


def test_a_damaged_scan_stops_no_batch_and_a_second_run_does_nothing(
    run: Run, scan: Path, tmp_path: Path, capsys: Any
) -> None:
    scans, masks = tmp_path / "scans", tmp_path / "masks"
    scans.mkdir()
    (scans / "a_damaged.nii.gz").write_bytes(scan.read_bytes()[:2000])
    scan.rename(scans / "b_whole.nii.gz")
    run("batch_over_a_folder", scans, masks, "liver", "spleen")
    assert sorted(path.name for path in masks.iterdir()) == ["b_whole.nii.gz", "volumes.csv"]
    said, table = capsys.readouterr().out, (masks / "volumes.csv").read_text(encoding="utf-8")
    assert "Left out: " in said
    assert "a_damaged" in said
    assert [line.split(",")[:2] for line in table.splitlines()] == [["b_whole", "liver"], ["b_whole", "spleen"]]
    run("batch_over_a_folder", scans, masks, "liver", "spleen")
    assert (masks / "volumes.csv").read_text(encoding="utf-8") == table
