"""No command replaces an existing file without --overwrite, and none replaces its own input under any name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from medvlsam2.data.label_maps import read_label_map
from medvlsam2.data.readers import read_volume

OVERWRITE = pytest.mark.parametrize("overwrite", [(), ("--overwrite",)], ids=["unasked", "asked"])


def content(folder: Path) -> dict[str, str]:
    """Hash of every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def the_scan_itself(scan: Path) -> Path:
    return scan


def a_symbolic_link_to_it(scan: Path) -> Path:
    link = scan.with_name("link.nii.gz")
    link.symlink_to(scan)
    return link


def a_hard_link_to_it(scan: Path) -> Path:
    link = scan.with_name("hard.nii.gz")
    os.link(scan, link)
    return link


def a_link_of_its_folder(scan: Path) -> Path:
    link = scan.parent / "folder"
    link.symlink_to(scan.parent, target_is_directory=True)
    return link / scan.name


def a_way_round(scan: Path) -> Path:
    (scan.parent / "sub").mkdir()
    return scan.parent / "sub" / ".." / scan.name


def a_relative_path(scan: Path) -> Path:
    return Path(os.path.relpath(scan))


@OVERWRITE
@pytest.mark.parametrize(
    "named",
    [the_scan_itself, a_symbolic_link_to_it, a_hard_link_to_it, a_link_of_its_folder, a_way_round, a_relative_path],
    ids=lambda named: named.__name__,
)
def test_a_scan_is_never_replaced_by_its_mask(run, scan, tmp_path, named: Callable[[Path], Path], overwrite):
    output = named(scan)
    before = content(tmp_path)
    code, _, err = run("segment", scan, "--prompt", "liver", "-o", output, *overwrite)
    assert code == 2
    assert "is the input" in err
    assert "never replaced" in err
    assert content(tmp_path) == before


@OVERWRITE
def test_a_scan_given_by_a_link_is_not_replaced(run, scan, tmp_path, overwrite):
    link = a_symbolic_link_to_it(scan)
    before = content(tmp_path)
    assert run("segment", link, "--prompt", "liver", "-o", scan, *overwrite)[0] == 2
    assert content(tmp_path) == before


