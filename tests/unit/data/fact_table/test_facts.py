"""Facts in JSON are short and rounded; a table finds them by id and keeps each once."""

from __future__ import annotations

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import Fact, FactTable


def cyst(number: int, volume_ml: float) -> Fact:
    return Fact(
        id=f"kidney_cyst_left.{number}",
        key="kidney_cyst_left",
        kind="finding",
        name="left kidney cyst",
        code=vocabulary.STRUCTURES["kidney_cyst_left"].snomed,
        state="present",
        structure="kidney_left",
        side="left",
        volume_ml=volume_ml,
        longest_mm=17.0499,
        slices=(3, 9),
        centre_ras=(-41.239, 10.0, 0.0),
        confidence=0.712349,
    )


def test_json_holds_what_is_known_rounded() -> None:
    assert cyst(1, 2.34567).to_json() == {
        "id": "kidney_cyst_left.1",
        "key": "kidney_cyst_left",
        "kind": "finding",
        "name": "left kidney cyst",
        "code": {"value": "367643001", "meaning": "Cyst", "scheme": "SCT"},
        "state": "present",
        "structure": "kidney_left",
        "side": "left",
        "volume_ml": 2.346,
        "longest_mm": 17.0,
        "slices": [3, 9],
        "centre_ras": [-41.2, 10.0, 0.0],
        "confidence": 0.7123,
    }


def test_zero_is_told_and_nothing_is_not() -> None:
    fact = Fact(id="share", key="share", kind="rule", name="share", state="absent", value=0.0, threshold=0.0, unit="%")
    told = fact.to_json()
    assert (told["value"], told["threshold"]) == (0.0, 0.0)
    assert not {"volume_ml", "reason", "cut", "evidence"} & told.keys()


def test_a_table_keeps_each_fact_once_in_order() -> None:
    table = FactTable((cyst(1, 2.0), cyst(2, 1.0), cyst(1, 9.0)))
    assert [fact.id for fact in table] == ["kidney_cyst_left.1", "kidney_cyst_left.2"]
    first = table.get("kidney_cyst_left.1")
    assert first is not None
    assert first.volume_ml == 2.0
    assert table.of_key("kidney_cyst_left") == tuple(table)
    assert table.get("kidney_cyst_left") is None
    assert [fact["id"] for fact in table.to_json()] == [fact.id for fact in table]


def test_absent_is_known_and_not_assessed_is_not() -> None:
    states = {
        state: Fact(id="x", key="x", kind="structure", name="x", state=state)
        for state in ("present", "absent", "outside the field of view", "not assessed")
    }
    assert [state for state, fact in states.items() if fact.is_known] == ["present", "absent"]
    assert [state for state, fact in states.items() if fact.is_present] == ["present"]
