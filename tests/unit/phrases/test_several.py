"""How many objects a phrase names."""

from __future__ import annotations

import numpy as np
import pytest

from medvlsam2.data import vocabulary
from medvlsam2.data.language.phrases import phrases
from medvlsam2.data.phantom import Phantom
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.phrases import wholes
from medvlsam2.tasks.phrases.several import objects_in


@pytest.mark.parametrize(
    ("phrase", "objects"),
    [
        ("left kidney and spleen", ("left kidney", "spleen")),
        ("Liver, spleen & pancreas", ("Liver", "spleen", "pancreas")),
        ("kidneys / spleen", ("kidneys", "spleen")),
        ("L1 and L2", ("L1", "L2")),
        ("liver spleen", ("liver", "spleen")),
        ("liver, Liver and hepar", ("liver",)),
        ("the largest cyst and the spleen", ("the largest cyst", "the spleen")),
        ("kidney and renal cyst", ("kidney", "renal cyst")),
        ("cyst in the liver, cyst in the spleen", ("cyst in the liver", "cyst in the spleen")),
        ("left and right lung and heart", ("lung", "heart")),
    ],
)
def test_a_list_is_several(phrase: str, objects: tuple[str, ...]) -> None:
    assert objects_in(phrase) == objects


@pytest.mark.parametrize(
    "phrase",
    [
        *("left and right kidney", "trachea and bronchi", "portal and splenic veins", "left renal cyst"),
        *("the vertebra between L1 and L3", "the kidney with cysts and stones", "heart left ventricle"),
    ],
)
def test_one_name_with_and_is_one(phrase: str) -> None:
    assert objects_in(phrase) == (phrase,)


@pytest.mark.parametrize(
    "phrase",
    ["left lung and kidney", "cyst in the liver and the spleen", "the liver and its cyst", "liver and foobar"],
)
def test_what_can_be_read_in_two_ways_is_asked_back(phrase: str) -> None:
    with pytest.raises(InvalidPrompt, match="in full"):
        objects_in(phrase)


def test_no_name_and_no_phrase_that_the_model_learned_is_torn_apart(small_phantom: Phantom) -> None:
    learned = [each.phrase for each in phrases(small_phantom.facts, np.random.default_rng(0))]
    known = [text for each in vocabulary.STRUCTURES.values() for text in (each.name, *each.synonyms)]
    assert len(learned) > 50
    for phrase in (*learned, *known):
        assert len(objects_in(phrase)) == 1, phrase


def test_wholes_and_their_parts() -> None:
    keys = ["spine", "vertebrae_L1", "liver", "kidneys", "kidney_left", None, "vertebrae", "heart", "heart_atrium_left"]
    assert wholes.wholes_among(keys) == {0: (1, 6), 6: (1,), 7: (8,), 3: (4,)}
    assert wholes.is_union_of("lungs", {"lung_left", "lung_upper_lobe_right"}) is False
    lobes = {key for key in vocabulary.STRUCTURES if key.startswith("lung_") and "lobe" in key}
    assert wholes.is_union_of("lungs", lobes)
    assert not wholes.is_union_of("heart", wholes.parts_of("heart"))
