"""Single lesions of a finding: connected parts of its mask, each with the structure that holds it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, Protocol, runtime_checkable

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import Fact
from medvlsam2.data.language.findings.finding_keys import FINDING_KEYS
from medvlsam2.data.language.findings.lesions import UNCOUNTABLE, WHOLE
from medvlsam2.data.structures.table import Side
from medvlsam2.data.volume import CTVolume
from medvlsam2.geometry import voxel_volume_ml
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.measure.masks.mask_measures import pieces_of
from medvlsam2.tasks.measure.sources.mask_source import Seen
from medvlsam2.tasks.measure.whereabouts import sites

ONE_EACH: Final = UNCOUNTABLE | WHOLE | {"effusion", "pneumothorax", "aneurysm", "dissection"}
"""Kinds of which a place holds one at most: fluid, air, and states of a whole structure."""
MIN_ML: Final = 0.015
"""A connected part of a lesion's mask is a lesion of its own from this volume on (a ball of 3 mm); the largest one
always is."""
MOST: Final = 20
"""At most so many lesions of one kind are told one by one, the largest first."""


@runtime_checkable
class Places(Protocol):
    """What tells where a lesion lies."""

    @property
    def volume(self) -> CTVolume:
        """The scan."""

    def structures(self, keys: Sequence[str]) -> tuple[Fact, ...]:
        """Facts of structures."""

    def tells(self, key: str) -> bool:
        """Whether a structure is told reliably."""

    def kept_mask(self, fact: Fact) -> KeptMask | None:
        """Mask of a fact."""


def lesions_of(whole: Fact, seen: Seen, places: Places) -> Iterator[tuple[Fact, KeptMask]]:
    """Each lesion with its mask; nothing if none is present.

    Args:
        whole: the fact of the finding as a whole.
        seen: its mask.
        places: tells which structure holds a lesion.
    """
    if whole.state != "present" or seen.mask is None:
        return
    if seen.pieces is None and not is_countable(whole.key):
        yield _placed(whole, seen.mask, places), seen.mask
        return
    masks = sorted(seen.pieces, key=lambda one: -one.voxels) if seen.pieces else _large(seen.mask, places.volume)
    for number, mask in enumerate(masks[:MOST], start=1):
        numbered = replace(whole, id=f"{whole.key}.{number}", pieces=None)
        yield _placed(numbered, mask, places), mask


def is_countable(key: str) -> bool:
    """Whether lesions of a finding are counted: cysts are, fluid is not."""
    known = vocabulary.STRUCTURES[key]
    base = key.removesuffix(f"_{known.side}")
    kinds = {kind for (kind, _), name in FINDING_KEYS.items() if name == base}
    return not kinds & ONE_EACH and base not in ("effusion", "pericardial_effusion", "hemorrhage")


def as_whole(disproved: Sequence[Fact], key: str) -> list[Fact]:
    """What was marked and measures something else, as the one fact of its finding."""
    return [replace(fact, id=key) for fact in disproved]


def of_parts(whole: Fact, parts: Sequence[Fact]) -> Fact:
    """The fact of both sides where no lesion of a side is present, though there may be marks of something else."""
    unknown = next((fact for fact in parts if not fact.is_known), None)
    if not whole.is_present or unknown is None:
        return whole
    return replace(whole, state=unknown.state, reason=unknown.reason)


def size_of(fact: Fact) -> float:
    """Of a thing that is counted, its volume; of a state of a structure, such as a loss of height, its value."""
    return (fact.volume_ml if fact.kind == "finding" else fact.value) or 0.0


def _large(mask: KeptMask, volume: CTVolume) -> list[KeptMask]:
    least = MIN_ML / voxel_volume_ml(volume.affine)
    first, *others = pieces_of(mask)
    return [first, *(one for one in others if one.voxels >= least)]


def _placed(fact: Fact, mask: KeptMask, places: Places) -> Fact:
    """The lesion with the structure that holds most of it, and with that structure's side."""
    held_by = sites(fact.key)
    if fact.side is not None or len(held_by) == 1:
        return replace(fact, structure=held_by[0] if len(held_by) == 1 else fact.structure)
    told = tuple(host for host in held_by if places.tells(host))
    shared: dict[str, int] = {}
    for host in places.structures(told):
        own = places.kept_mask(host)
        shared[host.key] = 0 if own is None else own.overlap(mask)
    best = max(shared, key=lambda key: shared[key], default=None)
    if best is None or shared[best] == 0:
        return fact
    side: Side | None = vocabulary.STRUCTURES[best].side
    return replace(fact, structure=best, side=side)
