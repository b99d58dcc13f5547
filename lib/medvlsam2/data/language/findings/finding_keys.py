"""Vocabulary keys of findings, by kind of finding and structure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from medvlsam2.data.facts import Lesion
from medvlsam2.data.language.findings.lesions import host_family

FINDING_KEYS: Final[Mapping[tuple[str, str], str]] = {
    ("nodule", "lung"): "lung_nodule",
    ("consolidation", "lung"): "consolidation",
    ("effusion", "lung"): "pleural_effusion",
    ("pneumothorax", "lung"): "pneumothorax",
    ("enlargement", "heart"): "cardiomegaly",
    ("enlargement", "spleen"): "splenomegaly",
    ("calcification", "coronary_arteries"): "coronary_calcification",
    ("aneurysm", "aorta"): "aortic_aneurysm",
    ("dissection", "aorta"): "aortic_dissection",
    ("cyst", "liver"): "liver_cyst",
    ("cyst", "kidney"): "kidney_cyst",
    ("cyst", "spleen"): "spleen_cyst",
    ("metastasis", "liver"): "liver_metastasis",
    ("metastasis", "vertebrae"): "bone_metastasis",
    ("metastasis", "hip"): "bone_metastasis",
    ("stone", "gallbladder"): "gallstone",
    ("stone", "kidney"): "kidney_stone",
    ("hydronephrosis", "kidney"): "hydronephrosis",
    ("ascites", "body"): "ascites",
    ("fracture", "vertebrae"): "vertebral_fracture",
    ("sarcoma", "skeletal_muscle"): "soft_tissue_sarcoma",
}
"""Vocabulary key by kind of finding and family of structures (see ``HOSTS``)."""


def finding_key(lesion: Lesion) -> str | None:
    """Return the vocabulary key of a finding; None if the vocabulary has no such finding.

    Example:
        >>> from medvlsam2.data.facts import Lesion
        >>> place = {"center_ijk": (1, 1, 1), "center_ras": (1.0, 1.0, 1.0), "label_value": 1}
        >>> size = {"diameter_mm": 12.0, "mean_hu": 5.0}
        >>> finding_key(Lesion(kind="cyst", structure="kidney_left", side="left", **place, **size))
        'kidney_cyst'
    """
    return FINDING_KEYS.get((lesion.kind, host_family(lesion.structure)))
