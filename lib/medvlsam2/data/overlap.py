"""Overlap of two masks."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool


def dice(predicted: Bool[np.ndarray, "*shape"], truth: Bool[np.ndarray, "*shape"]) -> float:
    """Twice the intersection over the sum of both sizes; 1 where both are empty.

    Example:
        >>> dice(np.array([True, True, False]), np.array([True, False, False]))
        0.6666666666666666
    """
    total = int(predicted.sum()) + int(truth.sum())
    return 1.0 if total == 0 else 2.0 * int((predicted & truth).sum()) / total


def iou(predicted: Bool[np.ndarray, "*shape"], truth: Bool[np.ndarray, "*shape"]) -> float:
    """Intersection over union; 1 where both are empty."""
    union = int((predicted | truth).sum())
    return 1.0 if union == 0 else int((predicted & truth).sum()) / union
