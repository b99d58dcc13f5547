"""The two multipart messages of DICOMweb: an instance that the PACS sends, and an instance to store there.

An instance is written to the disk while it arrives, byte for byte as the PACS sent it: a scan from a PACS and the same
scan in a folder are then equal files. A message that ends early raises an error and never gives a shorter file.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import BinaryIO, Final

from medvlsam2.errors import PacsUnavailable

_PART_HEAD_LIMIT_BYTES: Final = 16_384
"""Most bytes of the headers of a part, which are some lines; a message with more is no multipart message."""

_SINGLE: Final = frozenset(("application/dicom", "application/octet-stream", "binary/octet-stream", ""))
"""Content types of an answer that is the instance itself."""

_BOUNDARY = re.compile(r'boundary="?([^";,]+)"?', re.IGNORECASE)


def write_only_part(content_type: str, chunks: Iterable[bytes], file: BinaryIO) -> int:
    """Write the one part of a ``multipart/related`` answer, or an answer that is the instance itself.

    Args:
        content_type: header of the answer.
        chunks: body of the answer as it arrives.
        file: the file to write the instance to.

    Returns:
        Number of bytes of the instance.

    Raises:
        PacsUnavailable: if the message ends before its last boundary, or holds no part.
    """
    if not content_type.strip().lower().startswith("multipart/"):
        if content_type.split(";", maxsplit=1)[0].strip().lower() not in _SINGLE:
            raise PacsUnavailable(
                f"The PACS answered with '{content_type[:80]}' instead of a DICOM instance. Ask its operator whether "
                "something between this server and the PACS answers in its place."
            )
        return sum(file.write(chunk) for chunk in chunks)
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise PacsUnavailable(
            f"The PACS answered with '{content_type[:80]}', which names no boundary. Ask its operator."
        )
    delimiter = b"\r\n--" + found[1].strip().encode("latin-1")
    incoming = iter(chunks)
    held = _skip_part_head(incoming, delimiter)
    written = 0
    while (end := held.find(delimiter)) < 0:
        keep = len(delimiter) - 1
        written += file.write(held[:-keep])
        held = held[-keep:] if len(held) > keep else held
        chunk = next(incoming, None)
        if chunk is None:
            raise PacsUnavailable(
                f"The PACS ended its answer after {written + len(held)} bytes, in the middle. Try again."
            )
        held += chunk
    for _ in islice(
        incoming, 4
    ):  # the rest is an epilogue; after it is read, the connection can serve the next request
        pass
    return written + file.write(held[:end])


def _skip_part_head(incoming: Iterator[bytes], delimiter: bytes) -> bytes:
    """Read up to the first byte of the part, and return the bytes that were read beyond it."""
    held = b"\r\n"
    for chunk in incoming:
        held += chunk
        start = held.find(delimiter)
        end = held.find(b"\r\n\r\n", start + len(delimiter)) if start >= 0 else -1
        if end >= 0:
            return held[end + 4 :]
        if len(held) > _PART_HEAD_LIMIT_BYTES:
            break
    raise PacsUnavailable(f"The PACS answered with {len(held) - 2} bytes that hold no DICOM instance. Try again.")


def message_of(instance: bytes) -> tuple[str, bytes]:
    """Return the message that stores a DICOM file: its content type and its body."""
    boundary = secrets.token_hex(16)
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    content_type = f'multipart/related; type="application/dicom"; boundary={boundary}'
    return content_type, head + instance + f"\r\n--{boundary}--\r\n".encode()
