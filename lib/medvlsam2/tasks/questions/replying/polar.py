"""Questions that want yes or no, and what the result of a query says to them."""

from __future__ import annotations

import re
from typing import Final

from medvlsam2.data.query.queries import AskList, AskObject, AskScan, AskState, Query
from medvlsam2.tasks.questions.executing.outcome import Outcome

_POLAR: Final = re.compile(
    r"^\W*(?:(?:and|so|but|please|ok(?:ay)?|then)\W+)*"
    r"(?:is|are|was|were|do|does|did|can|could|has|have|had|any|will|would)\b",
    re.IGNORECASE,
)
_OR: Final = re.compile(r"\bor\b", re.IGNORECASE)
_NORMAL: Final = re.compile(r"\b(?:normal(?:ly)?|unremarkable|healthy|fine|ok(?:ay)?)\b", re.IGNORECASE)
_MISSING: Final = re.compile(
    r"\b(?:missing|absent|lacking|invisible|gone|removed|no|without|free (?:of|from)|clear of|unseen|excluded)\b"
)
"""Words that ask whether something is not there. "Isn't the liver visible?" asks whether it is."""
_PHASES: Final = {
    "non-contrast": r"non[- ]?contrast|without (?:\w+ )?contrast|unenhanced|non[- ]?enhanced|native|plain",
    "arterial": r"arterial",
    "portal venous": r"portal|venous",
    "delayed": r"delayed|late",
}
_MODALITIES: Final = re.compile(
    r"\b(?:mri?|magnetic|pet|ultrasound|sonograph\w*|x-?rays?|radiograph\w*)\b", re.IGNORECASE
)
_SIDES: Final = ("left", "right", "both")


def is_polar(question: str) -> bool:
    """Return whether a question wants yes or no.

    Example:
        >>> is_polar("Is any abnormality seen?"), is_polar("Which side?"), is_polar("Is it left or right?")
        (True, False, False)
    """
    return _POLAR.match(question) is not None and _OR.search(question) is None


def polar_answer(question: str, outcome: Outcome) -> bool | None:
    """Return yes or no where the question wants it and the value of the outcome is not that answer; else None.

    The value is not the answer if it is no truth value, or if the question asks for the opposite of its query: "Is the
    spleen missing?" is the query ``presence of spleen``.

    Args:
        question: as it was asked.
        outcome: of its query.
    """
    if not outcome.is_known or not is_polar(question):
        return None
    words = question.lower()
    if isinstance(outcome.value, bool):
        return not outcome.value if _is_opposite(words, outcome.query) else None
    match outcome.query:
        case AskList():
            is_any = bool(outcome.value)
            return not is_any if outcome.query.category == "findings" and _says_normal(words) else is_any
        case AskScan(what="impression"):
            return not outcome.value if _says_normal(words) else bool(outcome.value)
        case AskScan(what="phase"):
            return _of_phase(words, str(outcome.value))
        case AskScan(what="modality"):
            return _MODALITIES.search(words) is None
        case AskScan(what="region" | "plane"):
            return any(word in words for word in re.findall(r"[a-z]{4,}", str(outcome.value)))
        case AskObject(what="side"):
            asked = [side for side in _SIDES if re.search(rf"\b{side}\b", words)]
            return outcome.value == asked[0] if len(asked) == 1 else None
        case AskObject(what="count"):
            return bool(outcome.value)
        case _:
            return None


def _says_normal(words: str) -> bool:
    return _NORMAL.search(words) is not None or _MISSING.search(words) is not None


def _is_opposite(words: str, query: Query) -> bool:
    match query:
        case AskObject(what="presence"):
            return _MISSING.search(words) is not None
        case AskState(state="normal"):
            return _NORMAL.search(words) is None
        case AskState():
            return _NORMAL.search(words) is not None
        case _:
            return False


def _of_phase(words: str, phase: str) -> bool:
    asked = [name for name, pattern in _PHASES.items() if re.search(rf"\b(?:{pattern})\b", words)]
    if asked:
        return phase in asked
    return phase != "non-contrast"
