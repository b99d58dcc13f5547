"""The one JSON record of a segmentation, a report or an answer.

HTTP replies and ``--json`` of the command line both hold this record; each may add keys of its own that the schema
lists. ``answer.schema.json`` beside this file says what every key means. Nothing is computed here: numbers are rounded,
and values of objects are those of the file that the client gets.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

from medvlsam2 import NOTICE
from medvlsam2.data.fact_table import Fact
from medvlsam2.tasks.answers.results import ObjectResult
from medvlsam2.tasks.converse import Answer, Report, ReportSentence
from medvlsam2.tasks.measure.places import PlaceRAS
from medvlsam2.tasks.segment import Segmentation

Result = Segmentation | Report | Answer


def to_json(
    result: Result, *, model_id: str, model_version: str, values: Sequence[int | None] | None = None
) -> dict[str, Any]:
    """The record of a result, as the schema describes it.

    Args:
        result: of a task.
        model_id: name of the model that answered.
        model_version: its version.
        values: of a segmentation only: the value of the n-th object in the file that the client gets; None for an
            object that the file leaves out. By default 1 to N, as in ``Segmentation.label_map``.
    """
    if isinstance(result, Segmentation):
        told = _segmentation(result, range(1, len(result.objects) + 1) if values is None else values)
    elif isinstance(result, Report):
        told = _report(result)
    else:
        told = _answer(result)
    return {
        "model_id": model_id,
        "model_version": model_version,
        **told,
        "warnings": list(result.warnings),
        "latencies": {stage: round(seconds, 4) for stage, seconds in result.latencies_s.items()},
        "notice": NOTICE,
    }


def schema() -> dict[str, Any]:
    """The JSON schema (draft 7) of the record."""
    text = resources.files(__package__).joinpath("answer.schema.json").read_text(encoding="utf-8")
    found = json.loads(text)
    assert isinstance(found, dict)
    return found


def _segmentation(result: Segmentation, values: Sequence[int | None]) -> dict[str, Any]:
    named = {value: one.name for one, value in zip(result.objects, values, strict=True) if value is not None}
    return {
        "label_names": {name: value for value, name in named.items()},
        "objects": [_object(one, value, values) for one, value in zip(result.objects, values, strict=True)],
    }


def _object(result: ObjectResult, value: int | None, values: Sequence[int | None]) -> dict[str, Any]:
    return {
        "name": result.name,
        "value": value,
        "values": [own for number in result.values if (own := values[number - 1]) is not None],
        "present": result.present,
        "confidence": round(result.confidence, 4),
        "volume_ml": round(result.volume_ml, 3),
        "diameter_mm": round(result.diameter_mm, 1),
        "slice_confidence": {str(number): round(sure, 4) for number, sure in result.slice_confidence.items()},
        "slice_to_fix": result.slice_to_fix,
        "recognised_as": result.recognised_as,
        "understood_as": result.understood_as,
        "expression": result.expression,
        "reason": result.reason,
    }


def _report(result: Report) -> dict[str, Any]:
    return {
        "report": result.text,
        "style": result.style,
        "grounded": result.grounded,
        "sentences": [_sentence(one) for one in result.sentences],
        # The sentences in the form of earlier versions, which programs of users read.
        "findings": [
            {"sentence": one.sentence, "structures": list(one.structures), "place_ras_mm": _place(one.place_ras)}
            for one in result.sentences
        ],
        "facts": result.facts.to_json(),
        "removed": [{"text": one.text, "reason": one.reason} for one in result.removed],
        "not_assessed": [
            {"fact": fact.id, "name": fact.name, "state": fact.state, "reason": fact.reason}
            for fact in result.not_assessed
        ],
        "compared_with": result.prior_date,
    }


def _sentence(one: ReportSentence) -> dict[str, Any]:
    return {
        "text": one.sentence,
        "fact_ids": list(one.fact_ids),
        "structures": list(one.structures),
        "slices": None if one.slices is None else list(one.slices),
        "place_ras_mm": _place(one.place_ras),
        "measured": [
            {"fact": number.fact, "what": number.what, "value": number.value, "unit": number.unit}
            for number in one.measured
        ],
    }


def _answer(result: Answer) -> dict[str, Any]:
    return {
        "question": result.question,
        "answer": result.text,
        "choices": list(result.choices),
        "choice_index": result.choice_index,
        "place_ras_mm": _place(result.place_ras),
        "value": result.value,
        "unit": result.unit,
        "query": result.query,
        "understood_as": result.understood_as,
        "evidence": [_evidence(fact) for fact in result.evidence],
        "grounded": result.grounded,
    }


def _evidence(fact: Fact) -> dict[str, Any]:
    """A fact that an answer was computed from: which, where, and the mask that shows it."""
    return {
        "fact": fact.id,
        "name": fact.name,
        "state": fact.state,
        "slices": None if fact.slices is None else list(fact.slices),
        "mask": fact.mask,
    }


def _place(place_ras: PlaceRAS | None) -> list[float] | None:
    return None if place_ras is None else [round(place_mm, 1) for place_mm in place_ras]
