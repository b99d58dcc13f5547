"""What a dense step sees of a case: many structures, some of them wholes, and some that are not there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medvlsam2.data import vocabulary
from medvlsam2.model.builders import TINY_RANDOM
from medvlsam2.training.data.cases import COMPLETE_KEYS, Case
from medvlsam2.training.steps.pixels import dense
from medvlsam2.training.steps.pixels.dense import dense_sample, label_groups


def test_a_dense_sample_also_asks_for_what_is_not_there(tiny_case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "_draw_window", lambda *_: vocabulary.STRUCTURES["liver"].window)
    assert tiny_case.facts is not None
    absent = replace(tiny_case, facts=replace(tiny_case.facts, absent=("gallbladder", "prostate")))
    sample = dense_sample(absent, np.random.default_rng(0), num_slices=4, num_structures=3, sam2=TINY_RANDOM.sam2)
    known = dense_sample(
        replace(tiny_case, facts=None), np.random.default_rng(0), num_slices=4, num_structures=3, sam2=TINY_RANDOM.sam2
    )
    assert len(sample.phrases) == 5
    assert len(known.phrases) == 3
    assert int(sample.label_map.max()) <= 3
    assert any("prostate" in phrase.lower() for phrase in sample.phrases)


class TestWholes:
    """Of a scan with many contoured structures, a whole is what is seen of its parts."""

    KEYS = tuple(key for key in vocabulary.STRUCTURES if key.startswith("vertebrae_"))[:COMPLETE_KEYS]

    def case(self, tiny_case: Case, keys: tuple[str, ...]) -> Case:
        made = Case(tiny_case.folder, "made", keys, None, False, tiny_case.slice_spacing_mm)
        labels = np.zeros(tiny_case.labels.shape, dtype=np.uint8)
        labels[:, 4:12, 10:20], labels[:, 14:20, 10:20] = 1, 2
        made.__dict__["labels"] = labels
        return made

    def test_some_vertebrae_are_the_vertebrae(self, tiny_case: Case) -> None:
        case = self.case(tiny_case, self.KEYS)
        mask = case.structure_mask("vertebrae")
        assert mask is not None
        assert "vertebrae" in case.present_keys
        np.testing.assert_array_equal(mask, np.asarray(case.labels) > 0)

    def test_not_where_few_structures_were_contoured(self, tiny_case: Case) -> None:
        case = self.case(tiny_case, self.KEYS[:3])
        assert "vertebrae" not in case.present_keys
        assert case.structure_mask("vertebrae") is None

    def test_a_dense_sample_asks_for_parts_or_for_their_whole(self, tiny_case: Case) -> None:
        case = self.case(tiny_case, self.KEYS)
        found = [label_groups(case, np.random.default_rng(seed)) for seed in range(40)]
        assert {"vertebrae": (1, 2)} in found
        assert {self.KEYS[0]: (1,), self.KEYS[1]: (2,)} in found
