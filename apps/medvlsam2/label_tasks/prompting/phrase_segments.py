"""Gives each phrase in OHIF a segment of its own.

OHIF knows only the names and ids that the server published when the page connected. So ``medvlsam2_referring``
publishes several segments "referred object …", and every new phrase about a scan gets the next free one; thus a second
phrase does not replace the result of the first. The same phrase keeps its segment. The segment of a phrase that was
never found is free again. An annotator who ticks a segment under Class Prompts chooses it for the phrase.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from cachetools import LRUCache

from label_tasks.prompting.target import Target
from medvlsam2.errors import InvalidPrompt

SEGMENTS: Final = {"referred object": 1, **{f"referred object {number}": number for number in range(2, 9)}}
"""Published names and ids."""
KEPT: Final = 64
"""Pairs of annotator and scan whose phrases are kept; beyond these the pair that asked longest ago is dropped."""


@dataclass
class _Phrases:
    """Phrases of one annotator about one scan."""

    taken: dict[str, int] = field(default_factory=dict)
    """Segment of each phrase."""
    found: set[str] = field(default_factory=set)
    """Phrases that were found in the scan."""


class PhraseSegments:
    """Which segment each phrase has, for the annotators and scans that asked last."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._phrases: LRUCache[Hashable, _Phrases] = LRUCache(KEPT)

    def place(self, asker: Hashable, targets: Sequence[Target], chosen: Sequence[int]) -> tuple[Target, ...]:
        """The targets with the ids of their segments.

        Args:
            asker: who asks about which scan.
            targets: one for each phrase.
            chosen: ids that the annotator ticked; used if there are as many as phrases.

        Raises:
            InvalidPrompt: if no segment is free.
        """
        with self._guard:
            taken = self._phrases.setdefault(asker, _Phrases()).taken
            return tuple(
                replace(target, value=self._segment(taken, target, ticked))
                for target, ticked in zip(targets, _ticked(chosen, len(targets)), strict=True)
            )

    def settle(self, asker: Hashable, targets: Sequence[Target], found: Sequence[bool]) -> None:
        """Keep the segments of phrases that were found, now or earlier; the segments of others are free again.

        Args:
            asker: as for :meth:`place`.
            targets: as they were placed.
            found: whether each of them is in the scan.
        """
        with self._guard:
            known = self._phrases.setdefault(asker, _Phrases())
            phrases = [_phrase(target) for target in targets]
            known.found |= {phrase for phrase, is_found in zip(phrases, found, strict=True) if is_found}
            for phrase in set(phrases) - known.found:
                known.taken.pop(phrase, None)

    @staticmethod
    def _segment(taken: dict[str, int], target: Target, ticked: int | None) -> int:
        phrase = _phrase(target)
        if ticked is not None:
            for other in [name for name, value in taken.items() if value == ticked]:
                del taken[other]
            taken[phrase] = ticked
        if phrase not in taken:
            free = [value for value in SEGMENTS.values() if value not in taken.values()]
            if not free:
                raise InvalidPrompt(
                    f"All {len(SEGMENTS)} segments for phrases were given to other phrases about this scan, some "
                    "perhaps before the page was loaded anew. Tick the one to be replaced under Class Prompts, and "
                    "run the phrase there."
                )
            taken[phrase] = free[0]
        return taken[phrase]


def _phrase(target: Target) -> str:
    return (target.prompt.text or "").casefold()


def _ticked(chosen: Sequence[int], count: int) -> list[int | None]:
    return list(chosen) if len(chosen) == count else [None] * count
