"""The vocabulary: every name finds its structure; codes, colours and sides are valid."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from medvlsam2.data import vocabulary
from medvlsam2.data.vocabulary import STRUCTURES, find, lookup, mirror, names, nearest
from medvlsam2.errors import UnknownStructure

SIDES = ("left", "right")
TOTALSEGMENTATOR_KEYS = (
    *[
        "spleen",
        "gallbladder",
        "liver",
        "stomach",
        "pancreas",
        "esophagus",
        "trachea",
        "thyroid_gland",
        "small_bowel",
        "duodenum",
        "colon",
    ],
    *[
        "urinary_bladder",
        "prostate",
        "sacrum",
        "heart",
        "aorta",
        "pulmonary_vein",
        "brachiocephalic_trunk",
        "atrial_appendage_left",
    ],
    *[
        "superior_vena_cava",
        "inferior_vena_cava",
        "portal_vein_and_splenic_vein",
        "spinal_cord",
        "brain",
        "skull",
        "sternum",
    ],
    *["costal_cartilages", "lung_middle_lobe_right", "vertebrae_S1"],
    *(
        f"{name}_{side}"
        for name in [
            "kidney",
            "adrenal_gland",
            "lung_upper_lobe",
            "lung_lower_lobe",
            "kidney_cyst",
            "subclavian_artery",
            "common_carotid_artery",
            "brachiocephalic_vein",
            "iliac_artery",
            "iliac_vena",
            "humerus",
            "scapula",
            "clavicula",
            "femur",
            "hip",
            "gluteus_maximus",
            "gluteus_medius",
            "gluteus_minimus",
            "autochthon",
            "iliopsoas",
        ]
        for side in SIDES
    ),
    *(f"vertebrae_{letter}{n + 1}" for letter, count in (("C", 7), ("T", 12), ("L", 5)) for n in range(count)),
    *(f"rib_{side}_{n + 1}" for side in SIDES for n in range(12)),
)


def test_all_117_classes_of_totalsegmentator_are_there_and_find_themselves() -> None:
    assert len(set(TOTALSEGMENTATOR_KEYS)) == 117
    for key in TOTALSEGMENTATOR_KEYS:
        assert find(key) is STRUCTURES[key]


def test_every_key_name_and_synonym_finds_its_own_structure() -> None:
    for key, structure in STRUCTURES.items():
        assert key == structure.key
        for phrase in (key, structure.name, *structure.synonyms):
            assert find(phrase).key == key, f"{phrase!r} should be {key}"


def test_no_phrase_belongs_to_two_structures() -> None:
    owners: dict[frozenset[str], set[str]] = defaultdict(set)
    for _, words, structure in vocabulary._phrases():
        assert words
        owners[words].add(structure.key)
    assert not {words: keys for words, keys in owners.items() if len(keys) > 1}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Left Kidney", "kidney_left"),
        ("lt. kidney", "kidney_left"),
        ("kidney (L)", "kidney_left"),
        ("L kidney", "kidney_left"),
        ("left-sided kidney", "kidney_left"),
        ("renal left", "kidney_left"),
        ("KIDNEY, RT", "kidney_right"),
        ("ren dexter", "kidney_right"),
        ("kidney", "kidneys"),
        ("both kidneys", "kidneys"),
        ("left and right kidney", "kidneys"),
        ("the patient's liver", "liver"),
        ("The patient’s Liver!", "liver"),
        ("hepar", "liver"),
        ("vesica", "urinary_bladder"),
        ("vesica fellea", "gallbladder"),
        ("oesophagus", "esophagus"),
        ("coeliac trunk", "celiac_trunk"),
        ("liver tumours", "liver_tumor"),
        ("haematoma", "hematoma"),
        ("hepatic metastases", "liver_metastasis"),
        ("cyst in the liver", "liver_cyst"),
        ("renal calculi", "kidney_stone"),
        ("pulmonary nodules", "lung_nodule"),
        ("pleural effusion, left", "pleural_effusion_left"),
        ("left upper lobe of the lung", "lung_upper_lobe_left"),
        ("RML", "lung_middle_lobe_right"),
        ("right parotid gland", "parotid_gland_right"),
        ("L1", "vertebrae_L1"),
        ("L 1", "vertebrae_L1"),
        ("L-1", "vertebrae_L1"),
        ("L1 vertebra", "vertebrae_L1"),
        ("first lumbar vertebra", "vertebrae_L1"),
        ("1st lumbar vertebra", "vertebrae_L1"),
        ("lumbar 1", "vertebrae_L1"),
        ("Th12", "vertebrae_T12"),
        ("D 12", "vertebrae_T12"),
        ("atlas", "vertebrae_C1"),
        ("L-spine", "lumbar_spine"),
        ("vertebra", "vertebrae"),
        ("3rd left rib", "rib_left_3"),
        ("left third rib", "rib_left_3"),
        ("left rib 3", "rib_left_3"),
        ("rib L3", "rib_left_3"),
        ("rib_right_12", "rib_right_12"),
        ("ribs", "ribs"),
        ("left atrium", "heart_atrium_left"),
    ],
)
def test_names_in_the_notations_of_people_are_found(text: str, key: str) -> None:
    assert find(text).key == key


@pytest.mark.parametrize(
    "text",
    [
        "left liver",
        "left spine",
        "L9",
        "L5/S1",
        "rib 13",
        "liver and spleen",
        "the largest cyst",
        "left",
        "?",
    ],
)
def test_a_text_that_is_no_name_is_unknown(text: str) -> None:
    assert lookup(text) is None


def test_the_error_for_an_unknown_name_gives_the_text_and_the_nearest_names() -> None:
    with pytest.raises(UnknownStructure, match=r'Unknown structure "left kidny"\..* Did you mean left kidney, '):
        find("left kidny")
    with pytest.raises(UnknownStructure, match='name "" is empty'):
        find("  ")
    with pytest.raises(UnknownStructure) as caught:
        find("x" * 100_000)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("text", "name"),
    [("livr", "liver"), ("splen", "spleen"), ("gall blader", "gallbladder"), ("left liver", "liver")],
)
def test_nearest_names_are_sorted_by_similarity(text: str, name: str) -> None:
    assert nearest(text)[0] == name
    assert len(set(nearest(text, 5))) == 5


def test_every_label_of_the_real_scans_is_known(shared_data: Path) -> None:
    labels = {
        label
        for meta in sorted((shared_data / "ct").glob("*/meta.json"))
        for kind in ("labels", "auto_labels")
        for label in json.loads(meta.read_text(encoding="utf-8")).get(kind, {}).values()
    }
    assert len(labels) > 50
    assert not {label: nearest(label) for label in labels if lookup(label) is None}


def test_names_are_unique_and_one_for_each_structure() -> None:
    assert len(names()) == len(set(names())) == len(STRUCTURES)


def test_parts_and_sites_are_structures_and_parts_end() -> None:
    def leaves(key: str) -> set[str]:
        parts = STRUCTURES[key].parts
        return set().union(*map(leaves, parts)) if parts else {key}

    for structure in STRUCTURES.values():
        assert leaves(structure.key)
        assert structure.site is None or not STRUCTURES[structure.site].is_finding
    assert leaves("kidneys") == {"kidney_left", "kidney_right"}
    assert len(leaves("lungs")) == 5
    assert len(leaves("ribs")) == 24
    assert leaves("vertebrae") == {key for key in STRUCTURES if key.startswith("vertebrae_")} - {"vertebrae_S1"}


def test_colors_are_distinct() -> None:
    colors = [structure.color_rgb for structure in STRUCTURES.values()]
    assert len(set(colors)) == len(colors)
    assert all(0 <= channel <= 255 for color in colors for channel in color)


def test_mirror_is_an_involution_that_swaps_sides() -> None:
    for key, structure in STRUCTURES.items():
        other = STRUCTURES[mirror(key)]
        assert mirror(other.key) == key
        assert other.snomed == structure.snomed
        if other.key != key:
            assert {structure.side, other.side} == set(SIDES)
    assert mirror("kidney_left") == "kidney_right"
    assert mirror("rib_right_12") == "rib_left_12"
    for unchanged in ("liver", "heart_atrium_left", "lung_middle_lobe_right", "not a key"):
        assert mirror(unchanged) == unchanged


def test_sides_and_laterality_codes_agree() -> None:
    values = {"left": "7771000", "right": "24028007"}
    for structure in STRUCTURES.values():
        if structure.laterality is not None:
            assert structure.side is not None
            assert structure.laterality.value == values[structure.side]
        elif structure.side is not None:
            assert structure.key == "lung_middle_lobe_right"


def verhoeff_is_valid(number: str) -> bool:
    """Check digit of a SNOMED CT identifier: Verhoeff's scheme over the dihedral group of order ten."""

    def product(a: int, b: int) -> int:
        if a < 5:
            return (a + b) % 5 if b < 5 else 5 + (a + b) % 5
        return 5 + (a - b) % 5 if b < 5 else (a - b) % 5

    permutation = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
    check = 0
    for position, digit in enumerate(map(int, reversed(number))):
        for _ in range(position % 8):
            digit = permutation[digit]  # noqa: PLW2901
        check = product(check, digit)
    return check == 0


