"""A value and its unit as text, with as many digits as a reader needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from medvlsam2.data.quantities.units import SHOWN

IN_JSON: Final[Mapping[str, int]] = {
    **{"mL": 3, "L": 6, "mm": 1, "cm": 2, "HU": 1, "%": 3, "cm2": 3, "mm3": 3, "": 3},
}
"""Decimals in JSON. Those of mL, mm, HU and of what rules measure are those of facts (``fact_table``); L and cm then
lose nothing of them."""
_STEPS: Final[Mapping[str, tuple[tuple[float, int], ...]]] = {
    "mL": ((100, 0), (1, 1), (0.01, 2), (0, 3)),
    "L": ((10, 1), (0.1, 2), (0, 3)),
    "mm": ((10, 0), (0, 1)),
    "cm": ((1, 1), (0, 2)),
    "HU": ((0, 0),),
    "%": ((10, 0), (0.1, 1), (0, 2)),
    "cm2": ((1000, 0), (0, 1)),
    "mm3": ((10, 0), (0, 1)),
    "": ((100, 0), (10, 1), (0, 2)),
}
"""From which size on a value has how many decimals. Whole mm from 10 mm on, as in RECIST 1.1; below, a tenth of a mm
decides about thresholds of nodules and stones. Whole mL from 100 mL on: two readers differ by more. A tenth of a HU
is less than the noise of a mean. cm² keep a tenth, because thresholds have one (92.2 cm²)."""


def told(value: float, unit: str) -> str:
    """Return a value with its unit, rounded for reading.

    Args:
        value: in the unit.
        unit: of facts and queries (``units.SHOWN``).

    Example:
        >>> told(1121.348, "mL"), told(0.3512, "mL"), told(146.2, "mm"), told(8.42, "mm"), told(4.24, "cm")
        ('1,121 mL', '0.35 mL', '146 mm', '8.4 mm', '4.2 cm')
        >>> told(1.0412, ""), told(63.8, "%"), told(1.1213, "L"), told(-3.5, "HU"), told(459.0, "mm3")
        ('1.04', '64%', '1.12 L', '-4 HU', '459 mm³')
    """
    return _with_unit(number(value, unit), unit)


def number(value: float, unit: str, decimals: int | None = None) -> str:
    """Return the digits of a value without its unit; halves are rounded up, as people round.

    Args:
        value: in the unit.
        unit: of the value.
        decimals: after the point; None: as many as a value of this size has.
    """
    exact = Decimal(repr(as_in_json(value, unit)))
    digits = _usual_decimals(exact, unit) if decimals is None else decimals
    rounded = exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    if decimals is None and (fewer := _usual_decimals(rounded, unit)) < digits:
        rounded = exact.quantize(Decimal(1).scaleb(-fewer), ROUND_HALF_UP)
    return f"{abs(rounded) if rounded.is_zero() else rounded:,f}"


def told_pair(first: float, second: float, unit: str) -> str:
    """Return two values of one thing, both with the decimals of the first: the axes of a lesion.

    Example:
        >>> told_pair(12.3, 8.7, "mm"), told_pair(8.4, 6.0, "mm")
        ('12 × 9 mm', '8.4 × 6.0 mm')
    """
    digits = _decimals_of(number(first, unit))
    return f"{number(first, unit)} × {_with_unit(number(second, unit, digits), unit)}"


def told_apart(values: Sequence[float], unit: str) -> list[str]:
    """Return several values that are compared, with enough decimals that different values have different texts.

    Example:
        >>> told_apart([150.6, 151.2], "mL"), told_apart([29.6, 30.0], "mm")
        (['150.6 mL', '151.2 mL'], ['29.6 mm', '30.0 mm'])
        >>> told_apart([210.0, 150.6], "mL")
        ['210 mL', '151 mL']
    """
    usual = [number(value, unit) for value in values]
    different = len({as_in_json(value, unit) for value in values})
    for decimals in range(IN_JSON[unit] + 1):
        texts = [
            text if _decimals_of(text) >= decimals else number(value, unit, decimals)
            for value, text in zip(values, usual, strict=True)
        ]
        if len(set(texts)) >= different:
            break
    return [_with_unit(text, unit) for text in texts]


def told_exactly(value: float, unit: str) -> str:
    """Return a number that nobody measured, such as a limit, with the digits that it has.

    Example:
        >>> told_exactly(5.0, "%"), told_exactly(92.2, "cm2"), told_exactly(130.0, "mm")
        ('5%', '92.2 cm²', '130 mm')
    """
    digits = number(value, unit, IN_JSON[unit])
    return _with_unit(digits.rstrip("0").removesuffix(".") if "." in digits else digits, unit)


def as_in_json(value: float, unit: str) -> float:
    """Return a value with as many decimals as JSON shows."""
    return round(float(value), IN_JSON[unit])


def usual_decimals(value: float, unit: str) -> int:
    """Return how many decimals the text of a value has."""
    return _decimals_of(number(value, unit))


def _usual_decimals(value: Decimal, unit: str) -> int:
    if value == 0:
        return _STEPS[unit][0][1]
    return next(decimals for least, decimals in _STEPS[unit] if abs(value) >= Decimal(repr(least)))


def _decimals_of(digits: str) -> int:
    return len(digits.partition(".")[2])


def _with_unit(digits: str, unit: str) -> str:
    return f"{digits}{'' if unit in ('', '%') else ' '}{SHOWN[unit]}"
