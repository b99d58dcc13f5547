"""Facts of a scan that are known without measuring: of phantoms and of labelled scans, for training and for tests."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import Fact, FactTable
from medvlsam2.data.facts import Lesion, ScanFacts
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.findings import lesions
from medvlsam2.data.language.findings.finding_keys import finding_key

RULE_KEYS: Final = frozenset({"splenomegaly", "cardiomegaly"})
"""Findings that measuring proves; their facts are those of rules."""


def known_facts(facts: ScanFacts) -> FactTable:
    """Return the facts of a scan whose truth is known: every structure and finding that is listed, with its sizes.

    A finding that is not listed is called absent only if every finding is known, and only in a structure that the scan
    shows.
    """
    told = [
        Fact(
            id="region",
            key="region",
            kind="rule",
            name="region",
            state="present",
            label=anatomy.REGION_NAMES[facts.region],
        )
    ]
    if facts.phase is not None:
        told.append(Fact(id="phase", key="phase", kind="rule", name="phase", state="present", label=facts.phase))
    told += [_structure(key, volume_ml) for key, volume_ml in facts.volumes_ml.items()]
    told += [_structure(key, None) for key in facts.absent if anatomy.is_covered(key, facts.region)]
    counts: Counter[str] = Counter()
    for lesion in sorted(facts.lesions, key=lambda one: -one.diameter_mm):
        fact = _lesion(lesion)
        counts[fact.key] += 1
        number = "" if fact.kind == "rule" else f".{counts[fact.key]}"
        told.append(replace(fact, id=f"{fact.key}{number}"))
    return FactTable(tuple(told) + tuple(_denied(facts)))


def _structure(key: str, volume_ml: float | None) -> Fact:
    known = vocabulary.STRUCTURES.get(key)
    return Fact(
        id=key,
        key=key,
        kind="structure",
        name=anatomy.name(key),
        code=None if known is None else known.snomed,
        state="absent" if volume_ml is None else "present",
        side=anatomy.side(key),
        volume_ml=volume_ml,
    )


def _lesion(lesion: Lesion) -> Fact:
    key = _key(lesion)
    known = vocabulary.STRUCTURES.get(key)
    side = anatomy.side(lesion.structure) or lesion.side
    is_rule = key in RULE_KEYS
    return Fact(
        id=key,
        key=key,
        kind="rule" if is_rule else "finding",
        name=lesions.nouns(lesion)[0] if known is None else known.name,
        code=None if known is None else known.snomed,
        state="present",
        structure=lesion.structure,
        side=side,
        longest_mm=lesion.diameter_mm if lesion.kind not in lesions.UNSIZED else None,
        mean_hu=lesion.mean_hu,
        centre_ras=lesion.center_ras,
    )


def _key(lesion: Lesion) -> str:
    """Return the vocabulary key of a lesion with its side where there is one; else its kind and structure."""
    key = finding_key(lesion)
    if key is None:
        return f"{anatomy.base(lesion.structure)}_{lesion.kind}"
    sided = f"{key}_{anatomy.side(lesion.structure) or lesion.side}"
    return sided if sided in vocabulary.STRUCTURES else key


def _denied(facts: ScanFacts) -> list[Fact]:
    """Return an absent fact for each finding of the vocabulary that no lesion states and whose host is shown."""
    if not facts.lesions_known:
        return []
    present = {finding_key(lesion) for lesion in facts.lesions}
    hosts = [*facts.volumes_ml, *(["body"] if anatomy.has_abdomen(facts.region) else [])]
    absent: dict[str, Fact] = {}
    for kind in lesions.HOSTS:
        for key in lesions.plausible_hosts(kind, hosts):
            name = finding_key(lesions.imagined(kind, key))
            if name is None or name in present or name in absent:
                continue
            known = vocabulary.STRUCTURES[name]
            absent[name] = Fact(
                id=name,
                key=name,
                kind="rule" if name in RULE_KEYS else "finding",
                name=known.name,
                code=known.snomed,
                state="absent",
                structure=known.site,
                side=known.side,
            )
    return list(absent.values())
