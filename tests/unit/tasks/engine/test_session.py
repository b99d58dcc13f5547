"""Measurements of a session: the grid of the quick masks lies in the scan; known findings are listed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medvlsam2.data.phantom import Phantom
from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.engine.session import VolumeSession
from medvlsam2.tasks.measure.structures import BATCH


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, -1, 1), (1, -1, -1)])
def test_the_mask_grid_lies_in_the_scan(flips: tuple[int, int, int], tiny_model_dir: Path) -> None:
    """On HU that rise evenly along every axis, the value of a mask pixel tells the voxel that it stands for."""
    i, j, k = np.meshgrid(*(np.arange(size) for size in (40, 36, 10)), indexing="ij")
    affine = np.diag([*(np.array(flips) * (2.0, 2.0, 3.0)), 1.0])
    session = Engine(tiny_model_dir).session(CTVolume((i + 4 * j + 20 * k).astype(np.int16), affine, "ramp"))
    grid = session._mask_grid()
    places_dhw = np.array([[d, h, w] for d in (1, 8) for h in (12, 18) for w in (11, 20)], dtype=float)
    values = [grid.hu_dhw[tuple(place.astype(int))] for place in places_dhw]
    assert values == pytest.approx(list(grid.to_ijk(places_dhw) @ (1, 4, 20)), abs=0.6)
    pixel_ijk = np.abs(grid.to_ijk(places_dhw[:1] + 1) - grid.to_ijk(places_dhw[:1]))[0]
    assert sorted(pixel_ijk * (2, 2, 3)) == pytest.approx(sorted(grid.spacing_dhw_mm))


def seeing_everything(model_dir: Path, phantom: Phantom, **metadata: object) -> VolumeSession:
    """A session of a model that finds every requested structure at every pixel."""
    session = Engine(model_dir).session(phantom.volume)
    similarity = session.loaded.model.sam2.text_similarity
    assert similarity is not None
    similarity.mask_bias.data.fill_(100.0)
    similarity.score_bias.data.fill_(100.0)
    session.loaded.metadata.update(metadata)
    return session


def test_findings_are_listed_if_the_model_knows_some(tiny_model_dir: Path, small_phantom: Phantom) -> None:
    session = seeing_everything(tiny_model_dir, small_phantom, structures=["liver"], findings=["liver_cyst"])
    facts = session.facts()
    assert facts is not None
    assert facts.lesions_known
    (lesion,) = facts.lesions
    assert (lesion.kind, lesion.structure) == ("cyst", "liver")
    assert all(0 <= index < size for index, size in zip(lesion.center_ijk, small_phantom.volume.shape_ijk, strict=True))


def test_other_requests_may_go_first_while_a_scan_is_measured(tiny_model_dir: Path, small_phantom: Phantom) -> None:
    session = seeing_everything(tiny_model_dir, small_phantom, structures=["liver"], findings=["liver_cyst"])
    waits: list[bool] = []
    facts = session.facts(lambda: waits.append(session.features("soft")._cache.lock._is_owned()))
    batches = -(-session.num_slices // BATCH)
    assert waits == 2 * batches * [False], "once a batch of slices, and no lock is held meanwhile"
    assert session.facts(lambda: waits.append(True)) is facts
    assert len(waits) == 2 * batches


def test_a_model_without_findings_reports_no_findings(tiny_model_dir: Path, small_phantom: Phantom) -> None:
    facts = seeing_everything(tiny_model_dir, small_phantom, structures=["liver"], findings=[]).facts()
    assert facts is not None
    assert not facts.lesions_known
    assert facts.lesions == ()
