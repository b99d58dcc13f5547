"""Words for structures (pairs, adjectives, descriptions), and the structures that each region of the body shows.

The tables use the vocabulary's keys without a side ("kidney" for "kidney_left"). A key that the vocabulary does not
hold has no effect.
"""

from __future__ import annotations

import re
from functools import cache

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Region
from medvlsam2.data.structures.table import Side

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
    "heart": "cardiac",
    "larynx": "laryngeal",
    "parotid_gland": "parotid",
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

RELATIONS = {
    "gallbladder": ("organ below the liver on the right",),
    "spleen": ("organ lateral to the stomach", "organ above the left kidney"),
    "stomach": ("organ between the liver and the spleen",),
    "pancreas": ("organ behind the stomach",),
    "adrenal_gland_left": ("gland above the left kidney",),
    "adrenal_gland_right": ("gland above the right kidney",),
    "heart": ("organ between the lungs",),
    "trachea": ("airway in front of the esophagus",),
    "esophagus": ("tube behind the trachea",),
    "inferior_vena_cava": ("large vein to the right of the aorta",),
    "aorta": ("large artery to the left of the inferior vena cava",),
    "urinary_bladder": ("organ behind the pubic bones",),
    "rectum": ("bowel in front of the sacrum",),
    "sacrum": ("bone between the hip bones",),
    "sternum": ("bone in front of the heart",),
    "thyroid_gland": ("gland in front of the trachea",),
    "parotid_gland_left": ("gland in front of the left ear",),
    "parotid_gland_right": ("gland in front of the right ear",),
    "spinal_cord": ("cord inside the vertebrae",),
    "brainstem": ("part of the brain in front of the cerebellum",),
}
"""Descriptions of structures by their neighbours."""

COMPARED = frozenset({"lung_left", "kidney_left", "adrenal_gland_left", "parotid_gland_left"})
"""Keys of the left structure of each pair whose sizes are compared in questions and phrases."""

_REGION_PARTS: dict[Region, tuple[str, ...]] = {
    "head and neck": ("head",),
    "chest": ("chest",),
    "abdomen": ("abdomen",),
    "pelvis": ("pelvis",),
    "chest and abdomen": ("chest", "abdomen"),
    "abdomen and pelvis": ("abdomen", "pelvis"),
    "trunk": ("chest", "abdomen", "pelvis"),
    "thighs": ("thigh",),
}
_PART_PATTERNS = {
    "head": r"brain|skull|mandible|parotid|submandib|larynx|pharynx|tongue|eye|optic|cerebell|carotid|thyroid"
    r"|spinal_cord|vertebrae_C|esophagus|trachea",
    "chest": r"lung|heart|atri|ventric|pulmonary|coronary|aorta|superior_vena|brachio|subclavian|carotid"
    r"|trachea|bronch|carina|airway|esophagus|thyroid|sternum|costal|rib|scapula|clavic|humerus|vertebrae_T"
    r"|breast|spinal_cord|autochthon|diaphragm",
    "abdomen": r"liver|spleen|kidney|adrenal|gallbladder|bile_duct|pancreas|stomach|duodenum|bowel|colon"
    r"|appendix|aorta|celiac|mesenteric|inferior_vena|portal|hepatic_vein|splenic_vein|ureter|vertebrae_L"
    r"|vertebrae_T1[012]|autochthon|iliopsoas|spinal_cord|diaphragm",
    "pelvis": r"(?<!gall)bladder|ureter|prostate|semin|uterus|ovar|rectum|appendix|sacrum|hip|femur|glute"
    r"|iliac|iliopsoas|colon|bowel|vertebrae_S|vertebrae_L5|pelvis",
    "thigh": r"femur|gluteus_maximus",
}
_EDGE_PATTERNS = {
    "head": r"lung|clavicula|scapula|humerus|sternum|aorta|brachio|subclavian|superior_vena|vertebrae_T"
    r"|rib|autochthon",
    "chest": r"liver|spleen|stomach|adrenal|kidney|pancreas|gallbladder|colon|bowel|duodenum|portal"
    r"|celiac|inferior_vena|mesenteric|hepatic|splenic|larynx|vertebrae_(C[4-7]|L[12])|submandib|iliopsoas|bile",
    "abdomen": r"lung|heart|myocard|ventric|atri|coronary|esophagus|rib|costal|sternum|hip|sacrum|iliac"
    r"|rectum|bladder|vertebrae_[TS]|pulmonary|bronch|breast|ovar|uterus|glute",
    "pelvis": r"vertebrae_[LS]|kidney|bowel|duodenum|colon|aorta|inferior_vena|autochthon|liver|spinal_cord",
    "thigh": r"hip|sacrum|(?<!gall)bladder|prostate|uterus|rectum|colon|iliac|iliopsoas|gluteus",
}
"""Structures that the ends of a scan of each part may show too, although they belong to a neighbouring part."""

_ANATOMY = "Anatomical Structure"

REGION_NAMES: dict[Region, str] = {
    "head and neck": "head and neck",
    "chest": "chest",
    "abdomen": "abdomen",
    "pelvis": "pelvis",
    "chest and abdomen": "chest and abdomen",
    "abdomen and pelvis": "abdomen and pelvis",
    "trunk": "chest, abdomen and pelvis",
    "thighs": "thighs",
}


