"""A scan in memory: the arrays that it refuses, its description, and its cache key."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medvlsam2.data.volume import HASHED_AT_ONCE, CTVolume
from medvlsam2.errors import UnreadableVolume


@pytest.fixture
def volume(small_hu, oblique_affine) -> CTVolume:
    """The small oblique scan."""
    return CTVolume(hu=small_hu, affine=oblique_affine, image_id="case-1")


def test_repr_shows_the_geometry(volume):
    assert volume.shape_ijk == (5, 7, 9)
    assert volume.spacing_mm == pytest.approx((0.7, 0.9, 2.5))
    assert volume.orientation == "LPS"
    assert repr(volume) == "CTVolume('case-1', 5x7x9 ijk, 0.70x0.90x2.50 mm, LPS)"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_flat_volume_is_refused_with_its_shape(volume, axis):
    flat = np.take(volume.hu, [0], axis=axis)
    with pytest.raises(UnreadableVolume) as caught:
        replace(volume, hu=flat)
    assert str(flat.shape) in str(caught.value)
    assert "'case-1'" in str(caught.value)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_an_affine_that_cannot_be_inverted_is_refused(volume, value):
    affine = volume.affine.copy()
    affine[:3, 1] = value
    with pytest.raises(UnreadableVolume, match="'case-1' has an affine that cannot be inverted"):
        replace(volume, affine=affine)


def test_the_hash_does_not_depend_on_memory_layout_name_or_warnings(volume):
    same = CTVolume(np.asfortranarray(volume.hu), volume.affine.copy(), "other", ("a warning",))
    assert same.content_hash == volume.content_hash


def test_every_plane_is_in_the_hash(volume):
    hu = np.zeros((2 * HASHED_AT_ONCE + 3, 4, 5), dtype=np.int16)
    hashes = set()
    for plane in range(len(hu)):
        hu[plane, 1, 2] += 1
        hashes.add(CTVolume(np.asfortranarray(hu), volume.affine, "case").content_hash)
    assert len(hashes) == len(hu)
    assert CTVolume(hu, volume.affine, "case").content_hash in hashes


def test_the_hash_changes_with_a_voxel_the_place_or_the_shape(volume):
    voxel = volume.hu.copy()
    voxel[4, 6, 8] += 1
    moved = volume.affine.copy()
    moved[0, 3] += 0.01
    others = [
        replace(volume, hu=voxel),
        replace(volume, affine=moved),
        replace(volume, hu=volume.hu.reshape(7, 5, 9)),
        replace(volume, hu=volume.hu.reshape(9, 7, 5)),
    ]
    assert len({volume.content_hash, *(other.content_hash for other in others)}) == 5


def test_a_negative_zero_in_the_affine_gives_the_same_hash(volume):
    plus, minus = np.diag([1.0, 1, 1, 1]), np.diag([1.0, 1, 1, 1])
    minus[0, 1] = -0.0
    assert replace(volume, affine=plus).content_hash == replace(volume, affine=minus).content_hash


def test_volumes_are_compared_by_identity(volume):
    assert volume != replace(volume)
    assert len({volume, replace(volume)}) == 2
