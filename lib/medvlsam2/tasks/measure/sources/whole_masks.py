"""Wholes and their parts: a whole whose parts are known is their union, so that sums of volumes agree."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import FactState
from medvlsam2.tasks.measure.sources.mask_source import MaskSource, Seen


def is_joined(key: str, source: MaskSource) -> bool:
    """Whether a whole is measured as the union of its parts, and not by its own name.

    It is where the source knows every part (of findings, any part), and tells the parts as reliably as the whole. A
    lung is told reliably by ``nano`` and its lobes are not, so a lung has a mask of its own.
    """
    parts = vocabulary.STRUCTURES[key].parts
    enough = any if vocabulary.STRUCTURES[key].is_finding else all
    if not parts or not enough(source.knows(part) or is_joined(part, source) for part in parts):
        return False
    reliable = {*source.structures, *source.findings}
    return key not in reliable or all(is_told(part, source) for part in parts)


def is_told(key: str, source: MaskSource) -> bool:
    """Whether a source tells a structure or finding reliably; a finding that is told by name is told of each side."""
    known = vocabulary.STRUCTURES[key]
    reliable = {*source.structures, *source.findings}
    by_parts = bool(known.parts) and all(is_told(part, source) for part in known.parts)
    of_both = known.is_finding and key.removesuffix(f"_{known.side}") in reliable
    return by_parts or of_both or key in reliable


def joined(key: str, parts: Mapping[str, Seen]) -> Seen:
    """What is seen of a whole: the union of its parts.

    Args:
        key: of the whole.
        parts: what was seen of each part.
    """
    seen = list(parts.values())
    masks = [one.mask for one in seen if one.mask is not None]
    missing = [vocabulary.STRUCTURES[part].name for part, one in parts.items() if one.state != "present"]
    state = _state([one.state for one in seen])
    reason = ""
    if state == "present" and missing and not vocabulary.STRUCTURES[key].is_finding:
        reason = f"This is without the {', '.join(missing[:4])}{' …' if len(missing) > 4 else ''}, not seen surely."
    elif state != "present":
        reason = next((one.reason for one in seen if one.state == state and one.reason), "")
    return Seen(state, masks[0].union(*masks[1:]) if masks else None, _confidence(state, seen), reason)


def _state(states: list[FactState]) -> FactState:
    """Present if any part is; what is true of all parts; else not assessed, or absent as far as the scan shows it."""
    for state in ("present", "not assessed", "absent"):
        if state in states:
            return state
    return "outside the field of view"


def _confidence(state: FactState, seen: list[Seen]) -> float | None:
    """The mean over the parts with this state, weighted by their voxels."""
    told = [(one.confidence, one.mask.voxels if one.mask else 1) for one in seen if one.state == state]
    sure = [(confidence, weight) for confidence, weight in told if confidence is not None]
    if not sure:
        return None
    values, weights = zip(*sure, strict=True)
    return float(np.average(values, weights=weights))
