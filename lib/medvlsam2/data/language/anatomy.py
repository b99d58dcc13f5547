"""How structures are spoken of: pairs, plurals, adjectives, descriptions, and which region shows them.

Everything is keyed by the vocabulary's key without its side ("kidney" for "kidney_left"); a key that the vocabulary
does not hold is simply never used.
"""

from __future__ import annotations

import re
from functools import cache

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Region, Side

ADJECTIVES = {
    "liver": "hepatic",
    "spleen": "splenic",
    "pancreas": "pancreatic",
    "kidney": "renal",
    "adrenal_gland": "adrenal",
    "brain": "cerebral",
    "thyroid_gland": "thyroid",
    "urinary_bladder": "bladder",
    "lung": "lung",
    "aorta": "aortic",
    "prostate": "prostatic",
}

DESCRIPTIONS = {
    "liver": ("organ that makes bile", "large organ under the right diaphragm"),
    "gallbladder": ("organ that stores bile", "small sac under the liver"),
    "spleen": ("organ that filters old blood cells", "organ under the left diaphragm beside the stomach"),
    "pancreas": ("gland that makes insulin", "gland behind the stomach"),
    "stomach": ("organ that food reaches from the esophagus", "first organ of digestion below the diaphragm"),
    "duodenum": ("first part of the small bowel",),
    "small_bowel": ("bowel between the stomach and the colon",),
    "colon": ("large bowel",),
    "kidney": ("organ that makes urine", "organ that filters the blood"),
    "adrenal_gland": ("small gland above the kidney", "gland that makes adrenaline"),
    "urinary_bladder": ("organ that stores urine",),
    "prostate": ("gland below the male bladder",),
    "uterus": ("organ in which a child grows",),
    "heart": ("organ that pumps blood",),
    "aorta": ("largest artery of the body", "main artery from the heart"),
    "inferior_vena_cava": ("vein that returns blood from the lower body",),
    "superior_vena_cava": ("vein that returns blood from the head and arms",),
    "portal_vein_and_splenic_vein": ("vein that takes blood from the bowel to the liver",),
    "pulmonary_vein": ("vein that returns blood from the lungs",),
    "lung": ("organ that breathes air",),
    "trachea": ("airway from the larynx to the bronchi", "windpipe"),
    "esophagus": ("tube that takes food to the stomach",),
    "thyroid_gland": ("gland in front of the windpipe",),
    "parotid_gland": ("largest salivary gland",),
    "larynx": ("organ of the voice",),
    "mandible": ("lower jaw bone",),
    "brain": ("organ inside the skull",),
    "brainstem": ("part of the brain above the spinal cord",),
    "spinal_cord": ("nerve cord inside the spine",),
    "skull": ("bone around the brain",),
    "sternum": ("breast bone",),
    "clavicula": ("collar bone",),
    "scapula": ("shoulder blade",),
    "femur": ("thigh bone",),
    "humerus": ("upper arm bone",),
    "hip": ("bone of the pelvis that holds the hip joint",),
    "sacrum": ("bone at the lower end of the spine",),
    "autochthon": ("muscle along the spine",),
    "iliopsoas": ("muscle that bends the hip",),
}

COMPARED = frozenset({"lung_left", "kidney_left", "adrenal_gland_left", "parotid_gland_left"})
"""Left ones of the pairs whose sizes are worth comparing."""

