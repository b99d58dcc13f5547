"""What a detection is: one kind of finding, where it is looked for, with which numbers; and what came of the search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask


class Refused(Exception):
    """A search's condition is not met; the message is one sentence for the reader."""


@runtime_checkable
class Organs(Protocol):
    """The masks that searches may use."""

    @property
    def volume(self) -> CTVolume:
        """The scan."""

    def need(self, key: str, *, min_confidence: float) -> KeptMask:
        """The mask of an organ that is present and sure.

        Raises:
            Refused: if there is no such mask.
        """

    def seen(self, keys: Sequence[str]) -> list[KeptMask]:
        """The masks of those organs that are told reliably and present."""


@dataclass(frozen=True, kw_only=True)
class Detection:
    """One line of the table.

    Args:
        key: of the finding in the vocabulary, without side.
        find: the function that looks for it, by its name.
        of: vocabulary keys of the organs in or beside which it lies; each is looked at by itself.
        beside: vocabulary keys of organs that are not it, where they are seen.
        min_confidence: least confidence of an organ's mask.
        note: one sentence that is told with each lesion.
        excludes: whether a search without a result means that the finding is absent; it does not where many lesions of
            this kind look like their organ.
        source: paper or guideline with its year.
        limits: numbers that the search needs, by name.
    """

    key: str
    find: str
    of: tuple[str, ...]
    beside: tuple[str, ...] = ()
    min_confidence: float = 0.7
    note: str = ""
    excludes: bool = True
    source: str
    limits: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What a search found in one organ.

    Args:
        spots: mask of each lesion; none: nothing was found.
        unseen: what it cannot see, in words, such as "smaller than 6 mm".
        doubt: one sentence: why nothing is absent from this organ, whatever a model says; "" if there is no doubt.
    """

    spots: tuple[KeptMask, ...] = ()
    unseen: str = ""
    doubt: str = ""


Find = Callable[[Detection, str, Organs], Looked]
"""Looks for one kind of finding in one organ (vocabulary key); raises :class:`Refused` where it cannot."""
