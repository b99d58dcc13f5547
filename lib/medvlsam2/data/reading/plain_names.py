"""The rule for names of images, labels, sessions, models, strategies and tags that come from a user or a file."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from medvlsam2.errors import InvalidRequest

MAX_NAME_BYTES: Final = 200
"""Longest name in bytes. File systems allow 255; 55 are kept for suffixes and for the names of temporary files."""

_SEPARATORS: Final = frozenset("/\\")
_FORBIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of invisible characters: control and format characters (line ends, NUL, right-to-left marks),
halves of surrogate pairs, private and unassigned characters, line and paragraph separators."""

REPLACEMENT: Final = "\ufffd"
"""The character that decoders put in place of bytes that are not UTF-8.

Names with this character are refused: two different names would become the same name."""

FINAL: Final = "final"
"""Tag of the labels that annotators submit: they are exported, sent to the PACS and trained on."""
KNOWN_TAGS: Final = (FINAL, "original", "report", "vqa")
"""Tags that have a meaning: labels that annotators submitted, and masks and texts of the model."""

_TAG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def require_plain_name(key: str, value: str) -> str:
    """Return the name unchanged if it is safe as the name of a file or folder.

    Args:
        key: what the name belongs to, for the message, e.g. ``"image"``.
        value: the name.

    Raises:
        InvalidRequest: if the name is empty, a path or too long, starts with a dot, starts or ends with a space, or
            holds an invisible character.

    Example:
        >>> require_plain_name("image", "scan 1")
        'scan 1'
    """
    if not value or value.startswith(".") or value != value.strip() or _holds_forbidden(value):
        raise InvalidRequest(
            f"The {key} {shown(value)} is not allowed. Give a name without '/' and '\\', and without line ends and "
            "other invisible characters. The name must not start with a dot or a space, nor end with a space."
        )
    size_bytes = len(value.encode())
    if size_bytes > MAX_NAME_BYTES:
        raise InvalidRequest(
            f"The {key} {shown(value)} is not allowed: the name has {size_bytes} bytes, more than {MAX_NAME_BYTES}. "
            "Shorten the name."
        )
    return value


def require_tag(value: object) -> str:
    """Return the tag unchanged if it is safe as the name of a folder.

    Raises:
        InvalidRequest: if the tag holds anything but letters, digits, ``_`` and ``-``, or is longer than 64.

    Example:
        >>> require_tag("final")
        'final'
    """
    if not isinstance(value, str) or not _TAG.fullmatch(value):
        given = shown(value) if isinstance(value, str) else repr(type(value).__name__)
        raise InvalidRequest(
            f"The label tag {given} is not allowed. Use up to 64 letters, digits, '_' and '-', e.g. 'final'."
        )
    return value


def require_new_tag(value: object) -> str:
    """Return the tag unchanged if labels may be stored under it.

    Raises:
        InvalidRequest: as :func:`require_tag`; also if the tag differs from one of ``KNOWN_TAGS`` only in capital
            letters, because both would be the same folder on a disk that ignores capitals.

    Example:
        >>> require_new_tag("second_reader")
        'second_reader'
    """
    tag = require_tag(value)
    for known in KNOWN_TAGS:
        if tag != known and tag.casefold() == known:
            raise InvalidRequest(
                f"The label tag {shown(tag)} differs from '{known}' only in capitals; on some disks both are the "
                f"same folder. Write '{known}', or give another tag."
            )
    return tag


def holds_unseen(value: str, allowed: str = "") -> bool:
    r"""Return whether a text holds an invisible character: a control or format character, or a line end.

    Args:
        value: the text.
        allowed: invisible characters that the text may hold.

    Example:
        >>> holds_unseen("left kidney"), holds_unseen("a\u202eb"), holds_unseen("two\nlines", "\n")
        (False, True, False)
    """
    return any(unicodedata.category(character) in _FORBIDDEN and character not in allowed for character in value)


def alike(one: str, other: str) -> bool:
    r"""Return whether two names differ at most in capitals and in the coding of accents (equal names on some disks).

    Example:
        >>> alike("Müller", "MU\u0308LLER"), alike("scan1", "scan2")
        (True, False)
    """
    return _on_any_disk(one) == _on_any_disk(other)


def shown(value: str, length: int = 80) -> str:
    """Return a text in the form that a message shows: quoted, at most ``length`` long, without invisible characters."""
    cut = value if len(value) <= length else value[:length] + "…"
    return ascii(cut) if any(unicodedata.category(character) in _FORBIDDEN for character in cut) else repr(cut)


def _on_any_disk(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _holds_forbidden(value: str) -> bool:
    return REPLACEMENT in value or any(
        character in _SEPARATORS or unicodedata.category(character) in _FORBIDDEN for character in value
    )
