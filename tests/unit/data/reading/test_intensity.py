"""The check for Hounsfield units gives no warning for any real CT and a warning for every real MR."""

from __future__ import annotations

import numpy as np
import pytest

from medvlsam2.data.readers import read_volume
from medvlsam2.data.reading.intensity import ct_warning, to_hu


def test_no_real_ct_gives_a_warning(shared_data):
    paths = sorted((shared_data / "ct").glob("*/image.nii.gz"))
    assert len(paths) > 100
    loud = {path.parent.name: volume.warnings for path in paths if (volume := read_volume(path)).warnings}
    assert loud == {}


def test_every_real_mr_gives_a_warning(shared_data):
    paths = sorted((shared_data / "mr").glob("*/image.nii.gz"))
    assert len(paths) == 5
    silent = [path.parent.name for path in paths if not read_volume(path).warnings]
    assert silent == []


def body() -> np.ndarray:
    """Half air, a quarter fat, a quarter muscle and a little bone, with noise."""
    rng = np.random.default_rng(1)
    means = np.repeat([-1000, -1000, -90, 50], [80, 81, 77, 77]).astype(float)
    means[-8:] = 700
    return np.clip(means + rng.normal(0, 12, 315), -1024, 3071).astype(np.int16).reshape(5, 7, 9)


def test_voxels_that_are_in_hounsfield_units_already_are_not_copied():
    """A long scan takes half a gigabyte, so int16 voxels in Hounsfield units are used without a copy."""
    stored = body()
    assert to_hu(stored, "scan") is stored
    padded = stored.copy()
    padded[0] = -2000
    before = padded.copy()
    hu = to_hu(padded, "scan")
    assert (hu[0] == -1024).all()
    np.testing.assert_array_equal(hu[1:], stored[1:])
    np.testing.assert_array_equal(padded, before)


def test_a_body_in_hounsfield_units_gives_no_warning():
    assert ct_warning(body()) is None


@pytest.mark.parametrize(
    ("hu", "said"),
    [
        (np.rint((body() + 1024) / 2000), "from 0 to 1: it looks scaled to 0–1"),
        (np.rint((body() + 1024) / 20), "8-bit picture"),
        (body() + 1024, "none negative: it looks like MR, or CT stored without its rescale intercept"),
        (np.rint((body() + 500) / 400), "0.0% below -50"),
        (body() + 700, "above 500: too many for bone"),
        (np.clip(body(), -160, 240), "exactly -160: it looks cut to a display window"),
    ],
)
def test_values_that_are_not_hounsfield_units_give_a_warning_with_their_range(hu, said):
    hu = hu.astype(np.int16)
    warning = ct_warning(hu)
    assert said in warning
    assert f"from {hu.min()} to {hu.max()}" in warning
