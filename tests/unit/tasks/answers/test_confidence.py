"""Confidence is the share of such answers that were right; below a threshold the answer is "not present"."""

from __future__ import annotations

import pytest

from medvlsam2.data.phantom import Phantom
from medvlsam2.tasks.answers.confidence import Calibration, is_finding
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment

COUNTED = {
    "confidence": {
        "structure": {"present_from": 0.3, "present": [[0.3, 0.4], [0.7, 0.9]], "absent": [[0.0, 0.98], [0.2, 0.5]]},
        "finding": {"present_from": 0.6, "present": [[0.6, 0.2]], "absent": [[0.0, 0.9]]},
    }
}


def test_between_two_counts_confidence_lies_between_them() -> None:
    counted = Calibration.of(COUNTED, "the left kidney")
    assert counted is not None
    assert (counted.is_present(0.29), counted.is_present(0.3)) == (False, True)
    assert counted.confidence(0.5, present=True) == pytest.approx(0.65)
    assert counted.confidence(0.1, present=False) == pytest.approx(0.74)
    assert counted.confidence(1.0, present=True) == 0.9
    finding = Calibration.of(COUNTED, "fracture")
    assert finding is not None
    assert finding.present_from == 0.6
    assert Calibration.of({}, "liver") is None


@pytest.mark.parametrize(("phrase", "expected"), [("liver", False), ("the largest cyst in the liver", True)])
def test_findings_are_counted_apart(phrase: str, expected: bool) -> None:
    assert is_finding(phrase) is expected


def test_a_faint_fracture_is_not_present(nano: Engine, small_phantom: Phantom) -> None:
    """It was present with a confidence of 0.009."""
    found = segment(nano, small_phantom.volume, [ObjectPrompt("rib fracture"), ObjectPrompt("liver")])
    fracture, liver = found.objects
    assert (fracture.present, fracture.volume_ml) == (False, 0.0)
    assert not (found.label_map == 1).any()
    assert fracture.confidence > 0.8, "how often such an answer was right"
    assert liver.present
    assert liver.confidence > liver.sureness
