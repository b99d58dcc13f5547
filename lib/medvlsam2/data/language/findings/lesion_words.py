"""Table of findings: the structures that can hold each kind of finding, and the nouns for it there.

A noun may have slots: ``{side}`` ("left " or nothing), ``{sided}`` ("left-sided " or nothing), ``{on_side}`` (" on the
left side" or nothing), ``{the}`` ("the left kidney") and ``{level}`` ("L2"). The first noun of an entry is canonical.
"""

from __future__ import annotations

from dataclasses import dataclass

HOSTS: dict[str, tuple[str, ...]] = {
    "nodule": ("lung",),
    "consolidation": ("lung",),
    "effusion": ("lung",),
    "pneumothorax": ("lung",),
    "enlargement": ("heart", "spleen"),
    "calcification": ("coronary_arteries",),
    "aneurysm": ("aorta",),
    "dissection": ("aorta",),
    "cyst": ("liver", "kidney", "spleen"),
    "metastasis": ("liver", "vertebrae", "hip"),
    "stone": ("gallbladder", "kidney"),
    "hydronephrosis": ("kidney",),
    "ascites": ("body",),
    "fracture": ("vertebrae",),
    "sarcoma": ("skeletal_muscle",),
    "mass": ("parotid_gland", "larynx"),
    "dilatation": ("urinary_bladder",),
}
"""Structures (keys without side) that can hold each kind of finding; "vertebrae" stands for every vertebra."""

UNCOUNTABLE = frozenset(
    {
        *("atelectasis", "emphysema", "ascites", "hydronephrosis", "consolidation"),
        *("enlargement", "dilatation", "calcification"),
    }
)
"""Kinds whose nouns have no plural and no article."""
OF_KINDS = frozenset({"fracture", "aneurysm", "hydronephrosis", "dissection", "dilatation", "stenosis", "enlargement"})
"""Kinds that are a finding "of" a structure, not "in" it."""
UNSIZED = frozenset(
    {
        *("fracture", "atelectasis", "emphysema", "ascites", "hydronephrosis", "consolidation"),
        *("enlargement", "dilatation", "calcification", "dissection", "pneumothorax"),
    }
)
"""Kinds for which texts give no size."""
GENERIC_LESIONS = frozenset({"cyst", "metastasis", "mass", "nodule", "tumor", "abscess", "hemangioma"})
"""Kinds that a text may also call a lesion."""
WHOLE = frozenset({"enlargement", "dilatation"})
"""Kinds that are a state of a whole structure."""

KINDS = (
    *HOSTS,
    *sorted((UNCOUNTABLE | OF_KINDS | GENERIC_LESIONS | {"hematoma", "hemorrhage", "calculus"}) - HOSTS.keys()),
)
"""All kinds that are recognised in texts. Kinds that are not in HOSTS are only read, never written."""


@dataclass(frozen=True)
class LesionWords:
    """The nouns for one kind of finding in one family of structures."""

    nouns: tuple[str, ...]
    """Nouns that include the place, the canonical noun first."""
    bare: str | None = None
    """Noun without the place; None if that is the name of the kind."""
    tells_place: bool = False
    """Whether the bare noun already includes the place, so that no question asks for the place."""


LESION_WORDS: dict[tuple[str, str], LesionWords] = {
    ("nodule", "lung"): LesionWords(("{side}lung nodule", "nodule in {the}", "{side}pulmonary nodule")),
    ("consolidation", "lung"): LesionWords(
        ("consolidation in {the}", "{side}lung consolidation", "airspace consolidation in {the}")
    ),
    ("effusion", "lung"): LesionWords(
        ("{side}pleural effusion", "{sided}pleural effusion", "pleural effusion{on_side}"),
        bare="pleural effusion",
        tells_place=True,
    ),
    ("effusion", "heart"): LesionWords(("pericardial effusion",), bare="pericardial effusion", tells_place=True),
    ("pneumothorax", "lung"): LesionWords(
        ("{side}pneumothorax", "{sided}pneumothorax", "pneumothorax{on_side}"), tells_place=True
    ),
    ("enlargement", "heart"): LesionWords(
        ("cardiomegaly", "cardiac enlargement", "enlargement of the heart"), bare="cardiomegaly", tells_place=True
    ),
    ("enlargement", "spleen"): LesionWords(
        ("splenomegaly", "splenic enlargement", "enlargement of the spleen"), bare="splenomegaly", tells_place=True
    ),
    ("calcification", "coronary_arteries"): LesionWords(
        (
            "coronary artery calcification",
            "coronary calcification",
            "calcification of the coronary arteries",
        )
    ),
    ("aneurysm", "aorta"): LesionWords(("aortic aneurysm", "aneurysm of the aorta")),
    ("dissection", "aorta"): LesionWords(("aortic dissection", "dissection of the aorta")),
    ("cyst", "liver"): LesionWords(("hepatic cyst", "cyst in the liver", "liver cyst")),
    ("cyst", "kidney"): LesionWords(("{side}renal cyst", "cyst in {the}", "{side}kidney cyst")),
    ("cyst", "spleen"): LesionWords(("splenic cyst", "cyst in the spleen")),
    ("metastasis", "liver"): LesionWords(("hepatic metastasis", "metastasis in the liver", "liver metastasis")),
    ("metastasis", "vertebrae"): LesionWords(
        ("metastasis in {the}", "bone metastasis in {the}", "{level} vertebral metastasis")
    ),
    ("metastasis", "hip"): LesionWords(("metastasis in {the}", "bone metastasis in {the}")),
    ("stone", "gallbladder"): LesionWords(("gallstone", "stone in the gallbladder", "gallbladder stone")),
    ("stone", "urinary_bladder"): LesionWords(("bladder stone", "stone in the urinary bladder")),
    ("stone", "kidney"): LesionWords(
        ("{side}renal stone", "stone in {the}", "{side}renal calculus", "{side}kidney stone")
    ),
    ("hydronephrosis", "kidney"): LesionWords(
        ("{side}hydronephrosis", "hydronephrosis of {the}", "{sided}hydronephrosis"), tells_place=True
    ),
    ("ascites", "body"): LesionWords(
        ("ascites", "free fluid in the abdomen", "free abdominal fluid"), tells_place=True
    ),
    ("fracture", "vertebrae"): LesionWords(
        ("fracture of {the}", "compression fracture of {the}", "{level} vertebral fracture")
    ),
    ("sarcoma", "skeletal_muscle"): LesionWords(
        (
            "soft-tissue sarcoma{on_side}",
            "{sided}soft-tissue sarcoma",
            "soft-tissue sarcoma in the muscle{on_side}",
        ),
        bare="soft-tissue sarcoma",
        tells_place=True,
    ),
    ("mass", "parotid_gland"): LesionWords(("{side}parotid mass", "mass in {the}", "{side}parotid gland mass")),
    ("mass", "larynx"): LesionWords(("laryngeal mass", "mass in the larynx")),
    ("dilatation", "urinary_bladder"): LesionWords(
        ("dilatation of the urinary bladder", "bladder dilatation", "distension of the urinary bladder")
    ),
}
"""Nouns by kind and family of structures. A kind that is not listed here is written as "KIND in STRUCTURE"."""