@cache
def base(key: str) -> str:
    """Return a key without its side; a pair has the base of one side.

    Example:
        >>> base("kidney_left"), base("kidneys"), base("rib_left_7"), base("liver")
        ('kidney', 'kidney', 'rib_7', 'liver')
    """
    if is_pair(key):
        key = vocabulary.STRUCTURES[key].parts[0]
    return key if side(key) is None else re.sub(r"_(left|right)(?=_|$)", "", key)


def name(key: str) -> str:
    """Return the vocabulary's name, or the key in words if the vocabulary does not hold the structure."""
    known = vocabulary.STRUCTURES.get(key)
    return known.name if known is not None else key.replace("_", " ")


def key_of(spoken: str) -> str | None:
    """Return the key that a name means; None for an unknown name."""
    known = vocabulary.lookup(spoken)
    return None if known is None else known.key


def the(key: str) -> str:
    """Return the name with its article; numbered names such as "left rib 7" have no article."""
    spoken = name(key)
    return spoken if spoken[-1].isdigit() else f"the {spoken}"


def side(key: str) -> Side | None:
    """Return the side of a structure; None if it has none."""
    known = vocabulary.STRUCTURES.get(key)
    return known.side if known is not None else None


def is_pair(key: str) -> bool:
    """Return whether a structure is the union of a left structure and its right counterpart."""
    known = vocabulary.STRUCTURES.get(key)
    return known is not None and len(known.parts) == 2 and vocabulary.mirror(known.parts[0]) == known.parts[1]


def pair(key: str) -> str | None:
    """Return the key of the pair that a structure belongs to; None if there is no such key.

    Example:
        >>> pair("kidney_left")
        'kidneys'
    """
    return _pairs().get(key)


@cache
def _pairs() -> dict[str, str]:
    return {part: key for key in vocabulary.STRUCTURES if is_pair(key) for part in vocabulary.STRUCTURES[key].parts}


def descriptions(key: str) -> tuple[str, ...]:
    """Return descriptions of a structure that do not use its name."""
    texts = DESCRIPTIONS.get(base(key), ())
    own = side(key)
    return texts if own is None else tuple(f"{text} on the {own} side" for text in texts)


def relations(key: str) -> tuple[str, ...]:
    """Return descriptions of a structure by its neighbours."""
    return RELATIONS.get(key, ())


def next_above(key: str) -> str | None:
    """Return the vertebra or rib above a vertebra or rib; None at the top of the series."""
    return _neighbour(key, -1)


def next_below(key: str) -> str | None:
    """Return the vertebra or rib below a vertebra or rib; None at the end of the series.

    Example:
        >>> next_below("vertebrae_T12"), next_below("rib_left_12")
        ('vertebrae_L1', None)
    """
    return _neighbour(key, 1)


def _neighbour(key: str, step: int) -> str | None:
    for series in _series():
        if key in series:
            place = series.index(key) + step
            return series[place] if 0 <= place < len(series) else None
    return None


@cache
def _series() -> tuple[tuple[str, ...], ...]:
    starts = ("vertebrae_", "rib_left_", "rib_right_")
    series = (tuple(key for key in vocabulary.STRUCTURES if key.startswith(start)) for start in starts)
    return tuple(tuple(key for key in keys if key[-1].isdigit()) for keys in series)


def adjective(key: str) -> str | None:
    """Return the adjective of a structure with its side, e.g. "left renal"; None if there is none."""
    word = ADJECTIVES.get(base(key))
    own = side(key)
    return f"{own} {word}" if word and own else word


@cache
def in_region(region: Region) -> tuple[str, ...]:
    """Return the keys of single anatomical structures that a scan of this region may show."""
    pattern = re.compile("|".join(_PART_PATTERNS[part] for part in _REGION_PARTS[region]))
    return tuple(key for key in single_structures() if pattern.search(key))


def is_covered(key: str, region: Region) -> bool:
    """Return whether a scan of this region should show the whole structure, and not only a part at its ends."""
    return key in in_region(region) or (is_pair(key) and vocabulary.STRUCTURES[key].parts[0] in in_region(region))


def has_abdomen(region: Region) -> bool:
    """Return whether a scan of this region would show free fluid of the abdomen."""
    return not {"abdomen", "pelvis"}.isdisjoint(_REGION_PARTS[region])


@cache
def outside(region: Region) -> tuple[str, ...]:
    """Return the keys of single anatomical structures that a scan of this region cannot show, not even at its ends."""
    edges = re.compile("|".join(_EDGE_PATTERNS[part] for part in _REGION_PARTS[region]))
    shown = in_region(region)
    return tuple(key for key in single_structures() if key not in shown and key != "body" and not edges.search(key))


def is_numbered(key: str) -> bool:
    """Return whether a structure is a member of a long series: a vertebra or a rib."""
    return key.startswith(("vertebrae_", "rib_"))


@cache
def leaves(key: str) -> frozenset[str]:
    """Return a structure's key with the keys of all its parts, and of their parts."""
    known = vocabulary.STRUCTURES.get(key)
    parts = () if known is None else known.parts
    return frozenset({key}).union(*(leaves(part) for part in parts))


@cache
def single_structures() -> tuple[str, ...]:
    """Return the keys of anatomical structures that are not made of others: no findings, no groups, no tissues."""
    return tuple(
        key
        for key, structure in vocabulary.STRUCTURES.items()
        if not structure.is_finding
        and structure.category.meaning == _ANATOMY
        and (not structure.parts or structure.side)
    )
