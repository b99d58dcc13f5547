"""The part of the body: cut organs of a neighbouring part do not outweigh the whole ones."""

from __future__ import annotations

import pytest
from tests.unit.tasks.measure.conftest import Scene as Drawing

from medvlsam2.data.query.reading import read_query
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.regions import SeenVolume, likeliest_region
from medvlsam2.tasks.questions.executing.execute import execute
from medvlsam2.tasks.questions.executing.scene import Scene


def whole(**volumes_ml: int) -> dict[str, SeenVolume]:
    return {key: SeenVolume(float(volume_ml)) for key, volume_ml in volumes_ml.items()}


def cut(**volumes_ml: int) -> dict[str, SeenVolume]:
    return {key: SeenVolume(float(volume_ml), is_cut=True) for key, volume_ml in volumes_ml.items()}


DEMO_PHANTOM = whole(
    **{"spleen": 315, "stomach": 360, "pancreas": 55, "gallbladder": 34, "duodenum": 49},
    **{"kidney_left": 183, "kidney_right": 224, "vertebrae_T10": 17, "vertebrae_T11": 18, "vertebrae_T12": 20},
    **{"rib_left_10": 25, "rib_left_11": 16, "rib_right_10": 29, "rib_right_11": 17},
) | cut(
    **{"liver": 1359, "heart": 196, "lung_left": 728, "lung_right": 271, "colon": 269, "aorta": 58},
    **{"autochthon_left": 229, "autochthon_right": 194, "rib_left_8": 19, "rib_left_9": 26, "costal_cartilages": 34},
)
"""Most of what phantom 1 shows: the base of the heart and half of a lung, and the abdomen down to the kidneys."""


@pytest.mark.parametrize(
    ("extents", "region"),
    [
        (whole(mandible=60, parotid_gland_left=25, spinal_cord=20, kidney_left=30), "head and neck"),
        (whole(liver=1400, spleen=200, mandible=30), "abdomen"),
        (whole(liver=1400, urinary_bladder=200, hip_left=300), "abdomen and pelvis"),
        (whole(mandible=87, brainstem=35, larynx=27) | cut(lung_left=469, lung_right=547), "head and neck"),
        (whole(lung_left=1590, lung_right=1990, heart=400) | cut(liver=553, spleen=130), "chest"),
        (whole(liver=1400, spleen=200) | cut(lung_left=300, lung_right=350), "abdomen"),
        (DEMO_PHANTOM, "chest and abdomen"),
        (cut(lung_left=500, lung_right=600), "chest"),
    ],
)
def test_whole_organs_tell_the_region(extents: dict[str, SeenVolume], region: str) -> None:
    assert likeliest_region(extents) == region


@pytest.mark.parametrize(("lung_mm", "reason"), [(90, "The scan also shows the upper chest."), (12, "")])
def test_a_neck_says_that_it_also_shows_the_upper_chest(lung_mm: float, reason: str) -> None:
    drawing = Drawing()
    drawing.draw("mandible", drawing.ball((120, 120, 200), (30, 20, 15)), 600)
    drawing.draw("larynx", drawing.ball((120, 110, 160), (15, 15, 15)), -300)
    drawing.draw("lung_left", drawing.block((30, 60), (60, 110), (0, lung_mm)), -850)
    facts: Facts = drawing.facts()
    fact = facts.rule("region")
    assert (fact.label, fact.reason) == ("head and neck", reason)
    answer = execute(read_query("region"), Scene(facts))
    covers, _, also = answer.reason.partition(". ")
    assert (answer.value, covers.rstrip("."), also) == ("head and neck", "It covers about C2 to T6", reason)
    assert {"mandible", "larynx", "lung_left"} <= {one.id for one in facts.everything()}, "all that is shown is told"
