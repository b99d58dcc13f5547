"""Phrases are read by rules only if every word is known; what they mean is the language's own text."""

from __future__ import annotations

import pytest

from medvlsam2.data import vocabulary
from medvlsam2.data.query.reading import read_object
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.phrases.reading.agreement import disagreement, unused_words
from medvlsam2.tasks.phrases.reading.read import read_phrase
from medvlsam2.tasks.phrases.reading.words import words_of


@pytest.mark.parametrize(
    ("phrase", "expression"),
    [
        ("the beefier of the lungs, please", None),
        ("the bigger lung", "largest lungs"),
        ("Please outline the second biggest cyst in the liver.", "second largest liver cyst"),
        ("cyst in the smaller kidney", "cyst in smallest kidneys"),
        ("nodules over 1.2 cm on the right", "nodule larger than 12 mm on the right"),
        ("a nodule of at most 8 millimetres", "nodule smaller than 8 mm"),
        ("the vertebra under L3", "vertebrae next below L3 vertebra"),
        ("the vertebrae under L3", "vertebrae below L3 vertebra"),
        ("rib just above left rib 5", "ribs next above left rib 5"),
        ("belly aorta", "abdominal part of aorta"),
        ("left kidney stone", "kidney stone on the left"),
        ("right lung nodule over 5 mm", "lung nodule on the right larger than 5 mm"),
        ("the first rib", "left rib 1 and right rib 1"),
        ("ribs 5 and 6", "left rib 5 and right rib 5 and left rib 6 and right rib 6"),
        ("left ribs 5-6", "left rib 5 and left rib 6"),
        ("L1 thru L3", "L1 vertebra and L2 vertebra and L3 vertebra"),
        ("T11/T12", "T11 vertebra and T12 vertebra"),
        ("LWK 3 without sacrum", "L3 vertebra without sacrum"),
        ("left gluteus max", "left gluteus maximus"),
        ("back of the liver", "back half of liver"),
        ("front of the spleen", "front half of spleen"),
        ("the aorta in the chest", "thoracic part of aorta"),
        ("front part of the spleen", "front half of spleen"),
        ("lower pole of the right kidney", "lower third of right kidney"),
        ("kidneys except the left one", None),
        ("lungs apart from the upper lobes", "lungs without left lung upper lobe and right lung upper lobe"),
        ("lymph node touching the great artery", "lymph node touching aorta"),
        ("stone closest to the gall bladder's wall", "stone nearest to gallbladder"),
        ("spleen and the larger kidney", "spleen and largest kidneys"),
        ("lung, right", None),
        ("upper half of lung, right", "upper half of right lung"),
        ("upper ribs", None),
        ("one kidney", None),
        ("largest lesion in the belly", None),
        ("the kidney closer to the spleen", "kidneys nearest to spleen"),
        ("the larger one of the kidneys", "largest kidneys"),
        ("upper half of liver - tumor", None),
        ("kidneys left of the aorta", "kidneys left of aorta"),
        ("the kidney on the right of the spine", "kidneys right of spine"),
        ("rib right below left rib 4", "ribs next below left rib 4"),
        ("the larger liver", None),
        ("the kidney that hurts", None),
        ("largest kidneys", "largest kidneys"),
        ("second largest cyst in left kidney nearest to liver", "second largest cyst in left kidney nearest to liver"),
        ("biggest cyst of the kindey", "largest kidney cyst"),
        ("wind pipe", "trachea"),
    ],
)
def test_what_a_phrase_means(phrase: str, expression: str | None):
    read = read_phrase(phrase).expression
    assert (None if read is None else str(read)) == expression


@pytest.mark.parametrize("phrase", ["lefft kidney", "largest cyst on the rihght", "kidney on the left of the screen"])
def test_no_way_of_reading_allows_a_doubtful_side(phrase: str):
    with pytest.raises(InvalidPrompt):
        read_phrase(phrase)


@pytest.mark.parametrize(
    ("phrase", "expression", "wrong"),
    [
        ("the kidney that looks bigger", "largest kidneys", None),
        ("the kidney that looks bigger", "smallest kidneys", "turns 'large' round"),
        ("whatever cyst sits in the left kidney", "cyst in left kidney", None),
        ("whatever cyst sits in the left kidney", "cyst in right kidney", "leaves out 'left kidney'"),
        ("whatever cyst sits in the left kidney", "cyst", "leaves out"),
        ("whatever sits in front of the liver", "lesion behind liver", "turns 'front' round"),
        ("cysts that exceed 12 mm", "cyst larger than 12 mm", None),
        ("cysts that exceed 12 mm", "cyst larger than 21 mm", "number 12 mm"),
        ("cysts that exceed 12 mm", "cyst", "number 12 mm"),
        ("odd looking cysts over 2 cm", "cyst larger than 20 mm", None),
        ("odd looking cysts over the liver", "cyst above liver", None),
        ("whatever is left of the aorta", "left kidney", "leaves out 'aorta'"),
        ("the lungs", "lungs without left lung lower lobe", "leaves something out"),
        ("the lung lobes at the bottom", "lungs", "leaves out that it is about 'down'"),
    ],
)
def test_a_written_expression_is_compared_with_the_words(phrase: str, expression: str, wrong: str | None):
    found = disagreement(words_of(phrase), read_object(expression))
    assert found is None if wrong is None else wrong in (found or "")


def test_words_that_no_one_used_are_told():
    assert unused_words(words_of("the kidney that glows in the dark")) == ("glows", "dark")


def test_no_misspelt_word_becomes_an_abbreviation() -> None:
    assert read_phrase("spln").expression is None
    assert str(read_phrase("spn").expression or vocabulary.find("spn").name) == "lung nodule"


@pytest.mark.parametrize(
    ("phrase", "understood"),
    [
        ("dome of the liver", "'upper third of liver'"),
        ("the tip of the spleen", "'upper third of spleen' or 'lower third of spleen'"),
    ],
)
def test_a_part_without_measured_limits_is_refused_with_what_is_understood(phrase: str, understood: str) -> None:
    refused = read_phrase(phrase).refused
    assert f"'{phrase}' cannot be composed" in refused
    assert refused.endswith(f"What is understood is {understood}.")
