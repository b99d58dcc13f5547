"""Values as text: sensible digits, one text for one value wherever it stands, and reading back gives the value."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medvlsam2.data.fact_table import Fact
from medvlsam2.data.quantities import SHOWN, as_in_json, heard, is_told, told, told_apart
from medvlsam2.data.quantities.heard import told_in

UNITS = tuple(SHOWN)
values = st.floats(-1e5, 1e5, allow_nan=False) | st.floats(-2, 2, allow_nan=False)


@given(value=values, unit=st.sampled_from(UNITS))
@settings(max_examples=400, deadline=None)
def test_reading_a_text_back_gives_the_value_within_the_rounding_that_is_told(value: float, unit: str) -> None:
    back = heard(told(value, unit))
    assert back is not None
    assert back.unit == unit
    assert abs(back.value - as_in_json(value, unit)) <= back.half_step + 1e-9
    assert told_in(f"It has {told(value, unit)}.", value, unit)


@given(value=values, unit=st.sampled_from(UNITS))
@settings(max_examples=200, deadline=None)
def test_the_digits_of_a_text_are_those_of_the_value_and_of_no_other(value: float, unit: str) -> None:
    digits = told(value, unit).removesuffix(SHOWN[unit]).strip()
    assert is_told(digits, value, unit)
    step = 2 * heard(told(value, unit)).half_step  # type: ignore[union-attr]
    assert not is_told(digits, value + 2 * step, unit)


@given(first=values, second=values, unit=st.sampled_from(UNITS))
@settings(max_examples=200, deadline=None)
def test_values_that_are_compared_look_different_if_they_are(first: float, second: float, unit: str) -> None:
    one, other = told_apart([first, second], unit)
    assert (one == other) == (as_in_json(first, unit) == as_in_json(second, unit))


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1120.4, "mL", "1,120 mL"),
        (0.3512, "mL", "0.35 mL"),
        (0.0041, "mL", "0.004 mL"),
        (42.4, "mm", "42 mm"),
        (9.96, "mm", "10 mm"),
        (2.9, "mm", "2.9 mm"),
        (4.24, "cm", "4.2 cm"),
        (146.5, "mm", "147 mm"),
        (459.0, "mm3", "459 mm³"),
        (92.2, "cm2", "92.2 cm²"),
        (1.0412, "", "1.04"),
        (412.3, "", "412"),
        (4.96, "%", "5.0%"),
        (-0.3, "HU", "0 HU"),
        (-3.5, "HU", "-4 HU"),
        (1.1213, "L", "1.12 L"),
    ],
)
def test_digits_are_as_many_as_a_reader_needs(value: float, unit: str, text: str) -> None:
    assert told(value, unit) == text


@pytest.mark.parametrize("text", ["18 mm", "two", "1,121 kg", "3 mm 4", ""])
def test_only_a_single_value_with_a_known_unit_is_read(text: str) -> None:
    assert (heard(text) is None) == (text != "18 mm")


def test_a_value_has_the_decimals_that_facts_have_in_json() -> None:
    fact = Fact(
        id="a", key="a", kind="rule", name="a", state="present", volume_ml=1.23456, longest_mm=1.26, mean_hu=3.14
    )
    told_json = fact.to_json()
    for name, unit in (("volume_ml", "mL"), ("longest_mm", "mm"), ("mean_hu", "HU")):
        assert told_json[name] == as_in_json(getattr(fact, name), unit)


def test_one_value_has_one_text_in_every_sentence() -> None:
    """A rule's value in an answer is written as in a report."""
    from medvlsam2.data.language.grounded.slots import of_finding
    from medvlsam2.tasks.questions.replying.sentences import grouped

    fact = Fact(
        id="aortic_calcification",
        key="aortic_calcification",
        kind="rule",
        name="calcification of the aorta",
        state="present",
        structure="aorta",
        value=459.0,
        unit="mm3",
        threshold=5.0,
    )
    _, variants, _ = of_finding([fact])
    assert variants[0]["value"] == "459 mm³"
    assert grouped([fact]) == ["calcification of the aorta (459 mm³)"]
