"""Conversion of texts to what a DICOM field can hold: no control characters, no separators, not too long."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

LONG_STRING: Final = 64
"""Most characters of VR LO (labels, descriptions, names of algorithms) and of one component group of VR PN."""
SHORT_TEXT: Final = 1024
"""Most characters of VR ST (segment description)."""

_NAME_PARTS: Final = 5
"""Parts of a person's name: family name, given name, middle name, prefix, suffix (PS3.5 6.2.1)."""
_NUMBERED: Final = re.compile(r" \((\d{1,5})\)$")


def long_string(text: str, characters: int = LONG_STRING) -> str:
    r"""Return the text in the form of VR LO, with at most ``characters`` characters; "…" marks a cut end.

    Example:
        >>> long_string("left\\right  lobe")
        'left/right lobe'
        >>> len(long_string("x" * 100)), long_string("x" * 100)[-1]
        (64, '…')
    """
    plain = _plain(text)
    return plain if len(plain) <= characters else plain[: characters - 1] + "…"


def segment_labels(names: Sequence[str]) -> list[str]:
    r"""Return labels in the form of VR LO for the names of a SEG's segments; different names get different labels.

    Example:
        >>> segment_labels(["liver", "a\\b", "a/b", "liver"])
        ['liver', 'a/b', 'a/b (2)', 'liver']
    """
    given: dict[str, str] = {}
    labels: dict[str, str] = {}
    for name in names:
        number = 1
        while given.setdefault(label := _segment_label(name, number), name) != name:
            number += 1
        labels[name] = label
    return [labels[name] for name in names]


def is_label_of(label: str, name: str) -> bool:
    """Return whether this package may have written the label for this name.

    Older versions cut the end of a long name; the present version cuts its middle.
    """
    numbered = _NUMBERED.search(label)
    number = int(numbered[1]) if numbered else 1
    return label in {long_string(name), _segment_label(name, 1), _segment_label(name, number)}


def _segment_label(name: str, number: int) -> str:
    """Return a name as a label. A long name is cut in its middle, because "left" or "right" stands at an end."""
    end = f" ({number})" if number > 1 else ""
    characters = LONG_STRING - len(end)
    plain = _plain(name)
    if len(plain) > characters:
        first = characters // 2
        plain = f"{plain[:first].rstrip()}…{plain[len(plain) - (characters - first - 1) :].lstrip()}"
    return plain + end


def short_text(text: str) -> str:
    """Return the text in the form of VR ST."""
    return " ".join(_encodable(text).split())[:SHORT_TEXT]


def person_name(text: str) -> str:
    """Return the text in the form of VR PN. The "^" between parts is kept, up to the five parts that a name may have.

    Example:
        >>> person_name("Doe^Jane"), person_name("a=b"), person_name("a^b^c^d^e^f")
        ('Doe^Jane', 'a b', 'a^b^c^d^e f')
    """
    plain = " ".join(_encodable(text).replace("\\", " ").replace("=", " ").split())
    parts = plain.split("^", _NAME_PARTS - 1)
    return "^".join((*parts[:-1], parts[-1].replace("^", " ")))[:LONG_STRING]


def code_string(text: str) -> str:
    """Return the text in the form of VR CS: at most 16 capital letters, digits, spaces and underscores.

    Example:
        >>> code_string("final-2")
        'FINAL_2'
    """
    return re.sub(r"[^A-Z0-9_ ]", "_", text.upper().strip())[:16].strip()


def _plain(text: str) -> str:
    """Return the text on one line, without the backslash, which separates values in DICOM."""
    return " ".join(_encodable(text).replace("\\", "/").split())


def _encodable(text: str) -> str:
    """Return the text without lone surrogates and control characters, which no character set of DICOM has."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(letter if letter.isprintable() else " " for letter in text)
