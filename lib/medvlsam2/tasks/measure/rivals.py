"""Two findings marked on the same voxels: only one of them is told there, the one that is surer.

A dilated renal pelvis and a cyst are both dark fluid in a kidney. A model that marks both names on one spot would else
tell two findings where there is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Final, Protocol, runtime_checkable

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import Fact
from medvlsam2.data.language.findings.finding_keys import FINDING_KEYS
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.measure.rules.table import load_rules
from medvlsam2.tasks.measure.sources.mask_source import MaskSource
from medvlsam2.tasks.measure.whereabouts import sites

SHARED: Final = 0.5
"""A lesion is the same thing as another one that holds more than this share of its voxels."""


@runtime_checkable
class Marked(Protocol):
    """What is asked of the facts of a scan."""

    @property
    def source(self) -> MaskSource:
        """Of the masks."""

    def is_joined(self, key: str) -> bool:
        """Whether a whole has no mask of its own name."""

    def look_for(self, keys: Sequence[str]) -> None:
        """Find the masks of some names together."""

    def tells(self, key: str) -> bool:
        """Whether a finding is told reliably."""

    def lesions(self, key: str) -> tuple[Fact, ...]:
        """The lesions of a finding before those of others are looked at."""

    def kept_mask(self, fact: Fact) -> KeptMask | None:
        """Mask of a fact."""


def undisputed(key: str, lesions: Sequence[Fact], facts: Marked) -> tuple[Fact, ...]:
    """The lesions of a finding, each that is more surely another finding as "not assessed".

    The confidence of both names decides. What a search found by itself, and what is not told reliably, is less sure
    than what is. Of two that are as sure, the first in the vocabulary is told.

    Args:
        key: of the finding.
        lesions: as :meth:`Marked.lesions` gives them.
        facts: of the scan.
    """
    present = [fact for fact in lesions if fact.is_present and fact.mask is not None]
    others = [other for other in rivals(key) if _has_masks(other, facts)] if present else []
    if not others:
        return tuple(lesions)
    facts.look_for(others)
    surer = [found for other in others if (found := _surer(key, present[0], other, facts)) is not None]
    return tuple(_or_another(fact, surer, facts) for fact in lesions)


@cache
def rivals(key: str) -> tuple[str, ...]:
    """Findings that lie in the same structure as one, and cannot be the same voxels.

    General words ("kidney lesion") mean the finding too, and what a rule finds, such as a stone, may lie within it.

    Example:
        >>> rivals("kidney_cyst_left"), rivals("liver_cyst")
        (('hydronephrosis_left', 'hydronephrosis'), ('liver_metastasis', 'ascites'))
    """
    places, kinds = set(sites(key)), set(FINDING_KEYS.values()) - load_rules().keys()
    own = _base(key)
    if own not in kinds:
        return ()
    others = (one for one in vocabulary.STRUCTURES if _base(one) in kinds - {own})
    return tuple(one for one in others if places & set(sites(one)))


def _has_masks(key: str, facts: Marked) -> bool:
    return facts.source.knows(key) and not facts.is_joined(key)


def _surer(key: str, lesion: Fact, other: str, facts: Marked) -> tuple[str, KeptMask] | None:
    """Name and mask of a rival that is surer; None if there is none."""
    found = [fact for fact in facts.lesions(other) if fact.is_present]
    masks = [mask for fact in found if (mask := facts.kept_mask(fact)) is not None]
    if not masks:
        return None
    order = list(vocabulary.STRUCTURES)
    mine = (_sure(lesion, facts), -order.index(key))
    theirs = (max(_sure(fact, facts) for fact in found), -order.index(other))
    return (found[0].name, masks[0].union(*masks[1:])) if theirs > mine else None


def _or_another(fact: Fact, surer: Sequence[tuple[str, KeptMask]], facts: Marked) -> Fact:
    mask = facts.kept_mask(fact) if fact.is_present else None
    name = None if mask is None else next(_holding(mask, surer), None)
    if name is None:
        return fact
    reason = f"What is marked as {fact.name} is marked as {name} too, and more surely."
    return replace(fact, state="not assessed", reason=reason)


def _holding(mask: KeptMask, others: Sequence[tuple[str, KeptMask]]) -> Iterator[str]:
    return (name for name, other in others if mask.overlap(other) > SHARED * mask.voxels)


def _sure(fact: Fact, facts: Marked) -> float:
    return (fact.confidence or 0.0) if facts.tells(fact.key) else 0.0


def _base(key: str) -> str:
    return key.removesuffix(f"_{vocabulary.STRUCTURES[key].side}")
