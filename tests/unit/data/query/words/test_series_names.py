"""Vertebrae and ribs that a text names together are written out one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medvlsam2.data.query.linking import linked_names
from medvlsam2.data.query.words.series_names import written_out


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("ribs 5 and 6", "rib 5 and rib 6"),
        ("left ribs 5-7", "left rib 5, left rib 6 and left rib 7"),
        ("ribs 3 to 5 on the right", "right rib 3, right rib 4 and right rib 5"),
        ("left 9th and 10th ribs", "left rib 9 and left rib 10"),
        ("5th, 6th and 7th right ribs", "right rib 5, right rib 6 and right rib 7"),
        ("volume of L1 to L3", "volume of L1, L2 and L3"),
        ("L-4, l5 and the sacrum", "L4 and L5 and the sacrum"),
        ("L-1 to L-3", "L1, L2 and L3"),
        ("th-11 - th-12", "T11 and T12"),
        ("T11\u2013L1", "T11, T12 and L1"),
        ("L3 thru L1", "L3, L2 and L1"),
        ("T11/T12", "T11 and T12"),
        ("T11 and 12", "T11 and T12"),
        ("LWK 3", "L3"),
        ("BWK11 until LWK 1", "T11, T12 and L1"),
    ],
)
def test_names_that_go_on_are_written_out(text: str, written: str) -> None:
    assert written_out(text) == written


@pytest.mark.parametrize(
    "text",
    [
        "distance from L1 to L3",
        "ratio L1/L3",
        "is L1 larger than L2 and L3?",
        "lesion in L1 and 12 mm",
        "rib 5",
        "T2 to T14",
        "ribs 11 to 14",
        "the patient is 5 to 6 years old",
        "left kidney and spleen",
    ],
)
def test_other_words_stay(text: str) -> None:
    assert written_out(text) == text


def test_all_names_of_a_range_link() -> None:
    assert linked_names("L1 to L3")[:3] == ("vertebrae_L1", "vertebrae_L2", "vertebrae_L3")
    assert {"rib_left_5", "rib_left_6"} <= set(linked_names("left ribs 5 and 6"))
    assert linked_names("is BWK 12 normal?")[0] == "vertebrae_T12"
    assert linked_names("left gluteus max")[0] == "gluteus_maximus_left"


@given(
    st.lists(
        st.sampled_from(
            [
                "L",
                "T",
                "th",
                "l",
                "S",
                "ribs",
                "rib",
                "left",
                "4",
                "5",
                "12",
                "99",
                "5th",
                "9th",
                "-",
                "/",
                "+",
                ",",
                "and",
                "to",
                "thru",
                "vertebra",
            ]
        )
    )
)
def test_what_is_written_out_stays_as_it_is(parts: list[str]) -> None:
    for text in ("".join(parts), " ".join(parts)):
        written = written_out(text)
        assert written_out(written) == written
