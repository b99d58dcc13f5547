"""Claims of a sentence: what is there, what is not, on which side, how many, and every number with its unit.

A claim that a sentence does not surely make is not read: "not assessed", "outside the field of view" and limits of
rules ("the limit is 130 mm") claim nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from medvlsam2.evaluation.claims.mentions import Mention, findings_in, structures_in

_SILENT: Final = re.compile(
    r"not assess|no statement|does not assess|outside (?:of )?(?:this|the) (?:field of view|scan)|unsure|not known|"
    r"could not|not answered|would lie|may lie|does not show|"
    r"scan shows the [^.]* and not the |scan ends within|^\s*this is without|not seen surely|"
    r"impression:|technique:|findings:",
    re.IGNORECASE,
)
_LIMIT: Final = re.compile(
    r"\((?:the )?limit[^)]*\)|;? ?the limit is [^;.)]+|\b(?:more|less|larger|smaller) than \d[\d,.]* ?\w+",
    re.IGNORECASE,
)
_RANGE: Final = re.compile(
    r"\bcovers about (?:the )?\w+(?: to (?:the )?\w+)?(?:, and [^.;]*? lies? about \d[\d,]* mm (?:above|below))?",
    re.IGNORECASE,
)
"""The range of the scan on the body, and how far beyond it a structure lies: no vertebra is said to be seen, and the
distance is no size."""
_BY_PLACE: Final = re.compile(r"\bby (?:its|their) place\b", re.IGNORECASE)
_ANSWER: Final = re.compile(r"^\s*(?:yes|no),\s+", re.IGNORECASE)
_ABSENT: Final = re.compile(
    r"\bno(?! longer)\b|\bwithout\b|\bnot (?:be )?(?:seen|visible|identified|found|shown|present|detected)\b|"
    r"\bcannot be\b|\babsent\b|\bmissing\b|\bnone of\b|\bnegative for\b|\bfree of\b",
    re.IGNORECASE,
)
_NUMBER: Final = re.compile(r"(-?\d[\d,]*(?:\.\d+)?)(?= ?(?:mL|L|mm|cm|HU)\b| ?× ?\d[\d.]* ?(?:mm|cm)\b)")
_BETWEEN: Final = re.compile(r"\bdistance\b|\bapart\b|\baway\b|\b(?:more|less) than that\b|\bby \d", re.IGNORECASE)
"""Numbers of such clauses are of two things together, and no measure of one."""
_UNIT: Final = re.compile(r" ?(?:× ?\d[\d.]* ?)?(mL|L|mm|cm|HU)\b")
_CLAUSES: Final = re.compile(r";|, but |\. ")


@dataclass(frozen=True)
class Presence:
    """A name is said to be there, or not."""

    mention: Mention
    is_there: bool
    by_place: bool = False
    """Whether it is said to be there only because the scan shows its place: no mask is claimed."""


@dataclass(frozen=True)
class Number:
    """A number is told of the names of a clause."""

    value: float
    unit: str
    half_digit: float
    """Half of the last digit that is shown: a right number may be off by this."""
    mentions: tuple[Mention, ...]


Claim = Presence | Number


def claims_in(sentence: str) -> list[Claim]:
    """What a sentence claims.

    Example:
        >>> [claim.is_there for claim in claims_in("No liver cyst.") if isinstance(claim, Presence)]
        [False]
        >>> [
        ...     (claim.value, claim.unit)
        ...     for claim in claims_in("The spleen is 147 mm long.")
        ...     if isinstance(claim, Number)
        ... ]
        [(147.0, 'mm')]
    """
    text = _RANGE.sub(" ", _LIMIT.sub(" ", _ANSWER.sub("", sentence)))
    found: list[Claim] = []
    subjects: tuple[Mention, ...] = ()
    for clause in _CLAUSES.split(text):
        if not clause or _SILENT.search(clause):
            continue
        structures = structures_in(clause)
        findings = findings_in(clause, structures)
        inside = [one for one in structures if not any(_within(one, other) for other in findings)]
        found += _presences(clause, findings, inside)
        subjects = tuple(findings or inside) or subjects
        found += _numbers(clause, subjects)
    return found


def _within(structure: Mention, finding: Mention) -> bool:
    """Whether a structure's name is an adjective of a finding's noun, as in "liver cyst"."""
    return structure.end < finding.end and finding.start - structure.end <= 1


def _presences(clause: str, findings: list[Mention], structures: list[Mention]) -> list[Presence]:
    denial = _ABSENT.search(clause)
    if _BY_PLACE.search(clause):
        return [Presence(one, denial is None, by_place=True) for one in (*findings, *structures)]
    if denial is None:
        return [Presence(one, True) for one in (*findings, *structures)]
    if findings:
        return [Presence(one, False) for one in findings]
    if denial.group().lower() in ("without", "none of", "free of"):
        return [Presence(one, True) for one in structures if one.end <= denial.start()]
    return [Presence(one, False) for one in structures]


def _numbers(clause: str, subjects: tuple[Mention, ...]) -> list[Number]:
    if not subjects or _BETWEEN.search(clause):
        return []
    found = []
    for match in _NUMBER.finditer(clause):
        unit = _UNIT.match(clause, match.end())
        if unit is None or clause[: match.start()].endswith("deviation "):
            continue
        digits = match[1].replace(",", "")
        decimals = len(digits.partition(".")[2])
        found.append(Number(float(digits), unit[1], 0.5 * 10.0**-decimals, subjects))
    return found
