"""Text that fits into DICOM's fields: no control characters, no separators, not too long."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

LONG_STRING: Final = 64
"""Characters that VR LO (labels, descriptions, names of algorithms) and one group of PN may have."""
SHORT_TEXT: Final = 1024
"""Characters that VR ST (segment description) may have."""

_NAME_PARTS: Final = 5
"""Family name, given name, middle name, prefix, suffix (PS3.5 6.2.1)."""
_NUMBERED: Final = re.compile(r" \((\d{1,5})\)$")


def long_string(text: str, characters: int = LONG_STRING) -> str:
    r"""The text as VR LO can hold it, or in fewer characters; what is cut off is told by "…".

    Example:
        >>> long_string("left\\right  lobe")
        'left/right lobe'
        >>> len(long_string("x" * 100)), long_string("x" * 100)[-1]
        (64, '…')
    """
    plain = _plain(text)
    return plain if len(plain) <= characters else plain[: characters - 1] + "…"


def segment_labels(names: Sequence[str]) -> list[str]:
    r"""Names of one SEG's segments as VR LO can hold them; different names get different labels.

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
    """Whether a segment's label may stand for this name: made of it here, or by an older version, which cut the end."""
    numbered = _NUMBERED.search(label)
    number = int(numbered[1]) if numbered else 1
    return label in {long_string(name), _segment_label(name, 1), _segment_label(name, number)}


def _segment_label(name: str, number: int) -> str:
    """Cut in the middle where it is too long: a side stands at either end."""
    end = f" ({number})" if number > 1 else ""
    characters = LONG_STRING - len(end)
    plain = _plain(name)
    if len(plain) > characters:
        first = characters // 2
        plain = f"{plain[:first].rstrip()}…{plain[len(plain) - (characters - first - 1) :].lstrip()}"
    return plain + end


def short_text(text: str) -> str:
    """The text as VR ST can hold it."""
    return " ".join(_encodable(text).split())[:SHORT_TEXT]


def person_name(text: str) -> str:
    """The text as VR PN can hold it; "^" between the parts of a name stays, up to the five that a name may have.

    Example:
        >>> person_name("Doe^Jane"), person_name("a=b"), person_name("a^b^c^d^e^f")
        ('Doe^Jane', 'a b', 'a^b^c^d^e f')
    """
    plain = " ".join(_encodable(text).replace("\\", " ").replace("=", " ").split())
    parts = plain.split("^", _NAME_PARTS - 1)
    return "^".join((*parts[:-1], parts[-1].replace("^", " ")))[:LONG_STRING]


def code_string(text: str) -> str:
    """The text as VR CS can hold it: 16 capitals, digits, spaces and underscores.

    Example:
        >>> code_string("final-2")
        'FINAL_2'
    """
    return re.sub(r"[^A-Z0-9_ ]", "_", text.upper().strip())[:16].strip()


def _plain(text: str) -> str:
    """On one line, without what separates values."""
    return " ".join(_encodable(text).replace("\\", "/").split())


def _encodable(text: str) -> str:
    """Without lone surrogates and control characters, which no character set of DICOM holds."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(letter if letter.isprintable() else " " for letter in text)
