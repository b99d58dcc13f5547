"""The JSON record of every kind of answer is what the published schema says, and the schema refuses what is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft7Validator, ValidationError

from medvlsam2.data.fact_table import Fact
from medvlsam2.tasks.answers.results import ObjectResult
from medvlsam2.tasks.converse import Answer, Report, ReportSentence
from medvlsam2.tasks.records.to_json import Result, schema, to_json
from medvlsam2.tasks.segment import Segmentation

TOOK_S = {"masks": 0.123456, "total": 1.0}
KIDNEYS = ObjectResult("kidneys", True, 0.87654, 301.23456, 120.55, {4: 0.98765, 5: 0.5}, 5, values=(1, 2))
LEFT = ObjectResult("left kidney", True, 0.9, 0.0004, 3.0, {4: 0.9}, None, recognised_as="left kidney", values=(2,))
ABSENT = ObjectResult("spleen", False, 0.75, 0.0, 0.0, {}, None, values=(3,))
FOUND = Segmentation(np.zeros((2, 2, 2), dtype=np.uint8), (KIDNEYS, LEFT, ABSENT), ("Check it.",), TOOK_S)
REPORT = Report(
    "Liver normal. No ascites.",
    (ReportSentence("Liver normal.", ("liver",), (-20.04, 1.0, 2.06)), ReportSentence("No ascites.", ("ascites",))),
    (),
    TOOK_S,
)
CHOSEN = Answer("B. no", 1, (), TOOK_S, (1.0, 2.0, 3.0), "Is it visible?", ("yes", "no"))
OPEN = Answer("Yes.", None, (), TOOK_S, None, "Is it visible?")
LIVER = Fact(id="liver", key="liver", kind="structure", name="liver", state="present", slices=(3, 40), mask="liver")
COMPUTED = Answer(
    "The volume of the liver is 1.12 L.",
    None,
    (),
    TOOK_S,
    question="How large is the liver in litres?",
    grounded=True,
    value=1.121348,
    unit="L",
    query="volume of liver, L",
    understood_as="the volume of the liver in L",
    evidence=(LIVER,),
)
VALUES = (True, 3, 0.5, "left", ["spleen"], [3, 40], None)


def record_of(result: Result, **values: Any) -> dict[str, Any]:
    return to_json(result, model_id="nano", model_version="base", **values)


def test_the_schema_is_one() -> None:
    Draft7Validator.check_schema(schema())


@pytest.mark.parametrize(
    ("result", "kind"),
    [(FOUND, "segmentation"), (REPORT, "report"), (CHOSEN, "answer"), (OPEN, "answer"), (COMPUTED, "answer")],
)
def test_every_answer_is_as_the_schema_says(result: Result, kind: str) -> None:
    record = record_of(result)
    Draft7Validator(schema()).validate(record)
    assert json.loads(json.dumps(record)) == record, "nothing changes on its way through JSON"
    assert set(schema()["definitions"][kind]["required"]) == record.keys()
    assert (record["model_id"], record["model_version"]) == ("nano", "base")
    assert record["latencies"] == {"masks": 0.1235, "total": 1.0}


def test_objects_are_told_in_the_values_of_the_label_map() -> None:
    record = record_of(FOUND)
    assert record["label_names"] == {"kidneys": 1, "left kidney": 2, "spleen": 3}
    assert record["objects"][0] == {
        "name": "kidneys",
        "value": 1,
        "values": [1, 2],
        "present": True,
        "confidence": 0.8765,
        "volume_ml": 301.235,
        "diameter_mm": 120.5,
        "slice_confidence": {"4": 0.9877, "5": 0.5},
        "slice_to_fix": 5,
        "recognised_as": None,
        "understood_as": None,
        "expression": None,
        "reason": "",
    }
    assert record["warnings"] == ["Check it."]


def test_objects_are_told_in_the_values_of_the_file_and_left_out_where_the_file_leaves_them_out() -> None:
    record = record_of(FOUND, values=(12, 7, None))
    Draft7Validator(schema()).validate(record)
    assert record["label_names"] == {"kidneys": 12, "left kidney": 7}
    assert [(one["value"], one["values"]) for one in record["objects"]] == [(12, [12, 7]), (7, [7]), (None, [])]


def test_the_place_of_a_sentence_is_in_whole_tenths_of_a_millimetre() -> None:
    record = record_of(REPORT)
    assert [one["place_ras_mm"] for one in record["findings"]] == [[-20.0, 1.0, 2.1], None]
    assert [one["place_ras_mm"] for one in record["sentences"]] == [[-20.0, 1.0, 2.1], None]


def test_an_answer_tells_what_proves_it() -> None:
    record = record_of(COMPUTED)
    assert record["evidence"] == [
        {"fact": "liver", "name": "liver", "state": "present", "slices": [3, 40], "mask": "liver"}
    ]
    assert (record["value"], record["unit"], record["grounded"]) == (1.121348, "L", True)
    assert (record_of(OPEN)["value"], record_of(OPEN)["query"], record_of(OPEN)["grounded"]) == (None, "", False)


@pytest.mark.parametrize("value", VALUES)
def test_a_value_of_every_kind_is_as_the_schema_says(value: Any) -> None:
    Draft7Validator(schema()).validate(record_of(replace(COMPUTED, value=value)))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda record: record.pop("latencies"),
        lambda record: record["objects"][0].pop("slice_to_fix"),
        lambda record: record["objects"][0].update(label=1),
        lambda record: record["objects"][0].update(confidence=1.5),
        lambda record: record["objects"][0].update(value=0),
        lambda record: record["objects"][0].update(slice_confidence={"k4": 0.5}),
        lambda record: record.update(answer="Yes."),
    ],
)
def test_the_schema_refuses_another_shape(spoil: Callable[[dict[str, Any]], Any]) -> None:
    record = deepcopy(record_of(FOUND))
    spoil(record)
    with pytest.raises(ValidationError):
        Draft7Validator(schema()).validate(record)
