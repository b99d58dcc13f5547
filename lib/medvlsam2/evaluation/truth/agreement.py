"""Whether an answer's value agrees with what it must be, with a tolerance for each unit.

Tolerances, given the masks: an answer is computed from the same masks, so only rounding and method may differ. A
volume, a ratio or a share may be 2 % off (texts round to whole mL or one decimal), a length 3 % (a voxel's width is
counted or not) and besides as much as the expectation's slack says; a count, a slice and a name must be exact.
Given a model's own masks (``WITH_MASKS``) a number may be 15 % off: readers who measure one lesion twice differ by 10 %
and more (Erasmus et al., J Clin Oncol 2003).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

from medvlsam2.evaluation.truth.oracle import PER_UNIT, Expected, Value

SHARE: Final = {"mL": 0.02, "L": 0.02, "%": 0.02, "": 0.02, "mm": 0.03, "cm": 0.03, "HU": 0.03}
"""How far off a number may be, as a share of what it must be, by its unit."""
LEAST: Final = {"mL": 0.06, "L": 0.06, "%": 1.0, "": 0.02, "mm": 0.6, "cm": 0.06, "HU": 0.6}
"""Half of the last digit that texts show, and a little."""
_KIND: Final = {"mL": "volume", "L": "volume", "mm": "length", "cm": "length", "HU": "density"}
WITH_MASKS: Final = 0.15
"""The share where the masks are the model's own."""


def agrees(given: Value | None, unit: str, wanted: Expected, share: float | None = None) -> bool:
    """Whether a value is one of those that are expected.

    Args:
        given: the value of an answer; None: it has none.
        unit: its unit.
        wanted: what it must be.
        share: how far off a number may be; None: as given masks allow.

    Example:
        >>> agrees(1.121, "L", Expected((1121.0,), "mL")), agrees(1.2, "L", Expected((1121.0,), "mL"))
        (True, False)
        >>> agrees("left kidney", "", Expected(("the left kidney",))), agrees(True, "", Expected((False,)))
        (True, False)
    """
    return any(_one(given, unit, value, wanted, share) for value in wanted.values)


def _one(given: Value | None, unit: str, value: Value, wanted: Expected, share: float | None) -> bool:
    if isinstance(value, bool) or isinstance(given, bool):
        return given is value
    if isinstance(value, int) and isinstance(given, int):
        return given == value
    if isinstance(value, int | float) and isinstance(given, int | float):
        return _near(float(given), unit, float(value), wanted, share)
    if isinstance(value, tuple) and isinstance(given, tuple | list):
        return _all(given, unit, value, wanted, share)
    if isinstance(value, str) and isinstance(given, str):
        return bare(given) == bare(value)
    if isinstance(value, str) and isinstance(given, tuple | list):
        return [bare(str(each)) for each in given] == [bare(value)]
    return False


def _all(given: Sequence[Value], unit: str, value: Sequence[Value], wanted: Expected, share: float | None) -> bool:
    if all(isinstance(each, str) for each in value):
        return sorted(bare(str(each)) for each in given) == sorted(bare(str(each)) for each in value)
    pairs = zip(given, value, strict=False)
    return len(given) == len(value) and all(_one(one, unit, other, wanted, share) for one, other in pairs)


def _near(given: float, unit: str, value: float, wanted: Expected, share: float | None) -> bool:
    if unit != wanted.unit:
        if _KIND.get(unit) is None or _KIND[unit] != _KIND.get(wanted.unit):
            return False
        given = given * PER_UNIT[unit] / PER_UNIT[wanted.unit]
    allowed = SHARE[wanted.unit] if share is None else share
    return math.isfinite(given) and abs(given - value) <= max(abs(value) * allowed, LEAST[wanted.unit]) + wanted.slack


def bare(text: str) -> list[str]:
    """The words of a name or an answer in alphabetical order: "cyst in the liver" and "liver cyst" are the same."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return sorted(word for word in words if word not in ("the", "a", "an", "in", "of", "vertebra"))
