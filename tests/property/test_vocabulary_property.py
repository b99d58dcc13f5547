"""A name finds the same structure in any notation."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from medvlsam2.data.vocabulary import STRUCTURES, Structure, find, lookup, mirror, names, nearest

PHRASES = [
    (phrase, structure.key)
    for structure in STRUCTURES.values()
    for phrase in (structure.key, structure.name, *structure.synonyms)
]
SIDED = [structure for structure in STRUCTURES.values() if structure.side is not None]
SIDE_WORDS = {
    "left": ("left", "Left", "LT.", "lt", "(L)", "left-sided"),
    "right": ("right", "RT", "rt.", "(R)", "r"),
}


@settings(deadline=None)
@given(st.sampled_from(PHRASES), st.data())
def test_case_and_punctuation_do_not_matter(entry: tuple[str, str], data: st.DataObject) -> None:
    phrase, key = entry
    separators = st.sampled_from([" ", "_", "-", "  ", ", ", "/"])
    words = phrase.replace("_", " ").split()
    written = words[0] + "".join(data.draw(separators) + word for word in words[1:])
    upper = data.draw(st.lists(st.booleans(), min_size=len(written), max_size=len(written)))
    written = "".join(c.upper() if up else c.lower() for c, up in zip(written, upper, strict=True))
    written = data.draw(st.sampled_from(["", "the ", "The patient's ", " "])) + written
    written += data.draw(st.sampled_from(["", ".", "?", " ", "!"]))
    assert find(written).key == key


@settings(deadline=None)
@given(st.sampled_from(SIDED), st.data())
def test_the_side_may_stand_anywhere_in_any_form(structure: Structure, data: st.DataObject) -> None:
    words = [word for word in structure.name.split() if word != structure.side]
    position = data.draw(st.integers(0, len(words)))
    side_word = data.draw(st.sampled_from(SIDE_WORDS[structure.side]))
    written = " ".join([*words[:position], side_word, *words[position:]])
    assert find(written).key == structure.key


@given(st.sampled_from(sorted(STRUCTURES)))
def test_mirroring_twice_gives_the_same_key(key: str) -> None:
    assert mirror(mirror(key)) == key


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_has_nearest_names_and_no_crash(text: str) -> None:
    found = lookup(text)
    assert found is None or found.key in STRUCTURES
    assert len(nearest(text)) == 3
    assert set(nearest(text)) <= set(names())


@settings(deadline=None)
@given(st.sampled_from([name for name in names() if len(name) > 5 and not re.search(r"\d", name)]), st.data())
def test_a_name_without_one_letter_has_the_name_among_the_nearest(name: str, data: st.DataObject) -> None:
    position = data.draw(st.integers(1, len(name) - 2))
    wrong = name[:position] + name[position + 1 :]
    assert name in nearest(wrong, 8)
