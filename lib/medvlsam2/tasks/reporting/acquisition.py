"""Reads what a sentence says of the scan as a whole: the part of the body and the contrast phase."""

from __future__ import annotations

import re
from typing import Final

from medvlsam2.data.language.anatomy import REGION_NAMES
from medvlsam2.tasks.reporting.statements import Acquisition, NotRead

_IS_OF_SCAN: Final = re.compile(r"\bct\b|\bcomputed tomography\b|\bthe scan covers\b")
_PLAIN: Final = re.compile(
    r"\bwithout (?:intravenous )?contrast(?: medium)?\b|\bnon-contrast\b|\bunenhanced\b|\bplain\b"
)
_ENHANCED: Final = re.compile(r"\bcontrast-enhanced\b|\b(?:with|after) (?:intravenous )?contrast\b")
_PHASE: Final = re.compile(r"\b(arterial|portal venous|delayed)\b")
_OTHER_WORDS: Final = frozenset(
    [
        "ct",
        "scan",
        "of",
        "the",
        "examination",
        "computed",
        "tomography",
        "images",
        "axial",
        "study",
        "series",
        "covers",
        "this",
        "shows",
        "in",
        "phase",
    ]
)


def read_acquisition(plain: str) -> Acquisition | None:
    """Return the part of the body and the phase; None if the sentence is not about the scan as a whole.

    Args:
        plain: the sentence in lower case, without its full stop.

    Raises:
        NotRead: if it is about the scan, but says something more.

    Example:
        >>> read_acquisition("ct of the chest without contrast")
        Acquisition(region='chest', phase='non-contrast')
        >>> read_acquisition("splenomegaly") is None
        True
    """
    if not _IS_OF_SCAN.search(plain):
        return None
    regions = sorted((name for name in REGION_NAMES.values() if re.search(rf"\b{name}\b", plain)), key=len)
    rest = plain.replace(regions[-1], " ") if regions else plain
    phases = {match.group(1) for match in _PHASE.finditer(rest)}
    if _PLAIN.search(rest):
        phases.add("non-contrast")
    is_enhanced = _ENHANCED.search(_PLAIN.sub(" ", rest)) is not None
    words = re.sub(r",", " ", _PHASE.sub(" ", _ENHANCED.sub(" ", _PLAIN.sub(" ", rest)))).split()
    if not regions or len(phases) > 1 or set(words) - _OTHER_WORDS:
        raise NotRead("It says something of the scan that is not understood.")
    (phase,) = phases or (None,)
    if is_enhanced and phase in (None, "non-contrast"):
        raise NotRead("It says that contrast was given, and names no phase of it.")
    return Acquisition(regions[-1], phase)
