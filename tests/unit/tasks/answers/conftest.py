"""The model that ships, on a small phantom: it knows enough for words, clicks and boxes to agree and to disagree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medvlsam2.data.phantom import Phantom
from medvlsam2.tasks.engine.engine import Engine

NANO = Path(__file__).resolve().parents[4] / "model" / "medvlsam2-nano"


@pytest.fixture(scope="session")
def nano() -> Engine:
    """The model that ships."""
    return Engine(NANO)


@pytest.fixture(scope="session")
def truth(small_phantom: Phantom) -> dict[str, np.ndarray]:
    """Masks of the phantom's structures."""
    return {key: small_phantom.label_map == value for value, key in small_phantom.labels.items()}
