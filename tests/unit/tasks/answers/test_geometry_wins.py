"""A box or a click on an object gives that object under any segment name, and never an empty mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from medvlsam2.data.label_maps import read_label_map
from medvlsam2.data.overlap import dice
from medvlsam2.data.phantom import Phantom
from medvlsam2.data.readers import read_volume
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.answers.intensity import by_intensity
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment
from medvlsam2.voxel_box import BoxIJK


@pytest.mark.parametrize("name", ["lesion", "GTV", "my organ", "liver"])
def test_a_wrong_name_does_not_empty_a_box_or_a_click(
    nano: Engine, small_phantom: Phantom, truth: dict[str, np.ndarray], name: str
) -> None:
    spleen = truth["spleen"]
    boxed = ObjectPrompt(text=name, box_ijk=box_round(spleen))
    clicked = ObjectPrompt(text=name, points_ijk=(deepest(spleen),), point_labels=(1,))
    for prompt in (boxed, clicked):
        found = segment(nano, small_phantom.volume, [prompt])
        assert dice(found.label_map == 1, spleen) > 0.8
        assert found.objects[0].name == prompt.display_name
        assert any(f"'{name}'" in note and "alone" in note for note in found.warnings), found.warnings


@pytest.mark.parametrize("name", ["kidney", "kidneys", "vertebrae", "Spleen (edited)", "renal cyst", "lungs"])
def test_words_in_many_pieces_do_not_reach_what_was_not_clicked(
    nano: Engine, small_phantom: Phantom, truth: dict[str, np.ndarray], name: str
) -> None:
    """A click in the liver under "kidneys" gave both kidneys, and voxels of the liver."""
    points, labels = (deepest(truth["liver"]),), (1,)
    found = segment(nano, small_phantom.volume, [ObjectPrompt(text=name, points_ijk=points, point_labels=labels)])
    alone = segment(nano, small_phantom.volume, [ObjectPrompt(points_ijk=points, point_labels=labels)])
    np.testing.assert_array_equal(found.label_map, alone.label_map)
    assert any(f"'{name}' and the clicks disagree" in note for note in found.warnings), found.warnings


def test_a_pair_that_was_clicked_is_found_without_a_word(
    nano: Engine, small_phantom: Phantom, truth: dict[str, np.ndarray]
) -> None:
    prompt = ObjectPrompt(text="kidneys", points_ijk=(deepest(truth["kidney_left"]),), point_labels=(1,))
    found = segment(nano, small_phantom.volume, [prompt])
    assert found.warnings == ()
    assert (found.label_map == 1)[truth["kidney_left"]].mean() > 0.7


def test_a_right_name_is_used_without_a_word(
    nano: Engine, small_phantom: Phantom, truth: dict[str, np.ndarray]
) -> None:
    for name, key in (("spleen", "spleen"), ("left kidney", "kidney_left")):
        prompt = ObjectPrompt(text=name, points_ijk=(deepest(truth[key]),), point_labels=(1,))
        found = segment(nano, small_phantom.volume, [prompt])
        assert found.warnings == ()
        assert dice(found.label_map == 1, truth[key]) > 0.85


def test_what_the_model_cannot_see_is_marked_by_its_brightness(tiny_model_dir: Path, small_phantom: Phantom) -> None:
    """The tiny random model sees nothing anywhere."""
    box = (20, 30, 20, 32, 10, 18)
    found = segment(Engine(tiny_model_dir), small_phantom.volume, [ObjectPrompt(box_ijk=box)])
    held = found.label_map == 1
    outside = held.copy()
    outside[20:30, 20:32, 10:18] = False
    assert held.any()
    assert not outside.any()
    if found.objects[0].confidence == 0.0:
        assert "by its brightness alone" in found.warnings[-1]


def test_brightness_in_a_box_and_round_a_click() -> None:
    """A bright ball of 80 HU in fat: its middle says what it is, the box how far it may go."""
    places = np.indices((30, 30, 20)) - np.array([15, 15, 10])[:, None, None, None]
    ball = (places**2).sum(axis=0) <= 36
    hu = np.where(ball, 80, -100).astype(np.int16)
    volume = CTVolume(hu, np.diag([1.0, 1.0, 1.0, 1.0]), "ball")
    assert dice(by_intensity(volume, ObjectPrompt(box_ijk=(8, 23, 8, 23, 3, 18))), ball) > 0.8
    assert dice(by_intensity(volume, ObjectPrompt(points_ijk=((15.0, 15.0, 10.0),), point_labels=(1,))), ball) > 0.8
    cut = ObjectPrompt(points_ijk=((13.0, 15.0, 10.0), (19.0, 15.0, 10.0)), point_labels=(1, 0))
    kept = by_intensity(volume, cut)
    assert kept[13, 15, 10]
    assert not kept[19, 15, 10]


def test_the_box_of_a_real_sarcoma_is_not_empty(nano: Engine, shared_data: Path) -> None:
    """The annotator's box of STS_035 gave nothing under any name."""
    folder = shared_data / "ct" / "STS_035"
    volume = read_volume(folder / "image.nii.gz", image_id="STS_035")
    sarcoma = read_label_map(folder / "label.nii.gz").values == 1
    box = box_round(sarcoma)
    found = segment(nano, volume, [ObjectPrompt(text="tumor", box_ijk=box)])
    assert dice(found.label_map == 1, sarcoma) > 0.3


def test_clicked_voxels_have_their_label_on_the_scans_grid(
    nano: Engine, small_phantom: Phantom, truth: dict[str, np.ndarray]
) -> None:
    i, j, k = deepest(truth["spleen"])
    edge = tuple(float(place) for place in np.argwhere(truth["spleen"])[0])
    beside = (i, j, k + 1)
    prompt = ObjectPrompt(text="spleen", points_ijk=((i, j, k), edge, beside), point_labels=(1, 1, 0))
    found = segment(nano, small_phantom.volume, [prompt]).label_map
    for place, wanted in zip(prompt.points_ijk, prompt.point_labels, strict=True):
        assert found[tuple(int(at) for at in place)] == wanted


def test_a_click_beside_the_scan_is_left_out_with_a_warning(
    nano: Engine, small_phantom: Phantom, truth: dict[str, np.ndarray]
) -> None:
    place = deepest(truth["spleen"])
    clean = ObjectPrompt(points_ijk=(place,), point_labels=(1,))
    for stray, label in (((-3.0, 4.0, 5.0), 0), ((9.0, 9.0, 36.0), 1)):
        prompt = ObjectPrompt(points_ijk=(place, stray), point_labels=(1, label))
        found = segment(nano, small_phantom.volume, [prompt])
        np.testing.assert_array_equal(found.label_map, segment(nano, small_phantom.volume, [clean]).label_map)
        assert any("Click 2" in note and "outside the scan" in note for note in found.warnings)
    with pytest.raises(InvalidPrompt, match="outside the volume"):
        segment(nano, small_phantom.volume, [ObjectPrompt(points_ijk=((-3.0, 4.0, 5.0), place), point_labels=(1, 0))])


def box_round(mask: np.ndarray) -> BoxIJK:
    """The smallest box round a mask."""
    places = np.argwhere(mask)
    (i0, j0, k0), (i1, j1, k1) = places.min(axis=0).tolist(), (places.max(axis=0) + 1).tolist()
    return i0, i1, j0, j1, k0, k1


def deepest(mask: np.ndarray) -> tuple[float, float, float]:
    """The voxel of a mask that is farthest from its surface."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1, 1:-1]
    i, j, k = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return float(i), float(j), float(k)
