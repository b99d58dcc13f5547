"""The one rule for names: of images, labels, sessions, models, strategies and tags."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from medvlsam2.errors import InvalidRequest

MAX_NAME_BYTES: Final = 200
"""File systems allow 255 bytes in a name; 55 are left for endings and the names of partial files."""

_SEPARATORS: Final = frozenset("/\\")
_FORBIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories without a letter to see: control and format characters (line ends, NUL, right-to-left marks),
halves of surrogate pairs, private and unassigned ones, line and paragraph separators."""

REPLACEMENT: Final = "\ufffd"
"""What decoders put in place of bytes that are no UTF-8: two different names would become one."""

KNOWN_TAGS: Final = ("final", "original", "report", "vqa")
"""Tags with a meaning: what annotators submitted, and the masks and texts of the model."""

_TAG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def require_plain_name(key: str, value: str) -> str:
    """The same name, where it can be that of a file or folder beside others, and looks like what it is.

    Args:
        key: what the name is of, for the message.
        value: the name.

    Raises:
        InvalidRequest: if it is empty, a path, too long, starts with a dot, starts or ends with a space, or holds a
            character that cannot be seen.

    Example:
        >>> require_plain_name("image", "scan 1")
        'scan 1'
    """
    if not value or value.startswith(".") or value != value.strip() or _holds_forbidden(value):
        raise InvalidRequest(
            f"The {key} {shown(value)} is not allowed. Give a name without '/' and '\\', without line ends and other "
            "characters that cannot be seen, that starts with no dot, and starts and ends with no space."
        )
    size_bytes = len(value.encode())
    if size_bytes > MAX_NAME_BYTES:
        raise InvalidRequest(
            f"The {key} {shown(value)} is not allowed: it has {size_bytes} bytes. Give at most {MAX_NAME_BYTES}."
        )
    return value


def require_tag(value: object) -> str:
    """The same tag, where it is safe as the name of a folder.

    Raises:
        InvalidRequest: on anything but letters, digits, ``_`` and ``-``.

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
    """The same tag, where something may be stored under it.

    Raises:
        InvalidRequest: as :func:`require_tag`, and where it differs from one of ``KNOWN_TAGS`` only in capitals: on a
            disk that does not tell capitals apart both would be one folder.

    Example:
        >>> require_new_tag("second_reader")
        'second_reader'
    """
    tag = require_tag(value)
    for known in KNOWN_TAGS:
        if tag != known and tag.casefold() == known:
            raise InvalidRequest(
                f"The label tag {shown(tag)} differs from '{known}' only in capitals, and some disks take both for "
                f"one. Write '{known}', or give another tag."
            )
    return tag


def holds_unseen(value: str, allowed: str = "") -> bool:
    r"""Whether a text holds a character without a letter to see: a control or format character, a line end.

    Args:
        value: the text.
        allowed: such characters that it may hold.

    Example:
        >>> holds_unseen("left kidney"), holds_unseen("a\u202eb"), holds_unseen("two\nlines", "\n")
        (False, True, False)
    """
    return any(unicodedata.category(one) in _FORBIDDEN and one not in allowed for one in value)


def alike(one: str, other: str) -> bool:
    r"""Whether two names differ at most in capitals and in how accents are coded: some disks take them for one.

    Example:
        >>> alike("Müller", "MU\u0308LLER"), alike("scan1", "scan2")
        (True, False)
    """
    return _on_any_disk(one) == _on_any_disk(other)


def shown(value: str, length: int = 80) -> str:
    """A given text as a message may show it: quoted, short, and without characters that cannot be seen."""
    cut = value if len(value) <= length else value[:length] + "…"
    return ascii(cut) if any(unicodedata.category(character) in _FORBIDDEN for character in cut) else repr(cut)


def _on_any_disk(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _holds_forbidden(value: str) -> bool:
    return REPLACEMENT in value or any(
        character in _SEPARATORS or unicodedata.category(character) in _FORBIDDEN for character in value
    )
