"""The facts of a scan, kept with the scan's session for all requests about it."""

from __future__ import annotations

from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.facts.model_masks import ModelMasks
from medvlsam2.tasks.measure.candidates.detecting import Detecting
from medvlsam2.tasks.measure.fact_source import Facts


def facts_of(engine: Engine, volume: CTVolume) -> Facts:
    """The facts of a scan; nothing is measured before it is asked for.

    Whoever asks them must not hold the device (``engine.lease``): each step of a search takes a lease of its own.

    Args:
        engine: the model.
        volume: the scan.

    Example:
        >>> facts_of(engine, volume).structure("liver").volume_ml  # doctest: +SKIP
        1121.3
    """
    with engine.lease():
        session = engine.session(volume)
    if session.known is None:
        session.known = Facts(Detecting(ModelMasks(engine, session)))
    return session.known
