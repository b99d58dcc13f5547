"""The picture of a segmentation: on the right side, in the right colours, in any orientation."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from medvlsam2.data import vocabulary
from medvlsam2.data.readers import read_label_map, read_volume
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import GeometryMismatch
from medvlsam2.geometry import voxel_volume_ml
from medvlsam2.tasks import overlay
from medvlsam2.tasks.answers.results import ObjectResult
from medvlsam2.tasks.overlay import write_overlay

SHAPE = (40, 30, 12)
MARK_RGB = np.array(vocabulary.find("liver").color_rgb)


def found(name: str, *, present: bool = True, volume_ml: float = 12.0) -> ObjectResult:
    return ObjectResult(name, present, 0.9, volume_ml, 20.0, {}, None)


def body(orientation: str) -> tuple[CTVolume, np.ndarray]:
    """Soft tissue in air with a mark in the patient's right, front, upper corner, stored in any orientation."""
    hu = np.full(SHAPE, -1000, np.int16)
    hu[4:-4, 4:-4, :] = 40
    mark = np.zeros(SHAPE, np.uint8)
    mark[26:36, 16:26, 8:] = 1
    affine = np.diag([5.0, 6.0, 10.0, 1.0])  # RAS: i grows to the patient's right, as this mark does
    turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(orientation))
    stored = [nib.Nifti1Image(array, affine).as_reoriented(turn) for array in (hu, mark)]
    volume = CTVolume(np.asarray(stored[0].dataobj), np.asarray(stored[0].affine), "body")
    return volume, np.asarray(stored[1].dataobj)


def picture(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def marked(pixels: np.ndarray) -> np.ndarray:
    """Pixels tinted like the liver's colour: much more red than blue."""
    return (pixels[..., 0] - pixels[..., 2] > 25) & (pixels[..., 1] < 190)


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "LAS", "ASL", "IPR"])
def test_the_patients_right_front_and_head_are_where_radiologists_look(tmp_path, orientation):
    volume, mark = body(orientation)
    write_overlay(tmp_path / "o.png", volume, mark, [found("liver")])
    pixels = picture(tmp_path / "o.png")
    height, width, _ = pixels.shape
    axial = np.argwhere(marked(pixels[60 : height // 2, 30 : width // 3 - 20]))
    coronal = np.argwhere(marked(pixels[height // 2 + 40 :, 30 : width // 3 - 20]))
    rows, columns = height // 2 - 60, width // 3 - 50
    assert len(axial) > 500
    assert len(coronal) > 500
    assert np.median(axial[:, 0]) < 0.5 * rows  # the front is on top
    assert np.median(axial[:, 1]) < 0.5 * columns  # the patient's right is on the left
    assert np.median(coronal[:, 0]) < 0.5 * rows  # the head is on top
    assert np.median(coronal[:, 1]) < 0.5 * columns


def test_pixels_are_square_in_millimetres(tmp_path, monkeypatch):
    panels = []
    draw = overlay._draw

    def remember(axes, panel, colors):
        panels.append((axes, panel))
        draw(axes, panel, colors)

    monkeypatch.setattr(overlay, "_draw", remember)
    volume, mark = body("LPS")
    write_overlay(tmp_path / "o.png", volume, mark, [found("liver")])
    assert [panel.title.split()[0].strip(",") for _, panel in panels] == ["axial"] * 3 + ["coronal", "sagittal"]
    for axes, panel in panels:
        box = axes.get_window_extent()
        tall_mm, wide_mm = panel.hu.shape[0] * panel.spacing_mm[0], panel.hu.shape[1] * panel.spacing_mm[1]
        assert box.width / box.height == pytest.approx(wide_mm / tall_mm, rel=0.02)
    assert panels[0][1].spacing_mm == (6.0, 5.0)
    assert panels[3][1].spacing_mm == (10.0, 5.0)
    assert panels[4][1].spacing_mm == (10.0, 6.0)


def test_slices_show_every_object_where_it_is_largest():
    volume, _ = body("RAS")
    labels = np.zeros(SHAPE, np.uint8)
    labels[26:36, 16:26, 8:11] = 1
    labels[6:12, 6:12, 2] = 2
    labels[6:10, 6:10, 3] = 2
    scene = overlay._Scene.of(volume, labels, [found("liver"), found("spleen")])
    slices = scene.best_slices()
    assert 2 in slices
    assert any(8 <= d < 11 for d in slices)
    assert len(set(slices)) == 3
    assert slices == sorted(slices, reverse=True)


def test_the_window_fits_the_structure():
    volume, mark = body("RAS")
    for name, window in (("liver", "soft"), ("left lung", "lung"), ("L1 vertebra", "bone"), ("thing", "soft")):
        scene = overlay._Scene.of(volume, mark, [found(name)])
        assert scene.axial(9).window == window
        assert scene.axial(0).window == "soft"


def test_nothing_found_is_drawn_too(tmp_path):
    volume, mark = body("LPS")
    write_overlay(tmp_path / "o.png", volume, np.zeros_like(mark), [found("brain", present=False, volume_ml=0.0)])
    assert not marked(picture(tmp_path / "o.png")[60:410, 70:380]).any()  # without the letters R and L


def test_many_objects_fit_the_legend(tmp_path):
    volume, mark = body("LPS")
    names = list(vocabulary.names())[:80]
    write_overlay(tmp_path / "o.png", volume, mark, [found(name) for name in names])
    assert picture(tmp_path / "o.png").shape == (860, 1300, 3)


def test_a_label_map_of_another_grid_is_refused(tmp_path):
    volume, mark = body("LPS")
    with pytest.raises(GeometryMismatch, match="shape"):
        write_overlay(tmp_path / "o.png", volume, mark[1:], [found("liver")])


def test_the_real_abdomens_liver_is_on_the_left_of_the_picture(tmp_path, shared_data):
    folder = shared_data / "ct" / "TS_abdo"
    volume, label = read_volume(folder / "image.nii.gz"), read_label_map(folder / "label.nii.gz")
    named = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["labels"]
    value = next(int(number) for number, name in named.items() if name == "liver")
    mask = (label.values == value).astype(np.uint8)
    volume_ml = float(mask.sum()) * voxel_volume_ml(volume.affine)
    write_overlay(tmp_path / "o.png", volume, mask, [found("liver", volume_ml=volume_ml)])
    axial = marked(picture(tmp_path / "o.png")[60:430, 40:420])
    assert axial.sum() > 5000
    assert np.median(np.argwhere(axial)[:, 1]) < 0.45 * axial.shape[1]
