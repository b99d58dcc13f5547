"""Answers by kind of query on the model's own masks: right within a tolerance, and never against masks or labels.

The queries are given, so that no reading of words is in question; the hand-written sets measure the reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.language.findings.finding_keys import FINDING_KEYS
from medvlsam2.data.overlap import dice
from medvlsam2.data.query.queries import AskMeasure, AskObject, Query
from medvlsam2.data.query.reading import read_query
from medvlsam2.evaluation.claims.evidence import STATES
from medvlsam2.evaluation.measurement import Measurement
from medvlsam2.evaluation.measures.contradictions import count_contradictions, evidence_of_masks
from medvlsam2.evaluation.measures.given_query import GivenQuery
from medvlsam2.evaluation.measures.hand_questions import agree
from medvlsam2.evaluation.measures.words import PHANTOM_STRUCTURES, large_enough
from medvlsam2.evaluation.scans import LabelledScan
from medvlsam2.evaluation.truth.agreement import WITH_MASKS, agrees
from medvlsam2.evaluation.truth.known_masks import Known
from medvlsam2.evaluation.truth.oracle import Expected, expected
from medvlsam2.tasks.converse import Answer, answer
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.facts import facts_of

TASK: Final = "vqa"
MOST: Final = 12
"""Structures of a scan that are asked for: a model must measure each."""
GOOD_DICE: Final = 0.85
"""A volume of a mask that is as good as this must not be told far off."""
PAIRS: Final = (
    ("kidney_left", "kidney_right"),
    ("lung_left", "lung_right"),
    ("parotid_gland_left", "parotid_gland_right"),
)


def measure_queries(engine: Engine, scan: LabelledScan) -> Iterator[Measurement]:
    """Right answers by kind of query; contradictions; presence and volumes against labels of real scans."""
    known, evidence = Known(scan), evidence_of_masks(engine, scan)
    for text in queries_about(scan):
        query = read_query(text)
        wanted = expected(query, known)
        if wanted is None:
            continue
        given = answer(engine, scan.volume, text, writer=GivenQuery(text), facts=facts_of(engine, scan.volume))
        kind = text.partition(" of ")[0].split()[0]
        right = _is_right(given, wanted)
        yield Measurement(TASK, scan.group, kind, "right by kind of query", scan.patient, float(right))
        yield from count_contradictions(TASK, scan, [given.text], evidence)
        yield from _by_labels(engine, scan, query, given, wanted)


def queries_about(scan: LabelledScan) -> list[str]:
    """Queries about what is known of a scan, the same ones every time."""
    seen = large_enough({key: mask for key, mask in scan.truth.items() if not vocabulary.STRUCTURES[key].is_finding})
    usual = [key for key in seen if scan.lesion_map is None or key in PHANTOM_STRUCTURES][:MOST]
    absent = [] if scan.facts is None else [key for key in PHANTOM_STRUCTURES if key in scan.facts.absent]
    found = [f"presence of {_name(key)}" for key in (*usual, *absent)]
    found += [f"{measure} of {_name(key)}" for key in usual for measure in ("volume", "length", "density")]
    for left, right in PAIRS:
        if left in seen and right in seen:
            found.append(f"greatest volume of {_name(left)} or {_name(right)}")
            found.append(f"ratio of volume of {_name(left)} to {_name(right)}")
            found.append(f"distance from {_name(left)} to {_name(right)}, mm")
    if scan.facts is not None and scan.facts.lesions_known:
        found += list(_about_findings(scan))
    return found


def _about_findings(scan: LabelledScan) -> Iterator[str]:
    present = {key.removesuffix("_left").removesuffix("_right") for key, _, _ in Known(scan).lesions()}
    for key in dict.fromkeys(FINDING_KEYS.values()):
        yield f"presence of {_name(key)}"
        if key in present and key not in STATES:
            yield from (f"{what} of {_name(key)}" for what in ("count", "side", "length", "location", "volume"))


def _is_right(given: Answer, wanted: Expected) -> bool:
    if wanted.values == (False,):
        state = "outside the field of view" if "field of view" in given.text else ""
        return agree(given.value, given.unit, state, wanted)
    value = tuple(given.value) if isinstance(given.value, list) else given.value
    return agrees(value, given.unit, wanted, share=WITH_MASKS)


def _by_labels(
    engine: Engine, scan: LabelledScan, query: Query, given: Answer, wanted: Expected
) -> Iterator[Measurement]:
    if scan.lesion_map is not None or scan.is_pseudo or given.value is None:
        return
    if isinstance(query, AskObject) and query.what == "presence":
        wrong = given.value is not wanted.values[0]
        yield Measurement(TASK, scan.group, "presence", "presence stated wrongly", scan.patient, float(wrong))
    if isinstance(query, AskMeasure) and query.measure == "volume":
        key = query.target.items[0].key
        facts = facts_of(engine, scan.volume)
        if key in scan.truth and dice(facts.mask(facts.structure(key)), scan.truth[key]) >= GOOD_DICE:
            off = not agrees(given.value, given.unit, wanted, share=WITH_MASKS)
            yield Measurement(TASK, scan.group, key, "volume told off by more than 15 %", scan.patient, float(off))


def _name(key: str) -> str:
    return vocabulary.STRUCTURES[key].name
