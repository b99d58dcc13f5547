"""How many objects a phrase names."""

from __future__ import annotations

import re

import numpy as np
import pytest

from medvlsam2.data import vocabulary
from medvlsam2.data.language.phrases import phrases
from medvlsam2.data.phantom import Phantom
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.phrases import wholes
from medvlsam2.tasks.phrases.several import objects_in

NOT_UNDERSTOOD = re.compile(
    "^(?:larger|smaller) (?!.* in )|without|opposite|above|below|under|between|behind|lateral|beside|in front|around|"
    "(?:left|right) of the"
)
"""Phrases that the model was taught and answers with another organ: they are refused (test_unclear.py)."""


@pytest.mark.parametrize(
    ("phrase", "objects"),
    [
        ("left kidney and spleen", ("left kidney", "spleen")),
        ("Liver, spleen & pancreas", ("Liver", "spleen", "pancreas")),
        ("kidneys / spleen", ("kidneys", "spleen")),
        ("L1 and L2", ("L1", "L2")),
        ("liver spleen", ("liver", "spleen")),
        ("liver spleen left lung stomach", ("liver", "spleen", "left lung", "stomach")),
        ("left kidney left lung", ("left kidney", "left lung")),
        ("liver|spleen", ("liver", "spleen")),
        ("liver_1, Spleen copy", ("liver_1", "Spleen copy")),
        ("liver, Liver and hepar", ("liver",)),
        ("the largest cyst and the spleen", ("the largest cyst", "the spleen")),
        ("kidney and renal cyst", ("kidney", "renal cyst")),
        ("cyst in the liver, cyst in the spleen", ("cyst in the liver", "cyst in the spleen")),
        ("left and right lung and heart", ("lung", "heart")),
    ],
)
def test_a_list_names_several_objects(phrase: str, objects: tuple[str, ...]) -> None:
    assert objects_in(phrase) == objects


@pytest.mark.parametrize(
    "phrase",
    [
        *("left and right kidney", "trachea and bronchi", "portal and splenic veins", "left renal cyst"),
        *("the kidney with cysts and stones", "heart left ventricle", "lesion near the liver and the spleen"),
    ],
)
def test_one_name_with_and_is_one(phrase: str) -> None:
    assert objects_in(phrase) == (phrase,)


@pytest.mark.parametrize(
    "phrase",
    ["left lung and kidney", "cyst in the liver and the spleen", "the liver and its cyst", "liver and foobar"],
)
def test_a_phrase_with_two_readings_is_refused(phrase: str) -> None:
    with pytest.raises(InvalidPrompt, match="in full"):
        objects_in(phrase)


@pytest.mark.parametrize("between", [", ", "; ", " and ", " & ", "\n", " plus ", " "])
@pytest.mark.parametrize(
    "names", [("left kidney", "right kidney"), ("right lung", "left lung"), ("Lt. femur", "the right femur")]
)
def test_a_list_does_not_collapse_into_its_whole(between: str, names: tuple[str, str]) -> None:
    """ "left kidney, right kidney" gave one segment, the kidneys."""
    assert objects_in(between.join(names)) == names


@pytest.mark.parametrize(
    "phrase",
    [
        *("the kidney that is not on the right", "no spleen", "liver without cyst", "not the liver"),
        *("everything except the liver", "the lung other than the left one", "the kidney that isn't on the left"),
        *("the liver, not the spleen", "the bones excluding the ribs", "the left kidney rather than the right"),
    ],
)
def test_an_exclusion_is_refused(phrase: str) -> None:
    """ "no spleen" gave the spleen."""
    with pytest.raises(InvalidPrompt, match="Name only what is wanted"):
        objects_in(phrase)


@pytest.mark.parametrize(
    "phrase",
    [
        *("left right kidney", "left lung and right", "left kidney on the right side", "lt. right lung"),
        *("right, left kidney and left", "R L kidney", "liver and left right kidney", "spleen, right"),
    ],
)
def test_contradicting_sides_are_refused(phrase: str) -> None:
    with pytest.raises(InvalidPrompt, match="which side is meant"):
        objects_in(phrase)


def test_a_number_is_no_negation_and_a_level_no_side() -> None:
    for phrase in (
        "left rib no. 3",
        "L 3 right nodule",
        "both kidneys",
        "lesion between the left kidney and the right kidney",
    ):
        assert objects_in(phrase) == (phrase,)


def test_no_name_and_no_training_phrase_is_split(small_phantom: Phantom) -> None:
    learned = [each.phrase for each in phrases(small_phantom.facts, np.random.default_rng(0))]
    known = [text for each in vocabulary.STRUCTURES.values() for text in (each.name, *each.synonyms)]
    assert len(learned) > 50
    for phrase in (*known, *(each for each in learned if not NOT_UNDERSTOOD.search(each))):
        assert len(objects_in(phrase)) == 1, phrase


def test_wholes_and_their_parts() -> None:
    keys = ["spine", "vertebrae_L1", "liver", "kidneys", "kidney_left", None, "vertebrae", "heart", "heart_atrium_left"]
    assert wholes.wholes_among(keys) == {0: (1, 6), 6: (1,), 7: (8,), 3: (4,)}
    assert wholes.is_union_of("lungs", {"lung_left", "lung_upper_lobe_right"}) is False
    lobes = {key for key in vocabulary.STRUCTURES if key.startswith("lung_") and "lobe" in key}
    assert wholes.is_union_of("lungs", lobes)
    assert not wholes.is_union_of("heart", wholes.held_by("heart"))
