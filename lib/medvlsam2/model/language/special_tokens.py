"""Token ids that the model itself must know."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SpecialTokens:
    """Ids that the model itself must know."""

    image_context: int
    """Placeholder of one image token."""
    seg: int
    """[SEG]: its state becomes the mask prompt."""
    eos: int
    """End of a turn; generation stops before it."""
    pad: int
    """Fills shorter rows on the right."""
    new: tuple[int, ...] = ()
    """Ids besides [SEG] that the base has never seen and that are trained while it is frozen."""
