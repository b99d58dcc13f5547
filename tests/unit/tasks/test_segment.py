"""Segmentation over the tiny random model: grids, prompts, order, repeatability."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from medvlsam2.data.phantom import Phantom
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import InvalidPrompt, UnknownStructure
from medvlsam2.geometry import voxel_volume_ml
from medvlsam2.model import checkpoint
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import Segmentation, segment


@pytest.fixture
def sure_dir(model_dir: Path) -> Path:
    """A model that finds the object on every slice."""
    loaded = checkpoint.load(model_dir)
    with torch.no_grad():
        loaded.model.sam2.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(8.0)
    checkpoint.save(model_dir, loaded.model, loaded.tokenizer, loaded.metadata)
    return model_dir


def middle(volume: CTVolume) -> tuple[float, float, float]:
    i, j, k = (float(n // 2) for n in volume.shape_ijk)
    return i, j, k


def click(volume: CTVolume, **more: object) -> ObjectPrompt:
    return ObjectPrompt(points_ijk=(middle(volume),), point_labels=(1,), **more)


def assert_equal(one: Segmentation, other: Segmentation) -> None:
    np.testing.assert_array_equal(one.label_map, other.label_map)
    assert one.objects == other.objects


@pytest.mark.parametrize("code", ["RAS", "LPS", "SAR", "PIL"])
def test_the_label_map_is_on_the_scans_grid(sure_dir: Path, small_phantom: Phantom, code: str) -> None:
    """Turned arrays of one scan give turned masks of one object."""
    source = small_phantom.volume
    image = nib.Nifti1Image(source.hu, source.affine)
    turn = nib.orientations.ornt_transform(
        nib.io_orientation(source.affine), nib.orientations.axcodes2ornt(tuple(code))
    )
    turned = image.as_reoriented(turn)
    volume = CTVolume(np.ascontiguousarray(turned.dataobj), turned.affine, "turned")
    assert volume.orientation == code
    prompts = [ObjectPrompt(text="liver"), ObjectPrompt(text="left kidney")]
    expected = segment(Engine(sure_dir), source, prompts)
    found = segment(Engine(sure_dir), volume, prompts)
    assert found.label_map.shape == volume.shape_ijk
    assert found.label_map.dtype == np.uint8
    assert expected.label_map.any()
    back = nib.orientations.apply_orientation(expected.label_map, turn)
    assert (back == found.label_map).mean() > 0.999
    for one, other in zip(expected.objects, found.objects, strict=True):
        assert one.volume_ml == pytest.approx(other.volume_ml, rel=0.02)
        assert one.diameter_mm == pytest.approx(other.diameter_mm, rel=0.02)


def test_objects_are_in_the_order_of_label_values(sure_dir: Path, small_phantom: Phantom) -> None:
    volume = small_phantom.volume
    prompts = [
        ObjectPrompt(text="bones"),
        ObjectPrompt(text="lt. kidney", name="mine"),
        click(volume),
        ObjectPrompt(text="the largest cyst in the liver"),
    ]
    shares: list[float] = []
    found = segment(Engine(sure_dir), volume, prompts[1:], progress=shares.append)
    assert [item.name for item in found.objects] == ["mine", "object", "the largest cyst in the liver"]
    for number, item in enumerate(found.objects, start=1):
        voxels = int((found.label_map == number).sum())
        assert item.present == (voxels > 0)
        assert item.volume_ml == pytest.approx(voxels * voxel_volume_ml(volume.affine))
        assert 0 <= item.confidence <= 1
        assert all(0 <= value <= 1 for value in item.slice_confidence.values())
    assert found.label_map.max() <= 3
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert found.latencies_s["total"] >= max(found.latencies_s.values())


def test_the_same_request_gives_the_same_result(sure_dir: Path, small_phantom: Phantom) -> None:
    prompts = [ObjectPrompt(text="liver"), click(small_phantom.volume)]
    engine = Engine(sure_dir)
    first = segment(engine, small_phantom.volume, prompts)
    assert_equal(first, segment(engine, small_phantom.volume, prompts))
    assert_equal(first, segment(Engine(sure_dir), small_phantom.volume, prompts))


def test_a_click_grows_to_both_sides(sure_dir: Path, small_phantom: Phantom) -> None:
    volume = small_phantom.volume
    found = segment(Engine(sure_dir), volume, [click(volume)]).objects[0]
    k = volume.shape_ijk[2] // 2
    assert found.present
    assert min(found.slice_confidence) < k < max(found.slice_confidence)


def test_slice_confidence_is_keyed_by_the_scans_slices(sure_dir: Path, small_phantom: Phantom) -> None:
    source = small_phantom.volume
    affine = source.affine @ np.diag([1.0, 1.0, -1.0, 1.0])
    affine[:3, 3] = source.affine[:3, 3] + source.affine[:3, 2] * (source.shape_ijk[2] - 1)
    for volume in (source, CTVolume(np.ascontiguousarray(source.hu[..., ::-1]), affine, "upside down")):
        box = (10, 50, 10, 45, 5, 9)
        found = segment(Engine(sure_dir), volume, [ObjectPrompt(box_ijk=box)])
        slices = set(np.flatnonzero(found.label_map.any(axis=(0, 1))).tolist())
        assert slices
        assert slices <= set(range(5, 9)), "a box limits the slices"
        assert slices <= set(found.objects[0].slice_confidence) <= set(range(5, 9))


def test_a_new_version_answers_the_next_request(sure_dir: Path, small_phantom: Phantom) -> None:
    engine = Engine(sure_dir)
    boxed = ObjectPrompt(box_ijk=(10, 50, 10, 45, 5, 9))
    assert segment(engine, small_phantom.volume, [boxed]).objects[0].present
    name = "sam2.sam_mask_decoder.pred_obj_score_head.layers.2.bias"
    tensors = {name: torch.full((1,), -8.0)}
    checkpoint.publish(sure_dir, "v0001", tensors, {}, use=True)
    found = segment(engine, small_phantom.volume, [boxed, ObjectPrompt(text="liver")])
    marked, liver = found.objects
    assert not liver.present
    assert liver.confidence > 0.9, "sure of its absence"
    assert (marked.present, marked.confidence) == (True, 0.0), "a box is never empty, and nothing is sure of it"


class TestRefused:
    @pytest.fixture
    def engine(self, tiny_model_dir: Path) -> Engine:
        return Engine(tiny_model_dir)

    def test_a_click_outside(self, engine: Engine, small_phantom: Phantom) -> None:
        prompt = ObjectPrompt(points_ijk=((64.0, 0.0, 0.0),), point_labels=(1,))
        with pytest.raises(InvalidPrompt, match=r"Click 1 at voxel \(64\.0, 0\.0, 0\.0\).*\(64, 56, 36\)"):
            segment(engine, small_phantom.volume, [prompt])

    @pytest.mark.parametrize("count", [0, 256])
    def test_too_few_or_many(self, engine: Engine, small_phantom: Phantom, count: int) -> None:
        with pytest.raises(InvalidPrompt, match=f"{count} prompts given; 1 to 255"):
            segment(engine, small_phantom.volume, [ObjectPrompt(text="liver")] * count)

    def test_an_unknown_structure(self, engine: Engine, small_phantom: Phantom) -> None:
        with pytest.raises(UnknownStructure, match=r"'lvr' names no structure.*Did you mean .*liver"):
            segment(engine, small_phantom.volume, [ObjectPrompt(text="lvr")])

    def test_an_inverted_box(self, engine: Engine, small_phantom: Phantom) -> None:
        with pytest.raises(InvalidPrompt, match=r"Box \(9, 3, 0, 5, 0, 2\)"):
            segment(engine, small_phantom.volume, [ObjectPrompt(box_ijk=(9, 3, 0, 5, 0, 2))])

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({}, "no text, no point, no box"),
            ({"text": "  "}, "'  ' is empty"),
            ({"points_ijk": ((0.0, 0.0, 0.0),)}, "1 points and 0 labels"),
            ({"points_ijk": ((0.0, 0.0, 0.0),), "point_labels": (2,)}, r"\(2,\) given; allowed are 1"),
            ({"points_ijk": ((0.0, 0.0, 0.0),), "point_labels": (0,)}, "all beside the object"),
        ],
    )
    def test_prompts_that_say_nothing(self, given: dict[str, object], message: str) -> None:
        with pytest.raises(InvalidPrompt, match=message):
            ObjectPrompt(**given)
