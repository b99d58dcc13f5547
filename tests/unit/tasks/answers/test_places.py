"""A sentence stands at the finding that it states, or inside the structure that it names."""

from __future__ import annotations

import numpy as np
import pytest

from medvlsam2.data.facts import Lesion, ScanFacts
from medvlsam2.tasks.measure.places import centres_ras, place_of

AFFINE = np.array([[-2.0, 0, 0, 10], [0, -3.0, 0, 20], [0, 0, 5.0, -30], [0, 0, 0, 1.0]])
CYST = Lesion(
    kind="cyst",
    structure="kidney_left",
    side="left",
    center_ijk=(1, 2, 3),
    center_ras=(7.0, 8.0, 9.0),
    diameter_mm=12.0,
    mean_hu=5.0,
    label_value=1,
)
FACTS = ScanFacts(region="abdomen", lesions=(CYST,), lesions_known=True)
CENTRES = {"liver": (1.0, 2.0, 3.0), "kidney_left": (4.0, 5.0, 6.0), "lung_right": (0.0, 1.0, 2.0)}


def test_the_centre_of_a_bent_structure_is_inside_of_it() -> None:
    mask = np.zeros((4, 9, 9), dtype=bool)
    mask[1, 1:8, 1] = mask[1, 1, 1:8] = mask[1, 7, 1:8] = True
    (centre,) = centres_ras({"colon": mask, "spleen": ~mask & False}, lambda dhw: dhw[:, ::-1] * 2, AFFINE).values()
    w, h, d = np.linalg.solve(AFFINE, [*centre, 1.0])[:3] / 2
    assert mask[round(d), round(h), round(w)]
    assert np.allclose([d, h, w], np.round([d, h, w]))


@pytest.mark.parametrize(
    ("sentence", "place"),
    [
        ("There is a 12 mm cyst in the left kidney.", CYST.center_ras),
        ("The left kidney is normal.", CENTRES["kidney_left"]),
        ("The spleen and the liver are normal.", CENTRES["liver"]),
        ("The lungs are clear.", CENTRES["lung_right"]),
        ("The pancreas is normal.", None),
        ("No free fluid.", None),
        ("Is the liver visible? Yes.", CENTRES["liver"]),
    ],
)
def test_a_sentence_has_the_place_that_it_is_about(sentence: str, place: tuple[float, float, float] | None) -> None:
    assert place_of(sentence, FACTS, CENTRES) == place
    assert place_of(sentence, None, {}) is None
