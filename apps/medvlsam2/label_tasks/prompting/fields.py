"""Parses single fields of a request. Each value must have the type of its field, or it is refused with a sentence.

Clients are written in many languages: 2 may arrive as 2.0, a flag as true or 1, an empty list as null. A value with
one certain meaning is accepted (2.0 is the id 2, true is the flag 1). Any other is refused, so that nothing is read as
something else without a word.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, SupportsFloat

from medvlsam2.errors import InvalidPrompt, InvalidRequest
from medvlsam2.voxel_box import BoxIJK, PointIJK

Request = Mapping[str, Any]


FARTHEST: Final = 10**6
"""No voxel index is larger. Longer numbers are mistakes, and some are too long to become floats."""
_SHOWN_CHARACTERS: Final = 120
"""A sentence shows at most so much of a wrong value."""


def shown(value: Any) -> str:
    """A value, shortened for a sentence.

    Example:
        >>> shown("livr"), len(shown([0] * 1000))
        ("'livr'", 120)
    """
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**_SHOWN_CHARACTERS:
        return f"a number of more than {_SHOWN_CHARACTERS} digits"
    if isinstance(value, list | tuple):
        inside = ", ".join(shown(item) for item in value[:_SHOWN_CHARACTERS])
        text = f"[{inside}]" if isinstance(value, list) else f"({inside})"
    elif isinstance(value, Mapping):
        items = list(value.items())[:_SHOWN_CHARACTERS]
        text = "{" + ", ".join(f"{shown(key)}: {shown(item)}" for key, item in items) + "}"
    else:
        text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def text(request: Request, key: str) -> str:
    """A string; blank if absent or null. A list of one string counts as that string.

    Raises:
        InvalidRequest: if it is anything else.
    """
    value = request.get(key)
    if isinstance(value, list | tuple) and len(value) <= 1:
        value = value[0] if value else None
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidRequest(f"The option '{key}' is {shown(value)}; give one string.")
    return value.strip()


def choice(request: Request, key: str) -> str:
    """A string, or the first item of a drop-down list: viewers send the whole list with the chosen item first.

    Raises:
        InvalidRequest: if it is neither.
    """
    value = request.get(key)
    return text({key: value[0] if value else None} if isinstance(value, list | tuple) else request, key)


def flag(request: Request, key: str) -> bool:
    """A truth value; false if absent or null. 0, 1, "true" and "false" are accepted too.

    Raises:
        InvalidRequest: if it is anything else.
    """
    value = request.get(key)
    known = {"true": True, "false": False, "": False} if isinstance(value, str) else {0: False, 1: True}
    if value is None:
        return False
    plain = value.strip().lower() if isinstance(value, str) else value
    if not isinstance(plain, str | int | float) or plain not in known:
        raise InvalidRequest(f"The option '{key}' is {shown(value)}; give true or false.")
    return known[plain]  # type: ignore[index]


def names(value: Any) -> list[str]:
    """Names: a list, one string with commas or semicolons, or the keys of an object; none if null or blank.

    Raises:
        InvalidRequest: if an item is no name.
    """
    if value is None or value == "":
        return []
    given = list(value) if isinstance(value, Mapping) else value
    if isinstance(given, str):
        given = [name for name in re.split(r"[;,\n]", given) if name.strip()] or [""]
    if not isinstance(given, list | tuple) or not all(isinstance(name, str) for name in given):
        raise InvalidRequest(f"Labels {shown(value)} are not names. Give a name or a list of names, e.g. ['liver'].")
    found = [name.strip() for name in given]
    if not all(found):
        raise InvalidRequest(f"Labels {shown(value)} hold a blank name. Leave it out, or write a name, e.g. 'liver'.")
    return found


def ids(value: Any, labels: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Published names with their ids, each once; none if null.

    Raises:
        InvalidPrompt: on an id that is not published, or a list in which nothing is chosen.
    """
    if value is None:
        return ()
    by_number = {number: name for name, number in labels.items()}
    given = value if isinstance(value, list | tuple) else [value]
    wanted = [whole(number) for number in given if number is not None]
    for number, original in zip(wanted, (number for number in given if number is not None), strict=True):
        if number not in by_number:
            raise InvalidPrompt(
                f"label_prompt holds {shown(original)}; allowed are the ids 1 to {len(by_number)} that GET /info/ "
                "lists."
            )
    if not wanted:
        raise InvalidPrompt(
            f"label_prompt is {shown(value)}: no structure is chosen. Tick at least one in the list, or leave "
            "label_prompt out to mean all of them."
        )
    return tuple((by_number[number], number) for number in dict.fromkeys(wanted) if number is not None)


