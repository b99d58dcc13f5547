"""The model that ships, on a small phantom with findings."""

from __future__ import annotations

from pathlib import Path

import pytest

from medvlsam2.data.phantom import Phantom
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.facts import facts_of
from medvlsam2.tasks.measure.fact_source import Facts

NANO = Path(__file__).resolve().parents[4] / "model" / "medvlsam2-nano"


@pytest.fixture(scope="session")
def nano() -> Engine:
    """The model that ships."""
    return Engine(NANO)


@pytest.fixture(scope="session")
def facts(nano: Engine, small_phantom: Phantom) -> Facts:
    """Facts of the small phantom as the model sees it; tests only add to them."""
    return facts_of(nano, small_phantom.volume)
