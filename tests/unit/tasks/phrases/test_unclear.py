"""Phrases that the model would misread are refused; additions of software to names are ignored."""

from __future__ import annotations

import pytest

from medvlsam2.data import vocabulary
from medvlsam2.errors import InvalidPrompt, UnknownStructure
from medvlsam2.tasks.phrases.plain import plain
from medvlsam2.tasks.phrases.several import objects_in
from medvlsam2.tasks.phrases.sides import side_in
from medvlsam2.tasks.phrases.unheard import unheard_words
from medvlsam2.tasks.prompts import MAX_PHRASE, ObjectPrompt


@pytest.mark.parametrize(
    "phrase",
    [
        *("kidneys without cyst", "kidney without the cyst", "both kidneys except the cyst", "liver w/o cyst"),
        *(
            "liver free of tumor",
            "everything but the liver",
            "liver sans tumor",
            "Leber ohne Zyste",
            "cyst outside the liver",
        ),
        *("tumor-free liver", "Lungs-GTV", "Liver - GTV", "liver - tumor", "lung_without_tumor"),
        *("non-tumorous liver", "cyst outside the liver"),
    ],
)
def test_an_exclusion_is_refused_in_any_wording(phrase: str) -> None:
    """ "kidneys without cyst" was "not present" with confidence 0.88, "Lungs-GTV" the tumour."""
    with pytest.raises(InvalidPrompt, match="excludes something with"):
        objects_in(phrase)


@pytest.mark.parametrize(
    "phrase",
    [
        *("kidney on the image left", "kidney on the left of the image", "lung on the left side of the screen"),
        *("viewer's left kidney", "the right kidney as seen on the screen", "image right lung", "kidney_left_in_image"),
    ],
)
def test_a_side_of_the_picture_is_refused(phrase: str) -> None:
    """ "kidney on the image left" gave the patient's left kidney, which pictures show on the right."""
    with pytest.raises(InvalidPrompt, match="side of the picture"):
        objects_in(phrase)


@pytest.mark.parametrize(
    "phrase", ["left kidney in this scan", "kidney on the patient's left", "left kidney", "R lung"]
)
def test_a_side_of_the_patient_is_accepted(phrase: str) -> None:
    assert objects_in(phrase) == (phrase,)


@pytest.mark.parametrize(
    "phrase",
    [
        *("organ above the left kidney", "organ between the liver and the spleen", "kidney to the right of the liver"),
        *("kidney left of the spine", "vertebra below L1", "around the liver", "next to the liver", "gland behind it"),
    ],
)
def test_a_place_described_by_another_structure_is_refused(phrase: str) -> None:
    """ "organ above the left kidney" gave the left kidney with confidence 0.99."""
    with pytest.raises(InvalidPrompt, match="by another structure"):
        objects_in(phrase)


@pytest.mark.parametrize(
    "phrase",
    [
        *("the larger kidney", "smaller lung", "the kidney on the other side", "contralateral kidney", "one kidney"),
        *(
            "kidney 1",
            "kidney_2",
            "either lung",
            "rib 3",
            "third rib",
            "vertebra 3",
            "the lowest rib",
            "healthy kidney",
        ),
    ],
)
def test_one_of_several_is_not_chosen_by_a_comparison(phrase: str) -> None:
    """ "larger kidney" gave both kidneys with confidence 0.81."""
    with pytest.raises(InvalidPrompt, match="would find all of them"):
        objects_in(phrase)


@pytest.mark.parametrize(
    "phrase", ["lefft kidney", "rihght kidney", "rght lung", "lft kidney", "cyst in the elft kidney"]
)
def test_a_misspelt_side_is_refused(phrase: str) -> None:
    """ "lefft kidney" gave both kidneys."""
    with pytest.raises(InvalidPrompt, match=r"Did you mean '(left|right)'"):
        objects_in(phrase)


@pytest.mark.parametrize("phrase", ["bright lesion", "light mass", "cleft in the liver", "largest cyst in the kidneys"])
def test_english_words_similar_to_a_side_are_accepted(phrase: str) -> None:
    assert objects_in(phrase) == (phrase,)


@pytest.mark.parametrize(
    ("written", "key"),
    [
        *((text, "kidney_left") for text in ("KIDNEY LEFT", "left_kidney", "kidney-left", "Kidney_L", "L kidney")),
        *((text, "kidney_left") for text in ("Lt. kidney", "kidney (left)", "ren sinister", "KidneyL", "LKidney")),
        *(
            (text, "kidney_left")
            for text in ("left_kidney_1", "LeftKidney copy", "left kidney (edited)", "Kidney_L_v2")
        ),
        *((text, "liver") for text in ("liver_1", "Liver1", "liver #2", "copy of liver", "Liver_final", "livér")),
        *((text, "kidneys") for text in ("2 kidneys", "two kidneys", "both kidneys", "kidneys (both)")),
        *(("SpinalCord", "spinal_cord"), ("AdrenalGland_L", "adrenal_gland_left"), ("BrainStem", "brainstem")),
        *(("rib_left_3", "rib_left_3"), ("L1", "vertebrae_L1"), ("vertebra L1 copy", "vertebrae_L1")),
    ],
)
def test_additions_of_software_to_a_name_are_removed(written: str, key: str) -> None:
    found = vocabulary.lookup(plain(written))
    assert found is not None
    assert found.key == key
    assert objects_in(written) == (written,)
    assert ObjectPrompt(written).is_understood


@pytest.mark.parametrize("written", ["nodule 3", "lesion_2", "Segment_1", "PTV 60", "unknown", "kidney 1", "ribs 4"])
def test_a_number_that_may_choose_one_of_several_is_kept(written: str) -> None:
    assert vocabulary.lookup(plain(written)) is None


def test_a_side_in_one_letter_binds_in_a_phrase_too() -> None:
    """ "Femur Head L" has a side, and no name of the vocabulary."""
    for phrase, organ in (("Femur Head L", "femur_left"), ("Parotid tail R", "parotid_gland_right")):
        sided = side_in(phrase)
        assert sided is not None
        assert (sided.side, sided.organ) == (organ.split("_")[-1], organ)
    assert side_in("node at L 3") is None


def test_words_that_the_model_was_not_trained_on_are_found() -> None:
    assert unheard_words("upper pole of the left kidney") == ("pole",)
    assert unheard_words("liver und Milz") == ("und", "milz")
    for phrase in ("the largest cyst in the liver", "left renal cysts", "Spleen copy", "12 mm hepatic metastases"):
        assert unheard_words(phrase) == ()


def test_a_long_phrase_is_not_echoed_whole() -> None:
    """A phrase of 3,000 characters stood in the sentence that refused it."""
    for words, error in (
        ("foo " * 200, UnknownStructure),
        ("liver thing " * 250, InvalidPrompt),
        ("left right " * 80, InvalidPrompt),
    ):
        assert len(words) < MAX_PHRASE or error is InvalidPrompt
        with pytest.raises(error) as caught:
            ObjectPrompt(words).window() if "left" not in words else objects_in(words)
        assert len(str(caught.value)) < 400
