"""The earlier scan of the same patient with which a report compares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PriorScan:
    """The earlier scan of the same patient with which a report compares."""

    image_id: str
    path: Path
    dates: tuple[str, str]
    """Of the earlier study and of the one that is reported, as YYYY-MM-DD."""
    is_named: bool
    """Whether the request names it; one that was found is left out with a warning if it cannot be read."""
