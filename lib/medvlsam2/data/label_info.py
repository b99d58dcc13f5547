"""Names for the values of a submitted label file, from the ``label_info`` that the client sent with it.

Two kinds of clients exist. A client of the API sends the values that are in the file. 3D Slicer numbers all its
segments, also those that it did not save, while the file counts only the saved segments. If both interpretations are
possible and give different names, the label is refused, because a wrong name is worse than no label.

``label_info`` is untrusted JSON. The type of every field is checked, and a wrong field is refused, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from medvlsam2.errors import DatasetError

MAX_VALUE: Final = 65535
MAX_NAME_CHARACTERS: Final = 256
"""Longest name. Names of structures are much shorter. Without a bound a text of any size would be stored for ever."""
_INDEX_KEYS: Final = ("idx", "labelID", "id")
_SHOWN_NUMBERS: Final = 40
_KINDS: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (type(None), "null"), (bool, "true or false"), ((int, float), "a number"), (str, "a text"),
    (Mapping, "an object"), (Sequence, "a list"),
)  # fmt: skip
BACKGROUND: Final = "background"
EXAMPLE: Final = "[{'name': 'liver', 'idx': 1}, {'name': 'spleen', 'idx': 2}]"


@dataclass(frozen=True)
class NamedSegment:
    """One entry of a ``label_info``."""

    name: str
    value: int | None
    """The number that the client gave to the segment; None if the client gave no number."""


def parse_label_info(image_id: str, label_info: Any) -> tuple[NamedSegment, ...]:
    """Return the entries of a ``label_info`` after a strict check.

    Args:
        image_id: id of the image, for the message.
        label_info: a list of objects with ``name`` and ``idx`` (or ``labelID``, ``id``). A whole number may be
            written as 2, 2.0 or "2". None stands for an empty list.

    Raises:
        DatasetError: if ``label_info`` has another form; if a name is missing, empty or not a text; if a number is not
            whole or not in 0 to MAX_VALUE; if 0 has another name than the background; if two entries have the same
            number; or if only some entries have a number. The message does not repeat names, because they are free
            text and may name a patient.
    """
    if label_info is None:
        return ()
    if isinstance(label_info, str | bytes | Mapping) or not isinstance(label_info, Sequence):
        raise _refused(image_id, f"is {_kind(label_info)}, not a list")
    segments = tuple(_segment(image_id, item) for item in label_info)
    numbers = [segment.value for segment in segments if segment.value is not None]
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    if twice:
        raise _refused(image_id, f"gives the number {twice[0]} to more than one name")
    if numbers and len(numbers) < len(segments):
        raise _refused(image_id, f"has {len(segments)} names, but numbers for only {len(numbers)} of them")
    return segments


def names_of_values(image_id: str, present: Iterable[int], label_info: Any) -> dict[int, str]:
    """Return the name of each value in a label file.

    Args:
        image_id: id of the image, for the message.
        present: values in the file, without 0.
        label_info: names as the client sent them, see :func:`parse_label_info`.

    Raises:
        DatasetError: if ``label_info`` is malformed, or does not name all values in exactly one way.

    Example:
        >>> names_of_values("a", [1, 2], [{"name": "liver", "idx": 2}, {"name": "spleen", "idx": 3}])
        {1: 'liver', 2: 'spleen'}
    """
    values, segments = sorted(set(present)), parse_label_info(image_id, label_info)
    found = readings(values, segments)
    if len(found) != 1:
        numbers = [segment.value for segment in segments if segment.value is not None]
        raise DatasetError(
            f"The label of image '{image_id}' holds the values {shown(values)}; its label_info of {len(segments)} "
            f"names with the numbers {shown(numbers)} does not say for certain what these values mean. Submit the "
            f"label again with one name per value, e.g. {EXAMPLE}."
        )
    return found[0]


def readings(values: Sequence[int], segments: Sequence[NamedSegment]) -> list[dict[int, str]]:
    """Return all different tables that name every value: by the entries' numbers, and by their places in the list.

    The second table is how 3D Slicer means its list: the n-th entry names the value n. Slicer numbers its segments in
    ascending order from 1 and leaves some out, so no entry has a number below its place in the list. The second table
    is tried only if the numbers have this property.
    """
    numbers = [place if item.value is None else item.value for place, item in enumerate(segments, start=1)]
    tables = [{number: segment.name for number, segment in zip(numbers, segments, strict=True)}]
    if numbers == sorted(numbers) and all(number >= place for place, number in enumerate(numbers, start=1)):
        tables.append({place: segment.name for place, segment in enumerate(segments, start=1)})
    complete = [{value: names[value] for value in values} for names in tables if all(v in names for v in values)]
    return [reading for number, reading in enumerate(complete) if reading not in complete[:number]]


def shown(numbers: Sequence[int]) -> str:
    """Return a list of numbers as a text for a message, cut after 40 numbers."""
    return f"[{', '.join(map(str, numbers[:_SHOWN_NUMBERS]))}{', …' if len(numbers) > _SHOWN_NUMBERS else ''}]"


def whole_number(given: Any) -> int | None:
    """Return a whole number that a JSON client sent as 2, 2.0 or "2"; None for anything else, also true and false.

    Example:
        >>> whole_number(2.0), whole_number(" 2 "), whole_number(2.5), whole_number(True)
        (2, 2, None, None)
    """
    if isinstance(given, bool):
        return None
    if isinstance(given, int):
        return given
    if isinstance(given, float):
        return int(given) if given.is_integer() else None
    text = given.strip() if isinstance(given, str) else ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_VALUE)) else None


def _segment(image_id: str, item: Any) -> NamedSegment:
    if not isinstance(item, Mapping):
        raise _refused(image_id, f"has {_kind(item)} where an object with a name is needed")
    name = item.get("name")
    if not isinstance(name, str):
        raise _refused(image_id, f"has {_kind(name)} as a name")
    name = " ".join(name.split())
    if not 0 < len(name) <= MAX_NAME_CHARACTERS:
        raise _refused(image_id, f"has a name of {len(name)} characters")
    if not name.isprintable():
        raise _refused(image_id, "has a name with characters that cannot be shown")
    given = {key: item[key] for key in _INDEX_KEYS if item.get(key) is not None}
    numbers = {key: whole_number(number) for key, number in given.items()}
    for key, number in numbers.items():
        if number is None or not 0 <= number <= MAX_VALUE:
            shown_number = given[key] if isinstance(given[key], int | float) else _kind(given[key])
            raise _refused(image_id, f"has {shown_number} as {key}")
    if len(set(numbers.values())) > 1:
        raise _refused(image_id, f"has an entry with different numbers, {numbers}")
    value = next(iter(numbers.values()), None)
    if value == 0 and name.casefold() != BACKGROUND:
        raise _refused(image_id, "gives the number 0, which is the background, to a name")
    return NamedSegment(name, value)


def _kind(given: Any) -> str:
    """Return the type of a JSON value in words; never the value itself, which may be free text."""
    return next((words for kind, words in _KINDS if isinstance(given, kind)), "something else")


def _refused(image_id: str, fault: str) -> DatasetError:
    return DatasetError(
        f"The label_info of image '{image_id}' {fault}. Allowed is a list of names, each a text of 1 to "
        f"{MAX_NAME_CHARACTERS} characters with its own whole number from 1 to {MAX_VALUE}, e.g. {EXAMPLE}."
    )
