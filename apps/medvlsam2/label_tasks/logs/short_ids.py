"""Short ids for logs. A log never holds the id of an image, which may be a patient's name or lead to the patient.

The project's own log lines name an image by :func:`short_id`. Lines of other code, and error texts in tracebacks, pass
through :class:`AnonymousFormatter`.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from functools import cache
from typing import Any, Final

_BYTES: Final = 4
"""Bytes of a short id: among 10,000 images the chance that two have the same short id is 1 %."""

_SHORT: Final = re.compile(r"#[0-9a-f]{8}")
_UID: Final = re.compile(r"(?<![\w.])\d+(?:\.\d+){4,}(?!\w)")
"""A DICOM UID: five numbers at least, so no version and no address of a machine."""

_NAMED: Final = re.compile(
    r"(?P<before>\b(?:images?|scans?|series|instances?|study|studies|segs?|patients?|labels?|volumes?|files?|of|for) |"
    r"^|[.:;!?(-] ?)(?!\"[^\"\n]*\", line \d)(?P<mark>['\"])(?P<name>[^\n]{1,300}?)(?P=mark)(?=[\s,.:;!?)]|$)",
    re.IGNORECASE | re.MULTILINE,
)
"""As the project's sentences name an image: in quotes after the kind of thing, or at the start of a sentence."""

_HOSTS: Final = re.compile(
    r"(?P<before>\bimage id |\bNew label saved for: |\bTask: \d+ => |(?:: |- |^)\d+ => |\blabel \d+ of )"
    r"(?P<name>.+?)(?= => | is not in the vocabulary|$)",
    re.MULTILINE,
)
"""As the host's lines on batches and labels, and a training's, name one."""


_NEAREST: Final = re.compile(r"Did you mean [^?\n]*\?")
"""The other names that a sentence about an unknown one tells."""

_QUERY: Final = re.compile(r"(?<=[\w/])\?[A-Za-z_]\w*=\S*")
"""Of an address: ``/infer/medvlsam2_vqa?image=p1``."""

_QUOTED_PATH: Final = re.compile(r"(?<!File )(['\"])[^'\"\n]*[/\\][^'\"\n]*\1")
"""In a traceback: a file that its error names, and no line of code."""

MAX_CHARACTERS: Final = 20_000
"""Of one entry. The longest traceback of the tests has 9,000, and a request could make an entry of any length."""
_HEAD: Final = 2000


def short_id(name: str) -> str:
    """Return a short text for a name: always the same one in this process; the name cannot be found from it.

    Example:
        >>> short_id("DOE_JOHN_1950") == short_id("DOE_JOHN_1950") != short_id("DOE_JANE_1951"), len(short_id("a"))
        (True, 9)
    """
    digest = hashlib.blake2b(name.encode("utf-8", "replace"), key=_key(), digest_size=_BYTES)
    return f"#{digest.hexdigest()}"


def anonymous(text: str, *names: str) -> str:
    """Return the text with short ids in place of UIDs, of images named in quotes, and of the given names.

    Example:
        >>> told = anonymous("Image 'DOE_JOHN_1950' on 127.0.0.1: HTTP 503 (Doe)", "Doe")
        >>> told.replace(short_id("DOE_JOHN_1950"), "A").replace(short_id("Doe"), "B")
        "Image 'A' on 127.0.0.1: HTTP 503 (B)"
    """
    for name in sorted(filter(None, names), key=len, reverse=True):
        text = text.replace(name, short_id(name))
    text = _NAMED.sub(lambda found: f"{found['before']}'{_shortened(found)}'", text)
    text = _QUERY.sub("?…", _NEAREST.sub("Did you mean …?", text))
    text = _HOSTS.sub(lambda found: f"{found['before']}{_shortened(found)}", text)
    return _UID.sub(lambda found: short_id(found[0]), text)


class AnonymousFormatter(logging.Formatter):
    """Formats log records as usual, with tracebacks, and removes data of patients."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the log entry, cut to a bounded length."""
        text = super().format(record)
        if len(text) > MAX_CHARACTERS:
            text = f"{text[:_HEAD]} … {text[_HEAD - MAX_CHARACTERS :]}"
        return anonymous(text)

    def formatException(self, ei: Any) -> str:
        """Return the traceback without the paths in its error text: the file name of a scan is the image's id."""
        return _QUOTED_PATH.sub("…", super().formatException(ei))


def _shortened(found: re.Match[str]) -> str:
    name = found["name"]
    return name if _SHORT.fullmatch(name) else short_id(name)


@cache
def _key() -> bytes:
    """Return the secret of this process. Without a secret, anybody could hash names until one gives the short id."""
    return secrets.token_bytes(16)
