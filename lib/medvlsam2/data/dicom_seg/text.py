"""Text that fits into DICOM's fields: no control characters, no separators, not too long."""

from __future__ import annotations

import re
from typing import Final

LONG_STRING: Final = 64
"""Characters that VR LO (labels, descriptions, names of algorithms) and one group of PN may have."""
SHORT_TEXT: Final = 1024
"""Characters that VR ST (segment description) may have."""


def long_string(text: str, characters: int = LONG_STRING) -> str:
    r"""The text as VR LO can hold it, or in fewer characters; what is cut off is told by "…".

    Example:
        >>> long_string("left\\right  lobe")
        'left/right lobe'
        >>> len(long_string("x" * 100)), long_string("x" * 100)[-1]
        (64, '…')
    """
    plain = " ".join(_encodable(text).replace("\\", "/").split())
    return plain if len(plain) <= characters else plain[: characters - 1] + "…"


def short_text(text: str) -> str:
    """The text as VR ST can hold it."""
    return " ".join(_encodable(text).split())[:SHORT_TEXT]


def person_name(text: str) -> str:
    """The text as VR PN can hold it; "^" between the parts of a name stays.

    Example:
        >>> person_name("Doe^Jane"), person_name("a=b")
        ('Doe^Jane', 'a b')
    """
    return " ".join(_encodable(text).replace("\\", " ").replace("=", " ").split())[:LONG_STRING]


def code_string(text: str) -> str:
    """The text as VR CS can hold it: 16 capitals, digits, spaces and underscores.

    Example:
        >>> code_string("final-2")
        'FINAL_2'
    """
    return re.sub(r"[^A-Z0-9_ ]", "_", text.upper().strip())[:16].strip()


def _encodable(text: str) -> str:
    """Without lone surrogates and control characters, which no character set of DICOM holds."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(letter if letter.isprintable() else " " for letter in text)
