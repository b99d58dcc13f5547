"""Facts of a scan measured on its true masks, by the code that serves: only what a model does is then in question."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Lesion
from medvlsam2.data.language.findings.finding_keys import FINDING_KEYS
from medvlsam2.data.language.findings.lesions import host_family
from medvlsam2.evaluation.scans import LabelledScan
from medvlsam2.evaluation.truth.known_masks import KINDS, Known
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.measure.sources.given_masks import GivenMasks, given

LESIONS: Final = frozenset({"cyst", "metastasis", "nodule", "mass", "sarcoma"})
"""Kinds that the word "lesion" means."""
BONES: Final = frozenset({"vertebrae", "hip", "rib"})
"""Families of structures that are bones."""


@dataclass(frozen=True, eq=False)
class TrueMasks(GivenMasks):
    """True masks; lesions are given by their own names and by general words ("cyst"), which name no finding twice."""

    @property
    def findings(self) -> Sequence[str]:
        """Findings by their own names; of a phantom also those that it does not have."""
        own = [key for key in self.lesions if key == "mass" or (key not in KINDS and not key.endswith("lesion"))]
        if not self.every_finding_is_given:
            return own
        held = {key.removesuffix(f"_{vocabulary.STRUCTURES[key].side}") for key in own}
        return list(dict.fromkeys((*(key for key in FINDING_KEYS.values() if key not in held), *own)))


def true_facts(scan: LabelledScan) -> Facts:
    """Facts of a scan whose truth is known.

    Args:
        scan: with its truth.
    """
    structures = {key: mask for key, mask in scan.truth.items() if not vocabulary.STRUCTURES[key].is_finding}
    source = TrueMasks(
        scan.volume,
        given(structures),
        lesions=_lesions(scan),
        absent=frozenset(() if scan.facts is None else scan.facts.absent),
        known_region=None if scan.facts is None else scan.facts.region,
        every_finding_is_given=scan.facts is not None and scan.facts.lesions_known,
    )
    return Facts(source)


def _lesions(scan: LabelledScan) -> Mapping[str, tuple[KeptMask, ...]]:
    known = Known(scan)
    found: dict[str, list[KeptMask]] = defaultdict(list)
    for key, lesion, mask in known.lesions():
        kept = KeptMask.of(mask)
        assert kept is not None
        for name in dict.fromkeys((key, *_general(lesion))):
            found[name].append(kept)
    for key in scan.truth:
        if vocabulary.STRUCTURES[key].is_finding:
            found[key] += [kept for mask in known.masks(key) or () if (kept := KeptMask.of(mask)) is not None]
    return {key: tuple(masks) for key, masks in found.items() if masks}


def _general(lesion: Lesion) -> list[str]:
    """General words that mean a lesion too: "cyst", "lesion", "liver_lesion"."""
    words = [word for word, kinds in KINDS.items() if lesion.kind in kinds]
    if lesion.kind not in LESIONS:
        return words
    family = host_family(lesion.structure)
    held = f"{'bone' if family in BONES else family}_lesion"
    return [*words, "lesion", *([held] if held in vocabulary.STRUCTURES else [])]
