"""A mask of a name that surely lies outside of the scan is not told as present, and not marked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medvlsam2.data import phantom
from medvlsam2.tasks.answers.results import ObjectResult, Voxels
from medvlsam2.tasks.asking.misplaced import without_misplaced
from medvlsam2.tasks.asking.outcome import Outcome
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.sources.given_masks import GivenMasks
from medvlsam2.tasks.prompts import ObjectPrompt

CANNOT = "What was marked cannot be the S1 vertebra: the scan covers about T"


@pytest.fixture(scope="module")
def facts() -> Facts:
    """An abdomen whose S1 is marked where L2 lies."""
    config = phantom.PhantomConfig(region="abdomen", max_voxels=100_000, num_lesions=0, oblique_degrees=0.0)
    drawn = phantom.generate(620_001, config)
    truth = {key: drawn.label_map == value for value, key in drawn.labels.items()}
    truth["vertebrae_S1"] = truth.pop("vertebrae_L2")
    return Facts(GivenMasks.of_truth(drawn.volume, truth))


def test_what_the_scan_cannot_show_is_not_assessed(facts: Facts) -> None:
    fact = facts.structure("vertebrae_S1")
    assert (fact.state, fact.mask, fact.volume_ml) == ("not assessed", None, None)
    assert fact.reason.startswith(CANNOT)
    assert facts.structure("vertebrae_L1").is_present
    assert facts.structure("kidney_left").is_present


def test_it_is_not_marked_either(facts: Facts, tiny_model_dir: Path) -> None:
    session = Engine(tiny_model_dir).session(facts.volume)
    label_map = np.zeros(facts.volume.shape_ijk, dtype=np.uint8)
    label_map[10:20, 10:20, 5:9], label_map[25:30, 10:20, 5:9] = 1, 2
    voxels = Voxels(facts.volume, label_map, session.prepared.record.axes[0])
    nothing = ObjectResult("", False, 0.9, 0.0, 0.0, {5: 0.9}, 5)
    results = tuple(voxels.measured(nothing, (value,)) for value in (1, 2))
    done = Outcome(label_map, results, ("first",))
    names = [ObjectPrompt("S1 vertebra"), ObjectPrompt("L1 vertebra")]
    found = without_misplaced(done, names, session, facts)
    assert [result.present for result in found.objects] == [False, True]
    assert found.objects[0].reason.startswith(CANNOT)
    assert ((found.label_map > 0) == (label_map == 2)).all()
    assert found.objects[1] == results[1]
    assert found.notes[0] == "first"
    assert found.notes[1].startswith(f"'S1 vertebra': {CANNOT}")
    assert found.notes[1].endswith("It is left out.")
    clicked = [ObjectPrompt("S1 vertebra", points_ijk=((12.0, 12.0, 6.0),), point_labels=(1,)), names[1]]
    assert without_misplaced(done, clicked, session, facts) is done