def saved_apart(drawn, path: Path, raw_suffix: str) -> Path:
    """A scan as a header and a file of voxels with an unusual ending; the header tells its name."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(drawn.volume.hu.T))
    sitk.WriteImage(image, str(path))
    written = path.with_suffix(".raw")
    written.rename(path.with_suffix(raw_suffix))
    path.write_text(path.read_text(encoding="utf-8").replace(written.name, written.stem + raw_suffix), encoding="utf-8")
    return path.with_suffix(raw_suffix)


@OVERWRITE
@pytest.mark.parametrize("header", ["scan.mhd", "scan.nhdr"])
@pytest.mark.parametrize("option", ["-o", "--png"])
def test_the_voxel_file_of_a_header_is_not_replaced(run, drawn, tmp_path, header, option, *, overwrite):
    voxels = saved_apart(drawn, tmp_path / header, ".png" if option == "--png" else ".nrrd")
    before = content(tmp_path)
    code, _, err = run("segment", tmp_path / header, "--prompt", "liver", option, voxels, *overwrite)
    assert code == 2
    assert "is the input" in err
    assert content(tmp_path) == before


@OVERWRITE
@pytest.mark.parametrize("name", ["sub/mask.nii.gz", "mask.nrrd", "picture.png"])
def test_nothing_is_put_into_a_folder_that_is_read_as_a_scan(run, scan, tmp_path, name, overwrite):
    """With a second scan in it the folder could not be read again."""
    folder = tmp_path / "scans"
    (folder / "sub").mkdir(parents=True)
    scan = scan.rename(folder / "scan.nii.gz")
    if name.startswith("sub"):
        (folder / name).write_bytes(b"what was there")
    before = content(tmp_path)
    option = "--png" if name.endswith(".png") else "-o"
    other = tmp_path / "link"
    other.symlink_to(folder, target_is_directory=True)
    for output in (folder / name, other / name):
        code, _, err = run("segment", folder, "--prompt", "liver", option, output, *overwrite)
        assert code == 2
        assert "lies in the input folder" in err
    assert content(folder) == {path.removeprefix("scans/"): mark for path, mark in before.items() if "scans/" in path}


def test_a_mask_that_is_there_is_replaced_when_asked(run, scan, tmp_path):
    mask, picture = tmp_path / "mask.nii.gz", tmp_path / "mask.png"
    command = ("segment", scan, "--prompt", "liver", "--box", "8,30,8,25,3,10")
    for option, path in (("-o", mask), ("--png", picture)):
        path.write_bytes(b"work of an hour")
        code, _, err = run(*command, option, path)
        assert code == 2
        assert f"'{path}' exists and is not replaced. Choose another name, or add --overwrite." in err
        assert path.read_bytes() == b"work of an hour"
    assert run(*command, "-o", mask, "--png", picture, "--overwrite")[0] == 0
    assert read_label_map(mask).values.shape == read_volume(scan).shape_ijk
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_broken_link_counts_as_an_existing_file(run, scan, tmp_path):
    (tmp_path / "mask.nii.gz").symlink_to(tmp_path / "archive.nii.gz")
    assert run("segment", scan, "--prompt", "liver", "-o", tmp_path / "mask.nii.gz")[0] == 2


def test_a_phantom_replaces_no_scan_unasked(run, scan, tmp_path):
    before = scan.read_bytes()
    code, _, err = run("phantom", "-o", scan)
    assert code == 2
    assert "exists and is not replaced" in err
    assert scan.read_bytes() == before
    assert run("phantom", "--region", "head and neck", "-o", scan, "--overwrite")[0] == 0
    assert scan.read_bytes() != before


@pytest.mark.parametrize("name", ["image.nii.gz", "label.nii.gz", "lesions.nii.gz", "meta.json", "facts.json"])
def test_a_folder_of_a_phantom_replaces_no_file_unasked(run, tmp_path, name):
    (tmp_path / name).write_bytes(b"what was there")
    code, _, err = run("phantom", "-o", tmp_path)
    assert code == 2
    assert f"holds {name}, which is not replaced" in err
    assert content(tmp_path).keys() == {name}


def test_a_manifest_replaces_no_file_unasked(run, tmp_path):
    (tmp_path / "ct" / "a").mkdir(parents=True)
    assert run("phantom", "--region", "head and neck", "-o", tmp_path / "ct" / "a")[0] == 0
    manifest = tmp_path / "all.jsonl"
    manifest.write_text("what was there", encoding="utf-8")
    assert run("manifest", tmp_path, "-o", manifest)[0] == 2
    assert manifest.read_text(encoding="utf-8") == "what was there"
    assert run("manifest", tmp_path, "-o", manifest, "--overwrite")[0] == 0
    assert manifest.read_text(encoding="utf-8").startswith("{")


@pytest.mark.parametrize("name", ["evaluation.json", "evaluation.md", "measurements.jsonl", "texts.jsonl"])
def test_an_evaluation_replaces_no_other_unasked(run, tmp_path, name):
    (tmp_path / name).write_text("what was there", encoding="utf-8")
    code, _, err = run("evaluate", "--model", "tiny-random", "--phantoms", "1", "-o", tmp_path)
    assert code == 2
    assert f"holds {name}" in err
    assert (tmp_path / name).read_text(encoding="utf-8") == "what was there"


def test_training_replaces_no_model_unasked_and_never_the_one_it_starts_from(run, tmp_path, model_dir, monkeypatch):
    from medvlsam2.training import train as training_run

    trained = []
    monkeypatch.setattr(training_run, "train", lambda config, **given: trained.append(given["output"]))
    train = ("train", "--preset", "tiny_random", "--run", tmp_path / "run")
    code, _, err = run(*train, "--output", model_dir)
    assert code == 2
    assert "config.yaml" in err
    for asked in ((), ("--overwrite",)):
        code, _, err = run(*train, "--output", model_dir, "--initial", model_dir, *asked)
        assert code == 2
        assert "is the input" in err
    assert trained == []
    assert run(*train, "--output", model_dir, "--overwrite")[0] == 0
    assert run(*train, "--output", tmp_path / "new")[0] == 0
    assert trained == [model_dir, tmp_path / "new"]
