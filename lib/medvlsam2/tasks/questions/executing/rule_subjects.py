"""Which structures a rule of ``finding_rules.yaml`` is about, and which state of them it proves."""

from __future__ import annotations

from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.language import anatomy
from medvlsam2.data.query.queries import State
from medvlsam2.tasks.measure.rules.table import load_rules

PROOFS: Final[dict[State, tuple[str, ...]]] = {
    "enlarged": ("splenomegaly", "hepatomegaly", "cardiomegaly"),
    "small": ("low_muscle_area",),
    "dilated": (
        *("ascending_aortic_dilatation", "descending_aortic_dilatation", "aortic_aneurysm"),
        *("hydronephrosis_left", "hydronephrosis_right"),
    ),
    "fatty": ("hepatic_steatosis",),
    "calcified": ("coronary_calcification", "aortic_calcification"),
    "emphysematous": ("emphysema",),
    "fractured": ("vertebral_fracture",),
    "porous": ("low_vertebral_density",),
}
"""Rules and findings that prove each state; those about another structure than the question's prove nothing."""
_SUBJECTS: Final[dict[str, tuple[str, ...]]] = {
    "hepatomegaly": ("liver",),
    "ascending_aortic_dilatation": ("aorta",),
    "descending_aortic_dilatation": ("aorta",),
    "aortic_aneurysm": ("aorta",),
    "cardiomegaly": ("heart",),
    "coronary_calcification": ("coronary_arteries", "heart"),
    "low_vertebral_density": ("vertebrae",),
    "vertebral_fracture": ("vertebrae",),
    "low_muscle_area": ("skeletal_muscle",),
    "high_visceral_fat": ("torso_fat",),
    "free_air": (),
    "lung_nodule_size": ("lungs",),
}
"""What a rule is about, where it needs to see more than that: the width of the aorta is told by levels of vertebrae."""


def finding_rules() -> tuple[str, ...]:
    """Return the keys of the rules that prove a finding; those of the scan itself (phase, region) prove none."""
    return tuple(key for key, rule in load_rules().items() if rule.threshold is not None)


def subjects(key: str) -> frozenset[str]:
    """Return the structures that a rule or a finding is about, with their parts.

    Example:
        >>> sorted(subjects("splenomegaly")), sorted(subjects("hydronephrosis_left"))
        (['spleen'], ['kidney_left'])
    """
    if key in load_rules():
        named = _SUBJECTS.get(key, load_rules()[key].of)
    else:
        site = vocabulary.STRUCTURES[key].site
        named = () if site is None else (site,)
    return frozenset(leaf for name in named for leaf in anatomy.leaves(name))
