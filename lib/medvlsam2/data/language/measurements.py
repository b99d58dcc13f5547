"""What the masks measure, in words that stand before a question in the language model's prompt.

The text is short, the same facts always give the same text, and everything is called by its standard name: the
model copies from it. Volumes are given for organs; bones, vessels and muscles are only listed. While training
the text is written from ``corrupted`` facts, so that the model learns to trust it but not blindly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Lesion, ScanFacts
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.findings import lesions

MAX_SIZES = 5
"""Sizes told of findings of one kind in one structure, the largest first."""
MAX_ABSENT = 8
"""Structures called absent, those that the region should show."""

_ORGANS = (
    *("brain", "parotid_gland", "thyroid_gland", "lung", "heart", "aorta"),
    *("liver", "gallbladder", "spleen", "pancreas", "kidney", "stomach"),
    *("urinary_bladder", "prostate", "uterus"),
)
"""What is measured in mL, head to foot."""
_ORDER = (
    *("skull", "brain", "cerebellum", "brainstem", "eyeball", "mandible", "tongue", "parotid_gland"),
    *("submandibular_gland", "pharynx", "larynx", "thyroid_gland", "spinal_cord", "trachea", "bronchi"),
    *("clavicula", "scapula", "humerus", "sternum", "lung", "heart", "aorta", "pulmonary_artery"),
    *("pulmonary_vein", "coronary_arteries", "superior_vena_cava", "esophagus", "diaphragm"),
    *("liver", "gallbladder", "spleen", "pancreas", "adrenal_gland", "kidney", "stomach", "duodenum"),
    *("small_bowel", "colon", "inferior_vena_cava", "portal_vein_and_splenic_vein", "autochthon", "iliopsoas"),
    *("iliac_artery", "iliac_vena", "sacrum", "hip", "urinary_bladder", "prostate", "uterus", "rectum"),
    *("gluteus_maximus", "gluteus_medius", "gluteus_minimus", "femur"),
)
_VERTEBRAE = (
    *(f"C{number}" for number in range(1, 8)),
    *(f"T{number}" for number in range(1, 13)),
    *(f"L{number}" for number in range(1, 6)),
    "S1",
)
_RIBS = tuple(str(number) for number in range(1, 13))
_HU_KINDS = frozenset({"cyst", "metastasis", "nodule", "mass", "sarcoma", "tumor", "abscess", "hemangioma"})
"""Kinds that their density helps to tell."""
_TISSUE = "Tissue"

VOLUME_JITTER = 0.08
"""Spread of a measured volume or size, as the standard deviation of its logarithm."""
HU_JITTER = 4.0
SMALL_ML = 20.0
"""Structures smaller than this are overlooked now and then."""
DROP_SHARE = 0.07
FALSE_SHARE = 0.05
"""How often a small structure is seen that is not there."""
MISS_SHARE = 0.05
PHASE_UNKNOWN_SHARE = 0.5


def measured_text(facts: ScanFacts) -> str:
    """The facts as one short line; the same facts give the same text.

    Example:
        >>> measured_text(ScanFacts(region="abdomen", volumes_ml={"spleen": 211.7, "liver": 1483.0}))
        'Measured: region abdomen. Volumes in mL: liver 1480, spleen 210.'
    """
    head = f"Measured: region {anatomy.REGION_NAMES[facts.region]}"
    if facts.phase is not None:
        head += f", phase {facts.phase}"
    keys = _in_order(_finest(facts.volumes_ml))
    organs = [key for key in keys if anatomy.base(key) in _ORGANS]
    others = [key for key in keys if key not in organs and not anatomy.is_numbered(key)]
    parts = [head]
    if organs:
        parts.append(f"Volumes in mL: {', '.join(_volume(key, facts.volumes_ml[key]) for key in organs)}")
    if others:
        parts.append(f"Also seen: {', '.join(_names(others))}")
    parts += _series(keys)
    if missing := _expected(facts):
        parts.append(f"Absent: {', '.join(_names(missing))}")
    if facts.lesions:
        parts.append(f"Findings: {'; '.join(_finding(group) for group in _groups(facts))}")
    elif facts.lesions_known:
        parts.append("Findings: none")
    return ". ".join(parts) + "."


def corrupted(facts: ScanFacts, rng: np.random.Generator) -> ScanFacts:
    """The facts as an imperfect model measures them.

    Volumes and sizes are off by some percent, small structures are overlooked now and then or seen where they
    are not, findings are missed rarely, and the contrast phase is often not known.

    Args:
        facts: the truth.
        rng: source of every choice.
    """
    lost = [key for key, ml in facts.volumes_ml.items() if ml < SMALL_ML and rng.random() < DROP_SHARE]
    ghosts = [key for key in _in_order(facts.absent) if _is_ghostly(key, facts)]
    seen = [str(rng.choice(ghosts))] if ghosts and rng.random() < FALSE_SHARE else []
    volumes_ml = {key: ml * _factor(rng) for key, ml in facts.volumes_ml.items() if key not in lost}
    volumes_ml |= {key: float(rng.uniform(0.5, 5.0)) for key in seen}
    return replace(
        facts,
        phase=None if rng.random() < PHASE_UNKNOWN_SHARE else facts.phase,
        volumes_ml=volumes_ml,
        absent=(*(key for key in facts.absent if key not in seen), *lost),
        lesions=tuple(_measured(each, rng) for each in facts.lesions if rng.random() >= MISS_SHARE),
    )


def as_measured(facts: ScanFacts, measured: ScanFacts) -> ScanFacts:
    """The facts with the sizes and volumes that were measured: what to answer where the measured text was shown.

    Args:
        facts: The truth: what is there and what is not.
        measured: The same scan as ``corrupted`` gave it.
    """
    by_label = {lesion.label_value: lesion for lesion in measured.lesions}
    return replace(
        facts,
        volumes_ml={key: measured.volumes_ml.get(key, ml) for key, ml in facts.volumes_ml.items()},
        lesions=tuple(by_label.get(lesion.label_value, lesion) for lesion in facts.lesions),
    )


def _factor(rng: np.random.Generator) -> float:
    return float(np.exp(rng.normal(0.0, VOLUME_JITTER)))


def _measured(lesion: Lesion, rng: np.random.Generator) -> Lesion:
    return replace(
        lesion,
        diameter_mm=lesion.diameter_mm * _factor(rng),
        mean_hu=lesion.mean_hu + float(rng.normal(0.0, HU_JITTER)),
    )


def _is_ghostly(key: str, facts: ScanFacts) -> bool:
    """Whether a model might take something else for it: it would be in this region, and is not numbered."""
    return anatomy.is_covered(key, facts.region) and not anatomy.is_numbered(key)


def _expected(facts: ScanFacts) -> list[str]:
    return _in_order(key for key in facts.absent if _is_ghostly(key, facts))[:MAX_ABSENT]


def _finest(volumes_ml: Iterable[str]) -> list[str]:
    """Anatomy without tissues; organs rather than their parts, other parts rather than their wholes."""
    keys = [
        key
        for key in volumes_ml
        if (known := vocabulary.STRUCTURES.get(key)) is not None
        and not known.is_finding
        and known.category.meaning != _TISSUE
        and key != "body"
    ]
    organs = [key for key in keys if anatomy.base(key) in _ORGANS and not anatomy.is_pair(key)]
    inside = frozenset[str]().union(*(anatomy.leaves(key) - {key} for key in organs))
    kept = [key for key in keys if key not in inside]
    return [key for key in kept if key in organs or not any(other in anatomy.leaves(key) - {key} for other in kept)]


def _in_order(keys: Iterable[str]) -> list[str]:
    """Head to foot, left before right; what has no place in that order comes last, as in the vocabulary."""
    places = {part: number for number, part in enumerate(_ORDER)}
    table = {key: number for number, key in enumerate(vocabulary.STRUCTURES)}
    return sorted(
        set(keys), key=lambda key: (places.get(anatomy.base(key), len(places)), table.get(key, len(table)), key)
    )


def _volume(key: str, volume_ml: float) -> str:
    rounded = round(volume_ml) if volume_ml < 100.0 else 10 * round(volume_ml / 10.0)
    return f"{anatomy.name(key)} {max(1, rounded)}"


def _names(keys: Sequence[str]) -> list[str]:
    """Names, the left and right of a pair as one."""
    named: dict[str, None] = {}
    for key in keys:
        whole = anatomy.pair(key)
        both = whole is not None and vocabulary.mirror(key) in keys
        named[anatomy.name(whole) if both and whole else anatomy.name(key)] = None
    return list(named)


def _series(keys: Sequence[str]) -> list[str]:
    """Vertebrae and ribs as ranges."""
    vertebrae = _ranges([f"vertebrae_{name}" in keys for name in _VERTEBRAE], _VERTEBRAE)
    left = _ranges([f"rib_left_{name}" in keys for name in _RIBS], _RIBS)
    right = _ranges([f"rib_right_{name}" in keys for name in _RIBS], _RIBS)
    ribs = [("Ribs", left)] if left == right else [("Left ribs", left), ("Right ribs", right)]
    return [f"{title} {', '.join(spans)}" for title, spans in (("Vertebrae", vertebrae), *ribs) if spans]


def _ranges(present: Sequence[bool], names: Sequence[str]) -> list[str]:
    """Runs of neighbours: "T8 to L3"."""
    spans: list[str] = []
    first: int | None = None
    for number, here in enumerate((*present, False)):
        if here and first is None:
            first = number
        elif not here and first is not None:
            last = number - 1
            spans.append(names[first] if first == last else f"{names[first]} to {names[last]}")
            first = None
    return spans


def _groups(facts: ScanFacts) -> list[tuple[Lesion, ...]]:
    places = {key: number for number, key in enumerate(_in_order(lesion.structure for lesion in facts.lesions))}
    return sorted(lesions.groups(facts), key=lambda group: (places[group[0].structure], group[0].kind))


def _finding(group: Sequence[Lesion]) -> str:
    """Kind, structure, size and density: "cyst left kidney 12 mm 8 HU"."""
    first = group[0]
    name = anatomy.name(first.structure)
    if first.side is not None and anatomy.side(first.structure) is None:
        name = f"{first.side} {name}"
    words = f"{len(group)} {lesions.plural_kind(first.kind)} {name}" if len(group) > 1 else f"{first.kind} {name}"
    if first.kind in lesions.UNSIZED:
        return words
    sizes = " ".join(str(max(1, round(each.diameter_mm))) for each in group[:MAX_SIZES])
    density = f" {round(first.mean_hu)} HU" if first.kind in _HU_KINDS else ""
    return f"{words} {sizes} mm{density}"