def test_verhoeff_check_itself() -> None:
    assert verhoeff_is_valid("10200004")
    assert not verhoeff_is_valid("10200005")
    assert not verhoeff_is_valid("12000004")


def test_every_code_is_a_well_formed_snomed_concept() -> None:
    for structure in STRUCTURES.values():
        for code in (structure.snomed, structure.category, structure.laterality):
            if code is not None:
                assert code.scheme == "SCT"
                assert code.meaning
                assert len(code.meaning) <= 64
                assert code.value[-3:-1] == "00", f"{code.value} is not a core concept identifier"
                assert verhoeff_is_valid(code.value), f"{structure.key}: {code.value} has a wrong check digit"


def test_codes_that_dicom_lists_mean_what_dicom_says() -> None:
    concepts = pytest.importorskip("pydicom.sr._concepts_dict").concepts["SCT"]
    meanings: dict[str, set[str]] = defaultdict(set)
    for entries in concepts.values():
        for value, (meaning, _) in entries.items():
            meanings[value].add(meaning.lower())
    listed = [structure for structure in STRUCTURES.values() if structure.snomed.value in meanings]
    assert len(listed) > 150
    for structure in listed:
        words = set(structure.snomed.meaning.lower().replace(",", "").split())
        assert any(words <= set(m.replace(",", "").split()) for m in meanings[structure.snomed.value]), structure.key


def test_findings_are_abnormal_and_anatomy_is_not() -> None:
    for structure in STRUCTURES.values():
        if structure.category.value == "49755003":
            assert structure.is_finding
        elif structure.category.value in {"123037004", "85756007"}:
            assert not structure.is_finding or structure.key == "lymph_node"


def test_windows_suit_the_tissue() -> None:
    for key, window in {"liver": "soft", "lungs": "lung", "rib_left_3": "bone", "brainstem": "brain"}.items():
        assert STRUCTURES[key].window == window


def test_importing_the_module_reads_no_file() -> None:
    code = (
        "from medvlsam2.data import vocabulary; from medvlsam2.data.structures import table; "
        "assert table.load_structures.cache_info().currsize == 0; "
        "assert 'liver' in vocabulary.STRUCTURES; "
        "assert table.load_structures.cache_info().currsize == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
