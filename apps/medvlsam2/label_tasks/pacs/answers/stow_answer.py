"""Parser of a PACS's answer to a request to store an instance (PS3.18 10.5.3, as DICOM JSON)."""

from __future__ import annotations

import json
from typing import Any, Final

_FAILED: Final = "00081198"
_STORED: Final = "00081199"
_FAILURE_REASON: Final = "00081197"
_UID: Final = "00081155"
_IS_THERE: Final = str(0x0111)
"""Failure reason "duplicate SOP instance" (PS3.7 C.5.8): the instance was stored before."""


def refused(answer: bytes) -> bool:
    """Return whether the answer lists an instance that was not stored, unless it was there already."""
    return any(_first(item, _FAILURE_REASON) != _IS_THERE for item in _items(answer, _FAILED))


def confirmed(answer: bytes, uid: str) -> bool:
    """Return whether the answer says that an instance is in the PACS.

    Args:
        answer: body of the answer.
        uid: SOPInstanceUID of the instance.
    """
    return uid in {_first(item, _UID) for kind in (_STORED, _FAILED) for item in _items(answer, kind)}


def _items(answer: bytes, tag: str) -> list[dict[str, Any]]:
    try:
        told = json.loads(answer)
    except (ValueError, RecursionError):
        return []
    told = told[0] if isinstance(told, list) and told else told
    sequence = told.get(tag) if isinstance(told, dict) else None
    items = sequence.get("Value") if isinstance(sequence, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _first(item: dict[str, Any], tag: str) -> str:
    attribute = item.get(tag)
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return str(values[0]) if isinstance(values, list) and values else ""