_REGION_PARTS: dict[Region, tuple[str, ...]] = {
    "head and neck": ("head",),
    "chest": ("chest",),
    "abdomen": ("abdomen",),
    "pelvis": ("pelvis",),
    "chest and abdomen": ("chest", "abdomen"),
    "abdomen and pelvis": ("abdomen", "pelvis"),
    "trunk": ("chest", "abdomen", "pelvis"),
}
_PART_PATTERNS = {
    "head": r"brain|skull|face|mandible|parotid|submandib|larynx|pharynx|oral|tongue|eye|optic|lens|cochlea|carotid"
    r"|thyroid|spinal_cord|vertebrae_C|esophagus|trachea|lip|cavity|lacrimal|pituitary|chiasm",
    "chest": r"lung|heart|atri|ventric|pulmonary|aorta|superior_vena|brachio|subclavian|carotid|trachea|bronch"
    r"|esophagus|thyroid|sternum|costal|rib|scapula|clavic|humerus|vertebrae_T|spinal_cord|carina"
    r"|lymph|pectoral|serratus|autochthon|airway|myocard|mediast",
    "abdomen": r"liver|spleen|kidney|adrenal|gallbladder|pancreas|stomach|duodenum|bowel|colon|aorta|inferior_vena"
    r"|portal|vertebrae_L|vertebrae_T1[012]|autochthon|iliopsoas|spinal_cord|rectus|oblique|intestin",
    "pelvis": r"bladder(?<!gallbladder)|prostate|uterus|ovar|rectum|sacrum|hip|femur|glute|iliac|iliopsoas|colon"
    r"|bowel|vertebrae_S|vertebrae_L5|pelvi|sarcoma|semin",
}

_ANATOMY = "Anatomical Structure"

REGION_NAMES: dict[Region, str] = {
    "head and neck": "head and neck",
    "chest": "chest",
    "abdomen": "abdomen",
    "pelvis": "pelvis",
    "chest and abdomen": "chest and abdomen",
    "abdomen and pelvis": "abdomen and pelvis",
    "trunk": "chest, abdomen and pelvis",
}


def base(key: str) -> str:
    """A key without its side; both sides together have the base of the one.

    Example:
        >>> base("kidney_left"), base("kidneys"), base("rib_left_7"), base("liver")
        ('kidney', 'kidney', 'rib_7', 'liver')
    """
    if is_pair(key):
        key = vocabulary.STRUCTURES[key].parts[0]
    return key if side(key) is None else re.sub(r"_(left|right)(?=_|$)", "", key)


def name(key: str) -> str:
    """The vocabulary's name, or the key in words for a structure that it does not hold."""
    known = vocabulary.STRUCTURES.get(key)
    return known.name if known is not None else key.replace("_", " ")


def the(key: str) -> str:
    """The name with its article; numbered names such as "left rib 7" take none."""
    spoken = name(key)
    return spoken if spoken[-1].isdigit() else f"the {spoken}"


def side(key: str) -> Side | None:
    """Side of a structure."""
    known = vocabulary.STRUCTURES.get(key)
    return known.side if known is not None else None


def is_pair(key: str) -> bool:
    """Whether a structure is the left and the right of something together."""
    known = vocabulary.STRUCTURES.get(key)
    return known is not None and len(known.parts) == 2 and vocabulary.mirror(known.parts[0]) == known.parts[1]


def pair(key: str) -> str | None:
    """The key of both sides together.

    Example:
        >>> pair("kidney_left")
        'kidneys'
    """
    return _pairs().get(key)


@cache
def _pairs() -> dict[str, str]:
    return {
        part: key
        for key in vocabulary.STRUCTURES
        if is_pair(key)
        for part in vocabulary.STRUCTURES[key].parts
    }


def descriptions(key: str) -> tuple[str, ...]:
    """Ways of saying which structure is meant without its name."""
    said = DESCRIPTIONS.get(base(key), ())
    own = side(key)
    return said if own is None else tuple(f"{text} on the {own} side" for text in said)


def adjective(key: str) -> str | None:
    """The adjective with its side: "left renal"."""
    word = ADJECTIVES.get(base(key))
    own = side(key)
    return f"{own} {word}" if word and own else word


def in_region(region: Region) -> list[str]:
    """Keys of single anatomical structures that a scan of this region may show."""
    parts = [_PART_PATTERNS[part] for part in _REGION_PARTS[region]]
    return [key for key in single_structures() if any(re.search(pattern, key) for pattern in parts)]


def single_structures() -> list[str]:
    """Keys of anatomy that is not made of other structures: no finding, no group, no tissue."""
    return [
        key
        for key, structure in vocabulary.STRUCTURES.items()
        if not structure.is_finding
        and structure.category.meaning == _ANATOMY
        and (not structure.parts or structure.side)
    ]
