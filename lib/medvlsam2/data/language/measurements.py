"""Text of the masks' measurements, which stands before a question in the language model's prompt.

The text is short, the same facts always give the same text, and structures have their standard names, because the
model copies from the text. Volumes are given for organs; bones, vessels and muscles are only listed. In training the
text is written from ``corrupted`` facts, so that the model learns to use the text although it is not always right.
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
"""Most sizes that are listed for findings of one kind in one structure, the largest first."""
MAX_ABSENT = 8
"""Most structures that are listed as absent; only structures that the region should show are listed."""

_ORGANS = (
    *("brain", "parotid_gland", "thyroid_gland", "lung", "heart", "aorta"),
    *("liver", "gallbladder", "spleen", "pancreas", "kidney", "stomach"),
    *("urinary_bladder", "prostate", "uterus"),
)
"""Structures with a volume in mL, from head to foot."""
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
"""Kinds of finding whose density is listed, because it helps to tell them apart."""
_TISSUE = "Tissue"

VOLUME_JITTER = 0.08
"""Error of a measured volume or size in ``corrupted``: the standard deviation of its logarithm."""
HU_JITTER = 4.0
"""Error of a measured mean HU: its standard deviation."""
SMALL_ML = 20.0
"""Structures smaller than this may be overlooked."""
DROP_SHARE = 0.07
"""Probability that a small structure is overlooked."""
FALSE_SHARE = 0.05
"""Probability per scan that a structure is reported although it is absent."""
MISS_SHARE = 0.05
"""Probability that a finding is missed."""
PHASE_UNKNOWN_SHARE = 0.5
"""Probability that the contrast phase is unknown."""


def measured_text(facts: ScanFacts) -> str:
    """Return the facts as one short line; the same facts give the same text.

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
    """Return the facts as an imperfect model would measure them.

    Volumes and sizes are off by some percent. Small structures are sometimes overlooked, or reported although they are
    absent. Findings are rarely missed, and the contrast phase is often unknown.

    Args:
        facts: the true facts.
        rng: random generator for every choice.
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
    """Return the true facts with the measured sizes and volumes: the answers to learn if the measured text is shown.

    Args:
        facts: the true facts, which decide what is present and what is absent.
        measured: the facts of the same scan from ``corrupted``, which give sizes and volumes.
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
    """Return whether a model might report this absent structure: the region shows it, and it is not numbered."""
    return anatomy.is_covered(key, facts.region) and not anatomy.is_numbered(key)


def _expected(facts: ScanFacts) -> list[str]:
    return _in_order(key for key in facts.absent if _is_ghostly(key, facts))[:MAX_ABSENT]


def _finest(volumes_ml: Iterable[str]) -> list[str]:
    """Return the keys of anatomy to list, without tissues.

    An organ is listed instead of its parts. Of other structures the parts are listed instead of the whole.
    """
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
    """Return the keys from head to foot, left before right; keys that are not in _ORDER come last."""
    places = {part: number for number, part in enumerate(_ORDER)}
    table = {key: number for number, key in enumerate(vocabulary.STRUCTURES)}
    return sorted(
        set(keys), key=lambda key: (places.get(anatomy.base(key), len(places)), table.get(key, len(table)), key)
    )


def _volume(key: str, volume_ml: float) -> str:
    rounded = round(volume_ml) if volume_ml < 100.0 else 10 * round(volume_ml / 10.0)
    return f"{anatomy.name(key)} {max(1, rounded)}"


def _names(keys: Sequence[str]) -> list[str]:
    """Return the names; if both structures of a pair are listed, the pair has one name."""
    named: dict[str, None] = {}
    for key in keys:
        whole = anatomy.pair(key)
        both = whole is not None and vocabulary.mirror(key) in keys
        named[anatomy.name(whole) if both and whole else anatomy.name(key)] = None
    return list(named)


def _series(keys: Sequence[str]) -> list[str]:
    """Return vertebrae and ribs as ranges."""
    vertebrae = _ranges([f"vertebrae_{name}" in keys for name in _VERTEBRAE], _VERTEBRAE)
    left = _ranges([f"rib_left_{name}" in keys for name in _RIBS], _RIBS)
    right = _ranges([f"rib_right_{name}" in keys for name in _RIBS], _RIBS)
    ribs = [("Ribs", left)] if left == right else [("Left ribs", left), ("Right ribs", right)]
    return [f"{title} {', '.join(spans)}" for title, spans in (("Vertebrae", vertebrae), *ribs) if spans]


def _ranges(present: Sequence[bool], names: Sequence[str]) -> list[str]:
    """Return runs of neighbours as ranges, e.g. "T8 to L3"."""
    spans: list[str] = []
    first: int | None = None
    for number, is_present in enumerate((*present, False)):
        if is_present and first is None:
            first = number
        elif not is_present and first is not None:
            last = number - 1
            spans.append(names[first] if first == last else f"{names[first]} to {names[last]}")
            first = None
    return spans


def _groups(facts: ScanFacts) -> list[tuple[Lesion, ...]]:
    places = {key: number for number, key in enumerate(_in_order(lesion.structure for lesion in facts.lesions))}
    return sorted(lesions.groups(facts), key=lambda group: (places[group[0].structure], group[0].kind))


def _finding(group: Sequence[Lesion]) -> str:
    """Return kind, structure, size and density of a finding, e.g. "cyst left kidney 12 mm 8 HU"."""
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
