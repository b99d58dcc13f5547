"""Findings by name: their masks; a finding is asked for as absent only if it is known to be absent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from medvlsam2.data import vocabulary
from medvlsam2.data.language.findings.finding_keys import FINDING_KEYS, finding_key
from medvlsam2.data.language.findings.lesions import HOSTS
from medvlsam2.model.builders import TINY_RANDOM
from medvlsam2.training.data.cases import Case
from medvlsam2.training.data.finding_samples import MAX_FINDINGS, draw_findings, finding_windows
from medvlsam2.training.steps.pixels.dense import dense_sample


def test_every_key_is_a_finding_of_the_vocabulary() -> None:
    for (kind, family), key in FINDING_KEYS.items():
        assert vocabulary.STRUCTURES[key].is_finding
        assert family in HOSTS[kind]


def test_a_key_is_of_one_kind() -> None:
    kinds = {key: {kind for (kind, _), name in FINDING_KEYS.items() if name == key} for key in FINDING_KEYS.values()}
    assert all(len(found) == 1 for found in kinds.values())


def test_masks_are_those_of_the_lesions(tiny_case: Case) -> None:
    assert tiny_case.facts is not None
    lesion = tiny_case.facts.lesions[0]
    key = finding_key(lesion)
    assert key is not None
    found = draw_findings(tiny_case, vocabulary.STRUCTURES[key].window, np.random.default_rng(0))
    masks = dict(found)
    alike = [each.label_value for each in tiny_case.facts.lesions if finding_key(each) == key]
    np.testing.assert_array_equal(masks[key], np.isin(tiny_case.lesions, alike))
    assert masks[key].any()
    known = {finding_key(each) for each in tiny_case.facts.lesions}
    assert all(mask.any() == (name in known) for name, mask in found)
    assert len(found) == MAX_FINDINGS


def test_unknown_findings_are_not_asked_for(tiny_case: Case) -> None:
    assert tiny_case.facts is not None
    real = replace(tiny_case, facts=replace(tiny_case.facts, lesions=(), lesions_known=False))
    assert draw_findings(real, "soft", np.random.default_rng(0)) == []
    assert finding_windows(real) == []


def test_findings_move_with_the_slices_of_a_dense_sample(tiny_case: Case) -> None:
    seen = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        sample = dense_sample(tiny_case, rng, num_slices=4, num_structures=3, sam2=TINY_RANDOM.sam2)
        assert sample.findings.shape == (len(sample.finding_phrases), *sample.label_map.shape)
        assert sample.findings.dtype == torch.bool
        seen += bool(sample.findings.any())
    assert seen >= 4, "slices with findings come often"
