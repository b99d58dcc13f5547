"""Helpers for data sets of unknown origin: the exceptions of damaged files, and numbers that may be absent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from jaxtyping import Float
from pydicom.dataset import Dataset

from medvlsam2.data.reading.dicom import data_set

PARSE_ERRORS: Final = data_set.PARSE_ERRORS
"""Exceptions that pydicom raises on damaged files. pydicom parses most values only when they are used."""


def numbers(items: Iterable[Dataset], keyword: str, count: int) -> Float[np.ndarray, " n"] | None:
    """Return the first value of a keyword with ``count`` numbers; None if there is none or the value is damaged."""
    for item in items:
        try:
            value: Any = item.get(keyword)
            if value is not None and len(value) == count:
                found = np.array([float(number) for number in value], dtype=np.float64)
                return found if np.isfinite(found).all() else None
        except PARSE_ERRORS:
            return None
    return None
