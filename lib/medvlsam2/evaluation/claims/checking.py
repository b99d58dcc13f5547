"""Whether evidence supports the claims of a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from medvlsam2.evaluation.claims.evidence import Evidence
from medvlsam2.evaluation.claims.reading import Claim, Number, Presence, claims_in

USUAL: Final = {"L": ("mL", 1000.0), "cm": ("mm", 10.0)}
SLACK: Final = {"mL": 0.01, "mm": 0.01, "HU": 0.02}
"""Beyond half of its last digit a number may be off by this share: numbers are rounded twice."""
LEAST: Final = {"mL": 0.06, "mm": 0.06, "HU": 0.6}


@dataclass(frozen=True)
class Checked:
    """One claim with the verdict."""

    claim: Claim
    verdict: bool | None
    """True: supported; False: contradicted; None: the evidence says nothing of it."""
    why: str = ""


def check(sentence: str, evidence: Evidence) -> list[Checked]:
    """Compare every claim of a sentence with evidence.

    Args:
        sentence: of a report or an answer.
        evidence: facts, or masks.
    """
    return [each for claim in claims_in(sentence) for each in _checked(claim, evidence)]


def _checked(claim: Claim, evidence: Evidence) -> list[Checked]:
    if isinstance(claim, Number):
        return [_number(claim, evidence)]
    found = [_presence(claim, evidence)]
    side = claim.mention.side
    if claim.is_there and side is not None and evidence.is_there(claim.mention.key):
        sides = evidence.sides(claim.mention.key)
        verdict = None if not sides else side in sides
        found.append(Checked(claim, verdict, f"{claim.mention.key}: told {side}, is {', '.join(sorted(sides))}"))
    return found


def _presence(claim: Presence, evidence: Evidence) -> Checked:
    if claim.by_place:
        in_view = evidence.in_view(claim.mention.key)
        return Checked(claim, in_view, f"{claim.mention.key}: told to be in view by its place")
    known = evidence.is_there(claim.mention.key)
    verdict = None if known is None else known == claim.is_there
    if verdict is False and not claim.is_there and claim.mention.side is not None:
        verdict = True if claim.mention.side not in evidence.sides(claim.mention.key) else verdict
    return Checked(claim, verdict, f"{claim.mention.key}: told {'there' if claim.is_there else 'absent'}")


def _number(claim: Number, evidence: Evidence) -> Checked:
    unit, per = USUAL.get(claim.unit, (claim.unit, 1.0))
    value, half = claim.value * per, claim.half_digit * per
    known = evidence.numbers([one.key for one in claim.mentions], unit)
    if not known:
        return Checked(claim, None, f"nothing is known in {unit}")
    apart = min(abs(value - number) for number in known)
    allowed = half + max(abs(value) * SLACK[unit], LEAST[unit])
    keys = ", ".join(one.key for one in claim.mentions)
    return Checked(claim, apart <= allowed, f"{keys}: told {claim.value:g} {claim.unit}, off by {apart:.1f} {unit}")
