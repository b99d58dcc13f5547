"""Clicks, boxes, slices and masks between a scan's grid and the model's, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from medvlsam2 import geometry
from medvlsam2.config import Sam2Config
from medvlsam2.data.volume import HU_MIN, CTVolume
from medvlsam2.errors import GeometryMismatch, InvalidPrompt
from medvlsam2.transforms.framing import Plane, plan
from medvlsam2.transforms.label_map import label_map_to_source
from medvlsam2.transforms.prepare import RESIZED_AT_ONCE, channel_slices, prepare, three_channels, whole_volume
from medvlsam2.transforms.spatial import GridBox, SpatialRecord
from medvlsam2.transforms.window import (
    WINDOWS_HU,
    apply_window,
    normalise,
    scale_whole_volume,
    window_at,
    window_of_box,
)

SHAPE = (31, 37, 23)
MARKERS_RAS = {"right": (1, 0, 0), "left": (-1, 0, 0), "front": (0, 1, 0), "back": (0, -1, 0), "head": (0, 0, 1)}


def record(
    shape: tuple[int, int, int] = (8, 10, 4),
    affine: np.ndarray | None = None,
    crop_hw: tuple[int, int, int, int] = (0, 10, 0, 8),
    side: int = 16,
) -> SpatialRecord:
    """A scan in RAS: d is k, h is j turned, w is i turned."""
    return SpatialRecord(
        source_shape_ijk=shape,
        source_affine=np.eye(4) if affine is None else affine,
        axes=(2, 1, 0),
        flips=(False, True, True),
        crop_hw=crop_hw,
        side=side,
    )


@pytest.fixture
def marked(oblique_affine: np.ndarray) -> tuple[CTVolume, dict[str, tuple[int, int, int]]]:
    """An oblique body with one bright voxel block 8 mm off the middle in each direction of the patient."""
    hu = np.full(SHAPE, -1000, dtype=np.int16)
    hu[2:-2, 2:-2, 1:-1] = 40
    middle_ras = geometry.ijk_to_ras(np.array([[n // 2 for n in SHAPE]]), oblique_affine)[0]
    markers = {}
    for number, (name, direction) in enumerate(MARKERS_RAS.items()):
        place = geometry.ras_to_ijk((middle_ras + 8 * np.array(direction))[None], oblique_affine)[0]
        i, j, k = (round(p) for p in place)
        hu[i - 1 : i + 2, j - 1 : j + 2, k] = 500 + 100 * number
        markers[name] = (i, j, k)
    return CTVolume(hu, oblique_affine, "marked"), markers


@pytest.mark.parametrize(
    ("plane", "directions"),
    [
        ("axial", {"head": (1, 0, 0), "front": (0, -1, 0), "right": (0, 0, -1)}),
        ("coronal", {"front": (1, 0, 0), "head": (0, -1, 0), "right": (0, 0, -1)}),
    ],
)
def test_planes_are_seen_as_radiologists_see_them(
    oblique_affine: np.ndarray, plane: Plane, directions: dict[str, tuple[int, int, int]]
) -> None:
    """A step to the patient's head goes up on a coronal slice, one to the right goes left, one forwards to the next."""
    view = plan(CTVolume(np.full(SHAPE, 40, dtype=np.int16), oblique_affine, "body"), 64, plane)
    middle_ras = geometry.ijk_to_ras(np.array([[n // 2 for n in SHAPE]]), oblique_affine)[0]
    for name, direction in directions.items():
        step_ras = np.array([middle_ras, middle_ras + 10 * np.array(MARKERS_RAS[name])])
        start, end = view.ijk_to_dhw(geometry.ras_to_ijk(step_ras, oblique_affine))
        moved_mm = (end - start) * (view.slice_spacing_mm, *view.pixel_mm)
        assert moved_mm @ np.array(direction) > 0.85 * np.linalg.norm(moved_mm)


def test_patients_directions_in_the_image(marked: tuple[CTVolume, dict[str, tuple[int, int, int]]]) -> None:
    volume, markers = marked
    prepared = prepare(volume, 64)
    middle = prepared.record.ijk_to_dhw(np.array([[n // 2 for n in SHAPE]]))[0]
    found = {}
    for number, name in enumerate(MARKERS_RAS):
        slices = prepared.hu_slices(range(prepared.record.num_slices))
        away = (slices - (500 + 100 * number)).abs()
        d, h, w = np.unravel_index(int(away.argmin()), tuple(away.shape))
        found[name] = np.array([d, h, w])
        expected = prepared.record.ijk_to_dhw(np.array([markers[name]]))[0]
        assert np.abs(found[name] - expected).max() <= 1.5
    assert found["right"][2] < middle[2] - 2 < middle[2] + 2 < found["left"][2]
    assert found["front"][1] < middle[1] - 2 < middle[1] + 2 < found["back"][1]
    assert found["head"][0] > middle[0] + 2


def test_a_click_shows_the_marker_under_it(marked: tuple[CTVolume, dict[str, tuple[int, int, int]]]) -> None:
    volume, markers = marked
    prepared = prepare(volume, 64)
    for name, (i, j, k) in markers.items():
        d, x, y = prepared.record.click_to_grid((float(i), float(j), float(k)), "Click 1")
        shown = prepared.hu_slices([d])[0, round(y), round(x)]
        assert abs(float(shown) - volume.hu[i, j, k]) < 60, name


def test_crossing_by_hand() -> None:
    # 10 rows and 8 columns become 16 x 16: a row is 1.6 pixels, a column 2.
    points = record().ijk_to_dhw(np.array([[0.0, 0.0, 3.0], [7.0, 9.0, 0.0], [3.5, 4.5, 1.5]]))
    np.testing.assert_allclose(points, [[3, 9.5 * 1.6 - 0.5, 7.5 * 2 - 0.5], [0, 0.8 - 0.5, 0.5], [1.5, 7.5, 7.5]])


def test_pixels_in_mm_of_unequal_spacings() -> None:
    wide = record(affine=np.diag([0.5, 2.0, 7.0, 1.0]), crop_hw=(-2, 12, -24, 32))
    assert wide.slice_spacing_mm == 7.0
    assert wide.pixel_mm == (2.0 * 14 / 16, 0.5 * 56 / 16)
    hu = np.full((120, 20, 4), -1000, dtype=np.int16)
    hu[40:100, 5:15] = 0
    planned = plan(CTVolume(hu, np.diag([0.5, 2.0, 7.0, 1.0]), "unequal"), 32)
    height_mm, width_mm = planned.pixel_mm
    assert height_mm == pytest.approx(width_mm, rel=0.05)


class TestClicks:
    @pytest.mark.parametrize("click", [(8.0, 0.0, 0.0), (0.0, -0.6, 0.0), (0.0, 0.0, 3.6), (float("nan"), 0.0, 0.0)])
    def test_outside_names_click_and_shape(self, click: tuple[float, float, float]) -> None:
        with pytest.raises(InvalidPrompt) as raised:
            record().click_to_grid(click, "Click 3")
        message = str(raised.value)
        assert message.startswith(f"Click 3 at voxel {click}")
        assert "(8, 10, 4)" in message
        assert "(7, 9, 3)" in message

    @pytest.mark.parametrize(("k", "d"), [(-0.5, 0), (0.4, 0), (0.6, 1), (3.5, 3)])
    def test_at_the_rim_is_on_the_nearest_slice(self, k: float, d: int) -> None:
        assert record().click_to_grid((0.0, 0.0, k), "Click 1")[0] == d


class TestBoxes:
    def test_half_open(self) -> None:
        box = record().box_to_grid((1, 3, 2, 7, 1, 3))
        assert (box.first, box.last) == (1, 2)
        # Columns 1 and 2 of 8 are 5 and 6 from the other side; a column is 2 pixels, its edges half pixels.
        np.testing.assert_allclose(box.xyxy, (5 * 2 - 0.5, 3 * 1.6 - 0.5, 7 * 2 - 0.5, 8 * 1.6 - 0.5))

    def test_one_voxel(self) -> None:
        box = record().box_to_grid((0, 1, 0, 1, 3, 4))
        assert (box.first, box.last) == (3, 3)
        assert box.xyxy[2] - box.xyxy[0] == pytest.approx(2.0)
        assert box.xyxy[3] - box.xyxy[1] == pytest.approx(1.6)

    def test_the_whole_scan(self) -> None:
        assert record().box_to_grid((0, 8, 0, 10, 0, 4)) == GridBox(0, 3, (-0.5, -0.5, 15.5, 15.5))

    def test_flipped_slices(self) -> None:
        turned = SpatialRecord((8, 10, 4), np.eye(4), (2, 1, 0), (True, True, True), (0, 10, 0, 8), 16)
        box = turned.box_to_grid((0, 8, 0, 10, 0, 1))
        assert (box.first, box.last) == (3, 3)


class TestSlices:
    def test_beyond_the_scan_is_air(self) -> None:
        hu = torch.full((1, 10, 8), 40.0)
        shown = record(crop_hw=(-10, 20, -8, 16), side=30).resize_slices(hu)[0]
        assert shown.shape == (30, 30)
        assert float(shown[15, 15]) == 40.0
        for rim in (shown[0], shown[-1], shown[:, 0], shown[:, -1]):
            assert torch.equal(rim, torch.full((30,), float(HU_MIN)))

    def test_labels_beyond_the_scan_are_background(self) -> None:
        labels = np.full((1, 10, 8), 3, dtype=np.uint8)
        shown = record(crop_hw=(-10, 20, -8, 16), side=30).resize_labels(labels, 30)[0]
        assert (shown[10:20, 10:20] == 3).all()
        assert shown.sum() == 3 * 100

    def test_the_crop_is_the_body_and_a_margin(self) -> None:
        hu = np.full((100, 100, 5), -1000, dtype=np.int16)
        hu[30:50, 40:80] = 0
        planned = plan(CTVolume(hu, np.eye(4), "block"), 64)
        r0, r1, c0, c1 = planned.crop_hw
        # Rows run against j, columns against i; 40 mm of body and 8 mm on both sides make the square.
        assert (r1 - r0, c1 - c0) == (56, 56)
        assert (r0, c0) == (100 - 80 - 8, 100 - 50 - 18)

    def test_a_scan_of_air_alone_is_shown_whole(self) -> None:
        hu = np.full((20, 30, 4), -1000, dtype=np.int16)
        r0, r1, c0, c1 = plan(CTVolume(hu, np.eye(4), "air"), 64).crop_hw
        assert r0 <= 0
        assert r1 >= 30
        assert c0 <= 0
        assert c1 >= 20

    def test_neighbours_are_the_channels(self) -> None:
        hu = np.zeros((12, 12, 5), dtype=np.int16)
        hu[:] = np.arange(5, dtype=np.int16) * 30
        prepared = prepare(CTVolume(hu, np.eye(4), "ramp"), 16)
        shown = prepared.sam2_slices([0, 2, 4], "soft", Sam2Config(neighbour_slices=True))
        expected = torch.tensor([[0, 0, 30], [30, 60, 90], [90, 120, 120]])[:, :, None, None].expand(-1, -1, 16, 16)
        inside = three_channels(expected, "soft")[:, :, 8, 8]
        torch.testing.assert_close(shown[:, :, 8, 8], inside)
        same = prepared.sam2_slices([2], "soft", Sam2Config())[:, :, 8, 8]
        torch.testing.assert_close(same, three_channels(torch.full((1, 3, 16, 16), 60.0), "soft")[:, :, 8, 8])

    def test_neighbours_are_as_far_away_as_the_model_asks(self) -> None:
        thin = prepare(CTVolume(np.zeros((8, 8, 9), dtype=np.int16), np.diag([1.0, 1.0, 1.5, 1.0]), "thin"), 16)
        config = Sam2Config(neighbour_slices=True, neighbour_mm=3.0)
        rows = channel_slices([0, 4, 8], thin.record.num_slices, thin.record.slice_spacing_mm, config)
        np.testing.assert_array_equal(rows, [[0, 0, 2], [2, 4, 6], [6, 8, 8]])
        np.testing.assert_array_equal(channel_slices([4], 9, 10.0, config), [[3, 4, 5]])
        np.testing.assert_array_equal(channel_slices([4], 9, 1.5, Sam2Config()), [[4, 4, 4]])

    @pytest.mark.parametrize("shape", [(2, 2, 2), (2, 40, 3), (40, 2, 2)])
    def test_tiny_scans(self, shape: tuple[int, int, int]) -> None:
        prepared = prepare(CTVolume(np.zeros(shape, dtype=np.int16), np.eye(4), "tiny"), 16)
        assert prepared.hu_slices([0, 1]).shape == (2, 16, 16)
        assert prepared.whole_volume((4, 8, 8)).shape == (1, 1, 4, 8, 8)
        logits = torch.full((shape[2], 8, 8), 5.0)
        assert flat_mask(prepared.record, logits).all()

    def test_many_slices_are_each_what_one_alone_is(self) -> None:
        hu = np.random.default_rng(0).integers(-1000, 1000, (9, 11, 2 * RESIZED_AT_ONCE + 3)).astype(np.int16)
        prepared = prepare(CTVolume(hu, np.eye(4), "long"), 16)
        numbers = [5, *range(prepared.record.num_slices)]
        alone = torch.cat([prepared.hu_slices([number]) for number in numbers])
        assert torch.equal(prepared.hu_slices(numbers), alone)

    def test_extreme_spacing(self) -> None:
        affine = np.diag([0.2, 40.0, 100.0, 1.0])
        prepared = prepare(CTVolume(np.zeros((300, 3, 2), dtype=np.int16), affine, "slab"), 32)
        assert prepared.hu_slices([0]).shape == (1, 32, 32)
        assert flat_mask(prepared.record, torch.full((2, 8, 8), 5.0)).shape == (300, 3, 2)

    def test_an_array_of_another_shape_is_refused(self) -> None:
        with pytest.raises(GeometryMismatch, match=r"\(8, 10, 5\).*\(8, 10, 4\)"):
            record().orient(np.zeros((8, 10, 5)))


FLAT = np.zeros((8, 10, 4), dtype=np.int16)
"""A scan without an edge."""


def flat_mask(record: SpatialRecord, logits: torch.Tensor) -> np.ndarray:
    return label_map_to_source([(logits, record)], np.zeros(record.source_shape_ijk, dtype=np.int16)) > 0


class TestMasks:
    def test_a_quadrant_comes_back_on_its_side(self) -> None:
        logits = torch.full((4, 8, 8), -5.0)
        logits[1, :4, :4] = 5.0  # front, right of the patient: high j, high i
        mask = flat_mask(record(), logits)
        expected = np.zeros((8, 10, 4), dtype=bool)
        expected[4:, 5:, 1] = True
        np.testing.assert_array_equal(mask, expected)

    def test_the_likelier_object_wins(self) -> None:
        one, two = torch.full((4, 8, 8), -5.0), torch.full((4, 8, 8), -5.0)
        one[0] = 1.0
        two[0, :4] = 3.0
        two[2] = 0.5
        label_map = label_map_to_source([(one, record()), (two, record())], FLAT)
        assert (label_map[:, 6:, 0] == 2).all()
        assert (label_map[:, :4, 0] == 1).all()
        assert (label_map[..., 2] == 2).all()
        assert not label_map[..., [1, 3]].any()
        assert label_map.dtype == np.uint8

    def test_nothing_outside_the_crop(self) -> None:
        mask = flat_mask(record(crop_hw=(2, 6, 3, 7)), torch.full((4, 8, 8), 5.0))
        expected = np.zeros((8, 10, 4), dtype=bool)
        expected[8 - 7 : 8 - 3, 10 - 6 : 10 - 2] = True
        np.testing.assert_array_equal(mask, expected)

    def test_as_many_objects_as_a_label_map_holds(self) -> None:
        logits = [torch.full((4, 2, 2), -5.0) for _ in range(255)]
        logits[254][3] = 5.0
        assert set(np.unique(label_map_to_source([(one, record()) for one in logits], FLAT))) == {0, 255}

    def test_views_of_different_parts_meet_on_one_grid(self) -> None:
        whole, part = record(), record(crop_hw=(2, 6, 3, 7))
        one, two = torch.full((4, 8, 8), 1.0), torch.full((4, 8, 8), 2.0)
        label_map = label_map_to_source([(one, whole), (two, part)], FLAT)
        expected = np.ones((8, 10, 4), dtype=np.uint8)
        expected[8 - 7 : 8 - 3, 10 - 6 : 10 - 2] = 2
        np.testing.assert_array_equal(label_map, expected)
        np.testing.assert_array_equal(label_map_to_source([(two, part), (one, whole)], FLAT), 3 - expected)

    def test_slices_must_be_the_scans(self) -> None:
        with pytest.raises(GeometryMismatch, match="5 slices, the scan has 4"):
            flat_mask(record(), torch.zeros(5, 8, 8))


class TestWindows:
    def test_edges_are_black_and_white(self) -> None:
        for window, (level_hu, width_hu) in WINDOWS_HU.items():
            hu = torch.tensor([level_hu - width_hu / 2, level_hu, level_hu + width_hu / 2, 9e9, -9e9])
            torch.testing.assert_close(apply_window(hu, window), torch.tensor([0.0, 0.5, 1.0, 1.0, 0.0]))

    def test_normalised_as_sam2_does(self) -> None:
        grey = torch.stack([torch.full((2, 2), value) for value in (0.485, 0.456, 0.406 + 0.225)])[None]
        torch.testing.assert_close(normalise(grey)[0, :, 0, 0], torch.tensor([0.0, 0.0, 1.0]))

    @pytest.mark.parametrize(("hu", "window"), [(-800.0, "lung"), (-100.0, "soft"), (60.0, "soft"), (700.0, "bone")])
    def test_window_of_a_click(self, hu: float, window: str) -> None:
        assert window_at(hu) == window

    def test_window_of_a_box_is_that_of_what_ends_at_its_edges(self) -> None:
        hu = np.full((30, 30, 30), 40, dtype=np.int16)
        horseshoe = hu.copy()
        horseshoe[10:20, 10, 12:18] = horseshoe[10, 10:20, 12:18] = horseshoe[19, 10:20, 12:18] = 800
        assert window_of_box(horseshoe, (10, 20, 10, 20, 12, 18)) == "bone"
        spine = hu.copy()
        spine[8:24, 18:, :] = 800  # goes on to all sides but the front
        assert window_of_box(spine, (12, 18, 12, 22, 8, 22)) == "soft"
        lung = hu.copy()
        lung[8:22, 8:22, 8:22] = -850
        assert window_of_box(lung, (8, 22, 8, 22, 8, 22)) == "lung"
        assert window_of_box(hu, (-3, 10, 25, 40, 0, 30)) == "soft", "a box may reach beyond the scan"

    def test_whole_volume_is_an_average(self) -> None:
        hu = torch.tensor([-1000.0, 1000.0]).repeat(4).view(8, 1, 1).expand(8, 16, 16)
        pooled = whole_volume(hu.split(3), (4, 8, 8))
        torch.testing.assert_close(pooled, torch.full((1, 1, 4, 8, 8), 0.5))

    @pytest.mark.parametrize("at_once", [1, 7, 50])
    def test_whole_volume_of_parts_is_that_of_all(self, at_once: int) -> None:
        hu = torch.randn(21, 30, 30) * 1500
        wanted = F.adaptive_avg_pool3d(scale_whole_volume(hu)[None, None], (8, 16, 12))
        torch.testing.assert_close(whole_volume(hu.split(at_once), (8, 16, 12)), wanted)
