"""Names in a sentence: structures by the vocabulary's names, findings by their nouns with organ and side."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.structures.table import Side

KINDS: Final[dict[str, str]] = {
    r"(?:dilatation|dilation|aneurysm|widening) of the ascending (?:thoracic )?aorta|dilated ascending aorta": (
        "dilatation of the ascending aorta"
    ),
    r"(?:dilatation|dilation|widening) of the descending (?:thoracic )?aorta|dilated descending (?:thoracic )?aorta": (
        "dilatation of the descending aorta"
    ),
    r"calcifications? of the (?:abdominal |thoracic )?aorta|aortic calcifications?": "aortic calcification",
    r"coronary(?: artery)? calcifications?|calcifications? of the coronary arter(?:y|ies)": "coronary calcification",
    r"asymmetry of the kidneys|difference in (?:size|length) of the kidneys": "asymmetry of the kidneys",
    r"emphysema": "emphysema",
    r"cysts?": "cyst",
    r"nodules?": "nodule",
    r"metastas[ei]s": "metastasis",
    r"mass(?:es)?": "mass",
    r"(?<!gall)stones?|calcul(?:us|i)": "stone",
    r"gallstones?": "gallstone",
    r"effusions?": "effusion",
    r"pneumothora(?:x|ces)": "pneumothorax",
    r"consolidations?": "consolidation",
    r"ascites|free (?:abdominal )?fluid(?: in the abdomen)?": "ascites",
    r"aneurysms?": "aneurysm",
    r"dissections?": "dissection",
    r"hydronephrosis": "hydronephrosis",
    r"fractures?": "fracture",
    r"sarcomas?": "sarcoma",
    r"cardiomegaly|cardiac enlargement|enlargement of the heart": "cardiomegaly",
    r"splenomegaly|splenic enlargement|enlargement of the spleen": "splenomegaly",
}
"""Patterns of the nouns of findings, with the kind of each."""
ADJECTIVES: Final[dict[str, str]] = {
    "hepatic": "liver",
    "liver": "liver",
    "renal": "kidney",
    "kidney": "kidney",
    "splenic": "spleen",
    "spleen": "spleen",
    "pulmonary": "lung",
    "lung": "lung",
    "pleural": "pleura",
    "pericardial": "heart",
    "aortic": "aorta",
    "vertebral": "vertebrae",
    "bone": "bone",
    "parotid": "parotid_gland",
    "laryngeal": "larynx",
}
"""Adjectives that place a finding."""
KEYS: Final[dict[tuple[str, str], str]] = {
    ("cyst", "liver"): "liver_cyst",
    ("cyst", "kidney"): "kidney_cyst",
    ("cyst", "spleen"): "spleen_cyst",
    ("metastasis", "liver"): "liver_metastasis",
    ("metastasis", "vertebrae"): "bone_metastasis",
    ("metastasis", "hip"): "bone_metastasis",
    ("metastasis", "bone"): "bone_metastasis",
    ("nodule", "lung"): "lung_nodule",
    ("consolidation", "lung"): "consolidation",
    ("effusion", "pleura"): "pleural_effusion",
    ("effusion", "heart"): "pericardial_effusion",
    ("stone", "kidney"): "kidney_stone",
    ("stone", "gallbladder"): "gallstone",
    ("fracture", "vertebrae"): "vertebral_fracture",
    ("aneurysm", "aorta"): "aortic_aneurysm",
    ("dissection", "aorta"): "aortic_dissection",
    ("sarcoma", ""): "soft_tissue_sarcoma",
    ("gallstone", ""): "gallstone",
    ("pneumothorax", ""): "pneumothorax",
    ("consolidation", ""): "consolidation",
    ("ascites", ""): "ascites",
    ("aneurysm", ""): "aortic_aneurysm",
    ("dissection", ""): "aortic_dissection",
    ("hydronephrosis", ""): "hydronephrosis",
    ("nodule", ""): "lung_nodule",
    ("cardiomegaly", ""): "cardiomegaly",
    ("splenomegaly", ""): "splenomegaly",
    ("fracture", ""): "vertebral_fracture",
    ("dilatation of the ascending aorta", ""): "ascending_aortic_dilatation",
    ("dilatation of the descending aorta", ""): "descending_aortic_dilatation",
    ("aortic calcification", ""): "aortic_calcification",
    ("coronary calcification", ""): "coronary_calcification",
    ("asymmetry of the kidneys", ""): "kidney_asymmetry",
    ("emphysema", ""): "emphysema",
}
"""Vocabulary key, or key of a rule, of a kind in an organ, or of a kind alone."""
_SHORTEST: Final = 4


@dataclass(frozen=True)
class Mention:
    """One name in a text."""

    key: str
    """Vocabulary key, or key of a rule; of a finding without side."""
    start: int
    end: int
    is_finding: bool
    side: Side | None = None
    """That a text gives a finding."""
    count: int | None = None
    """How many, where a text says it."""


def structures_in(text: str) -> list[Mention]:
    """Structures that a text names, the longest name first where names overlap."""
    return [
        Mention(_names()[found.group().lower()], found.start(), found.end(), is_finding=False)
        for found in _name_pattern().finditer(text)
    ]


def findings_in(text: str, structures: list[Mention]) -> list[Mention]:
    """Findings that a text names, each with its side and number.

    Args:
        text: a clause.
        structures: that it names.
    """
    found = []
    for match in _kind_pattern().finditer(text):
        kind = next(kind for pattern, kind in KINDS.items() if re.fullmatch(pattern, match.group(), re.IGNORECASE))
        before = re.findall(r"[a-z]+", text[: match.start()].lower())[-4:]
        organs = [ADJECTIVES[word] for word in reversed(before) if word in ADJECTIVES]
        hosts = organs[:1] or [family(one.key) for one in _near(match, structures)]
        key = next((KEYS[kind, host] for host in hosts if (kind, host) in KEYS), KEYS.get((kind, "")))
        if key is None and kind in vocabulary.STRUCTURES:
            key = kind
        if key is not None:
            side = _side(text, match, structures)
            found.append(Mention(key, match.start(), match.end(), True, side, _count(before)))
    return found


def family(key: str) -> str:
    """An organ without side and number.

    Example:
        >>> family("kidney_left"), family("vertebrae_L5"), family("hip_right")
        ('kidney', 'vertebrae', 'hip')
    """
    bare = re.sub(r"_(left|right)(_\d+)?$", "", key)
    return bare.partition("_")[0] if bare.startswith(("rib", "vertebrae")) else bare.removesuffix("s")


def _near(match: re.Match[str], structures: list[Mention]) -> list[Mention]:
    """The structures of a clause, the nearest behind the noun first."""
    return sorted(structures, key=lambda one: (one.start < match.end(), abs(one.start - match.end())))


def _side(text: str, match: re.Match[str], structures: list[Mention]) -> Side | None:
    """The side in the words just before a noun, or in the place just behind it."""
    lead = re.search(r"\b(left|right)(?:-sided)?(?: \w+)? $", text[: match.start()].lower())
    if lead is not None:
        return "left" if lead[1] == "left" else "right"
    tail = re.match(r"(?: \w+)? (?:in|of|on|within) the (left|right)\b", text[match.end() :].lower())
    if tail is not None:
        return "left" if tail[1] == "left" else "right"
    behind = [one for one in structures if 0 <= one.start - match.end() <= len(" within the ")]
    return vocabulary.STRUCTURES[behind[0].key].side if behind else None


def _count(before: list[str]) -> int | None:
    words = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
    return next((words[word] for word in reversed(before) if word in words), None)


@cache
def _names() -> dict[str, str]:
    found: dict[str, str] = {}
    for key, structure in vocabulary.STRUCTURES.items():
        if structure.is_finding or key == "body":
            continue
        for text in (structure.name, structure.name.removesuffix(" vertebra"), *structure.synonyms):
            if (len(text) >= _SHORTEST or key.startswith("vertebrae")) and text.lower() != "bone":
                found.setdefault(text.lower(), key)
    return found


@cache
def _name_pattern() -> re.Pattern[str]:
    names = sorted(_names(), key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\b", re.IGNORECASE)


@cache
def _kind_pattern() -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(KINDS)})\b", re.IGNORECASE)