def whole(value: Any) -> int | None:
    """A whole number; 2.0 is 2. None for anything else: a string or a truth value is no number.

    Example:
        >>> whole(2), whole(2.0), whole("2"), whole(True), whole(2.5)
        (2, 2, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if isinstance(value, int) or value.is_integer() else None


def points(key: str, value: Any) -> tuple[PointIJK, ...]:
    """Clicks as voxel indices.

    Raises:
        InvalidPrompt: on a malformed click.
    """
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise InvalidPrompt(f"'{key}' is {shown(value)}; give a list of clicks, each as [i, j, k] voxel indices.")
    return tuple(_point(key, number, point) for number, point in enumerate(value, start=1))


def point_labels(value: Any, count: int) -> tuple[int, ...]:
    """A 1 (on the object) or 0 (beside it) for each click; all 1 if null. True and false count as 1 and 0.

    Raises:
        InvalidPrompt: if they do not fit the clicks.
    """
    given = (1,) * count if value is None else value
    if (
        not isinstance(given, list | tuple)
        or len(given) != count
        or any(not isinstance(one, int | float) or one not in (0, 1) for one in given)
    ):
        raise InvalidPrompt(
            f"point_labels is {shown(value)} for {count} points; give a 1 (inside) or 0 (outside) for each point."
        )
    return tuple(int(one) for one in given)


def box(roi: Any) -> BoxIJK | None:
    """The half-open box of Slicer's ``[i0, i1, j0, j1, k0, k1]``, where both ends are inside, in either order.

    Raises:
        InvalidPrompt: if it is not six numbers.

    Example:
        >>> box([9, 2, 0, 4, 7, 7])
        (2, 10, 0, 5, 7, 8)
    """
    if roi is None or roi == []:
        return None
    if not isinstance(roi, list | tuple) or len(roi) != 6 or not all(map(is_index, roi)):
        raise InvalidPrompt(
            f"The box 'roi' is {shown(roi)}; give six voxel indices [i0, i1, j0, j1, k0, k1], a pair per axis."
        )
    rounded = [round(float(edge)) for edge in roi]
    pairs = [sorted(rounded[axis : axis + 2]) for axis in (0, 2, 4)]
    (i0, i1), (j0, j1), (k0, k1) = pairs
    return i0, i1 + 1, j0, j1 + 1, k0, k1 + 1


def is_index(value: Any) -> bool:
    """Whether a value is a finite number of the size of a voxel index, in the scan or outside."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and abs(value) <= FARTHEST if isinstance(value, float) else abs(value) <= FARTHEST


def _point(key: str, number: int, point: Any) -> PointIJK:
    if not isinstance(point, list | tuple) or len(point) != 3 or not all(map(is_index, point)):
        raise InvalidPrompt(
            f"Click {number} of '{key}' is {shown(point)}; give three voxel indices [i, j, k], each at most "
            f"{FARTHEST:,} in size."
        )
    i, j, k = (float(index) for index in _floats(point))
    return i, j, k


def _floats(values: Sequence[SupportsFloat]) -> list[float]:
    return [float(value) for value in values]
