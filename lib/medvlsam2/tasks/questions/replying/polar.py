"""Questions that want yes or no, and what the result of a query says to them.

A bare yes or no to a negated question ("No cysts?", "Is the spleen not enlarged?") means one thing in English and the
opposite in other languages. So the answer says whether the question is right, and then what is seen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from medvlsam2.data.query.queries import AskList, AskMore, AskObject, AskScan, AskState, Query
from medvlsam2.tasks.questions.executing.outcome import Outcome

_POLAR: Final = re.compile(
    r"^\W*(?:(?:and|so|but|please|ok(?:ay)?|then)\W+)*"
    r"(?:(?:is|are|was|were|do|does|did|can|could|has|have|had|will|would|should)(?:n['’]?t)?|any|no|not|nothing|none|"
    r"without)\b",
    re.IGNORECASE,
)
_OPEN: Final = re.compile(
    r"\b(?:what|which|how|where|who|whose|when|why|list|name|describe|show|tell|or)\b", re.IGNORECASE
)
"""Words of questions that want more than yes or no."""
_NORMAL: Final = re.compile(r"\b(?:normal(?:ly)?|unremarkable|healthy|fine|ok(?:ay)?)\b", re.IGNORECASE)
_ABSENT: Final = re.compile(
    r"\b(?:missing|absent|lacking|invisible|gone|removed|free (?:of|from)|clear of|unseen|excluded)\b"
)
"""Words that ask whether something is not there."""
_NEGATED: Final = re.compile(r"\b(?:no|not|nothing|none|neither|without|never)\b")
"""Words that turn a question round. "Isn't the liver visible?" asks the same as "Is the liver visible?"."""
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


@dataclass(frozen=True)
class YesNo:
    """What a question wants, and what the result of its query says to it."""

    is_wanted: bool = False
    """Whether the question wants yes or no."""
    says: bool | None = None
    """Yes or no, where the value of the outcome is not that answer itself."""
    is_negated: bool = False
    """Whether the question is worded with a negation, so that a bare yes or no would be ambiguous."""
    is_of_absence: bool = False
    """Whether the question asks if something is missing."""


def yes_no(question: str, outcome: Outcome) -> YesNo:
    """Return what a question wants.

    Args:
        question: as it was asked.
        outcome: of its query.
    """
    words = question.lower()
    own = isinstance(outcome.query, AskState | AskMore) or (
        isinstance(outcome.query, AskObject) and outcome.query.what == "presence"
    )
    is_wanted = is_polar(question) or (own and _OPEN.search(question) is None)
    asks_yes_or_no = isinstance(outcome.query, AskObject | AskState | AskList) and is_wanted
    return YesNo(
        is_wanted=is_wanted,
        says=polar_answer(question, outcome),
        is_negated=asks_yes_or_no and _turned(words, outcome.query),
        is_of_absence=own and _ABSENT.search(words) is not None,
    )


def is_polar(question: str) -> bool:
    """Return whether a question wants yes or no.

    Example:
        >>> is_polar("Is any abnormality seen?"), is_polar("Which side?"), is_polar("Is it left or right?")
        (True, False, False)
        >>> is_polar("No cysts?"), is_polar("Isn't the liver visible?")
        (True, True)
    """
    return _POLAR.match(question) is not None and _OPEN.search(question) is None


def polar_answer(question: str, outcome: Outcome) -> bool | None:
    """Return yes or no where the question wants it and the value of the outcome is not that answer; else None.

    The value is not the answer if it is no truth value, or if the question asks for the opposite of its query: "Is the
    spleen missing?" is the query ``presence of spleen``.

    Args:
        question: as it was asked.
        outcome: of its query.
    """
    if not outcome.is_known or _OPEN.search(question) is not None:
        return None
    words = question.lower()
    if isinstance(outcome.value, bool):
        return not outcome.value if _is_opposite(words, outcome.query) else None
    if not is_polar(question):
        return None
    match outcome.query:
        case AskList():
            is_any = bool(outcome.value)
            return not is_any if outcome.query.category == "findings" and _says_normal(words) else is_any
        case AskScan():
            return _of_scan(words, outcome.query, outcome.value)
        case AskObject(what="side"):
            asked = [side for side in _SIDES if re.search(rf"\b{side}\b", words)]
            return outcome.value == asked[0] if len(asked) == 1 else None
        case AskObject(what="count"):
            return bool(outcome.value)
        case _:
            return None


def _of_scan(words: str, query: AskScan, value: object) -> bool | None:
    match query.what:
        case "impression":
            return not value if _says_normal(words) else bool(value)
        case "phase":
            return _of_phase(words, str(value))
        case "modality":
            return _MODALITIES.search(words) is None
        case "region" | "plane":
            return any(word in words for word in re.findall(r"[a-z]{4,}", str(value)))
        case _:
            return None


def _says_normal(words: str) -> bool:
    return any(each.search(words) is not None for each in (_NORMAL, _ABSENT, _NEGATED))


def _is_opposite(words: str, query: Query) -> bool:
    """Whether a question asks for the opposite of its query; two negations cancel each other."""
    turned = _turned(words, query)
    match query:
        case AskObject(what="presence"):
            return (_ABSENT.search(words) is not None) != turned
        case AskState(state="normal"):
            return (_NORMAL.search(words) is None) != turned
        case AskState():
            return (_NORMAL.search(words) is not None) != turned
        case _:
            return False


def _turned(words: str, query: Query) -> bool:
    """Whether a word such as "no" or "not" turns a question round; "the liver without the cyst" turns nothing."""
    own = isinstance(query, AskObject) and bool(query.target.without)
    return _NEGATED.search(words.replace("without", "") if own else words) is not None


def _of_phase(words: str, phase: str) -> bool:
    asked = [name for name, pattern in _PHASES.items() if re.search(rf"\b(?:{pattern})\b", words)]
    if asked:
        return phase in asked
    return phase != "non-contrast"
