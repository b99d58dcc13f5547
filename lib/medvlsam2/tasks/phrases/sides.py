"""The side that a phrase names, and the organ by which that side can be found in a scan."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.language.anatomy import is_pair
from medvlsam2.data.language.clinical import structures_in
from medvlsam2.data.vocabulary import Side, Structure

CROSSING: Final = (
    *("brachiocephalic_vein", "iliac_vena", "iliac_artery", "subclavian_artery", "common_carotid_artery"),
    *("atrial_appendage", "rib"),
)
"""Structures with a side that start at the midline of the body or reach it; their masks are not cut at the midline."""
BESIDE_THE_LUNG: Final = frozenset({"pleural_effusion"})
"""Findings without a site in the vocabulary that lie beside a lung."""
LEFT: Final = re.compile(r"\b(?:left|lt|l(?!\W*\d)|sinister|sinistra)\b", re.IGNORECASE)
RIGHT: Final = re.compile(r"\b(?:right|rt|r(?!\W*\d)|dexter|dextra)\b", re.IGNORECASE)
"""Words for the right side. "l" and "r" do not count before a number: "L1" is a vertebra."""


@dataclass(frozen=True)
class Sided:
    """An object with a side: a structure of one side, or a finding on one side."""

    side: Side
    organ: str | None
    """Key of the structure itself, or of the structure that holds the finding; None if the phrase names none."""
    is_finding: bool
    """Whether the object is a finding in ``organ``, and not ``organ`` itself."""

    @property
    def opposite(self) -> str | None:
        """Key of the same organ on the other side; None without an organ."""
        return None if self.organ is None else vocabulary.mirror(self.organ)


def side_in(phrase: str) -> Sided | None:
    """Return the side of a phrase's object; None if the phrase names no side of the body ("left ventricle" does not).

    Example:
        >>> side_in("left renal cyst")
        Sided(side='left', organ='kidney_left', is_finding=True)
        >>> side_in("right kidney").opposite, side_in("left ventricle"), side_in("liver")
        ('kidney_left', None, None)
    """
    known = vocabulary.lookup(phrase)
    if known is not None:
        return _of_name(known)
    return _of_phrase(phrase)


def _of_name(known: Structure) -> Sided | None:
    if known.side is None or known.key.startswith(CROSSING):
        return None
    if not known.is_finding:
        return Sided(known.side, known.key, is_finding=False)
    organ = f"lung_{known.side}" if _base(known) in BESIDE_THE_LUNG else known.site
    return Sided(known.side, organ, is_finding=True)


def _of_phrase(phrase: str) -> Sided | None:
    is_left, is_right = LEFT.search(phrase) is not None, RIGHT.search(phrase) is not None
    if is_left == is_right:
        return None
    side: Side = "left" if is_left else "right"
    named = [vocabulary.STRUCTURES[key] for key in structures_in(phrase)]
    if any(structure.side is None and _has_side(structure.name) for structure in named):
        return None  # a chamber of the heart: left and right are names there
    organ = next((structure.key for structure in named if structure.side == side), None)
    halves = (_half(structure, side) for structure in named if is_pair(structure.key))
    finding = vocabulary.lookup(LEFT.sub(" ", RIGHT.sub(" ", phrase)))
    return Sided(side, organ or next(halves, None) or _site_on(side, finding), is_finding=True)


def _has_side(name: str) -> bool:
    return LEFT.search(name) is not None or RIGHT.search(name) is not None


def _site_on(side: Side, finding: Structure | None) -> str | None:
    """Return the organ on one side in which a finding lies."""
    if finding is None:
        return None
    if _base(finding) in BESIDE_THE_LUNG:
        return f"lung_{side}"
    return None if finding.site is None else _half(vocabulary.STRUCTURES[finding.site], side)


def _half(pair: Structure, side: Side) -> str | None:
    """Return the part of a pair that lies on one side."""
    return next((part for part in pair.parts if vocabulary.STRUCTURES[part].side == side), None)


def _base(structure: Structure) -> str:
    return structure.key.removesuffix(f"_{structure.side}")
