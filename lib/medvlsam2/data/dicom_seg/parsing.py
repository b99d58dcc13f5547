"""Reading data sets of unknown origin: what may go wrong, and numbers that may be absent or damaged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from jaxtyping import Float
from pydicom.dataset import Dataset

from medvlsam2.data.reading.dicom import data_set

PARSE_ERRORS: Final = data_set.PARSE_ERRORS
"""What pydicom raises on damaged files; it reads most values only when they are asked for."""


def numbers(items: Iterable[Dataset], keyword: str, count: int) -> Float[np.ndarray, " n"] | None:
    """The first value of a name that has all its numbers; None where there is none or it is damaged."""
    for item in items:
        try:
            value: Any = item.get(keyword)
            if value is not None and len(value) == count:
                found = np.array([float(number) for number in value], dtype=np.float64)
                return found if np.isfinite(found).all() else None
        except PARSE_ERRORS:
            return None
    return None
