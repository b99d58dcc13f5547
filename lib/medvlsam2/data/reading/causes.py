"""Recognition of files whose content does not match their name (archives, web pages, pictures, other image formats).

Only the first bytes of a file are examined. Damage inside a file of the right format is reported by the reader of
that format.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

START_BYTES: Final = 512
"""Number of bytes that are examined. The mark of a tar archive stands at byte 257; all other marks stand before it."""

GZIP_MARK: Final = b"\x1f\x8b"

_UNPRINTABLE: Final = "\N{REPLACEMENT CHARACTER}"
_UNPACK: Final = "Unpack it first."
_NO_SCAN: Final = "Give the scan itself."
_MARKS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"version https://git-lfs.github.com/", "is a Git LFS pointer, not the file itself. Fetch it: git lfs pull."),
    (b"/annex/objects/", "is a git-annex pointer, not the file itself. Fetch it: git annex get."),
    (b"PK\x03\x04", f"is a zip archive. {_UNPACK}"),
    (b"PK\x05\x06", f"is an empty zip archive. {_NO_SCAN}"),
    (b"Rar!\x1a", f"is a RAR archive. {_UNPACK}"),
    (b"7z\xbc\xaf\x27\x1c", f"is a 7-Zip archive. {_UNPACK}"),
    (b"\xfd7zXZ\x00", f"is compressed with xz. {_UNPACK}"),
    (b"BZh", f"is compressed with bzip2. {_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"is compressed with zstd. {_UNPACK}"),
    (b"\x89HDF\r\n\x1a\n", "is an HDF5 or MINC file. Convert it to NIfTI."),
    (b"CDF\x01", "is a MINC file. Convert it to NIfTI."),
    (b"%PDF", f"is a PDF. {_NO_SCAN}"),
    (b"\x89PNG", f"is a PNG picture. {_NO_SCAN}"),
    (b"\xff\xd8\xff", f"is a JPEG picture. {_NO_SCAN}"),
    (b"\x00\x05\x16\x07", f"holds the attributes of a file of macOS, not the file. {_NO_SCAN}"),
    (b"\xd0\xcf\x11\xe0", f"is an Office document. {_NO_SCAN}"),
)
_PAGE: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|\?xml|!--)", re.IGNORECASE)
_REPLY: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{\s*\"")
_TAR_MARK: Final = b"ustar"
_NIFTI_STARTS: Final = (b"\x5c\x01\0\0", b"\0\0\x01\x5c")
_TAR_MARK_AT_BYTES: Final = 257


def printable(text: str) -> str:
    r"""Return a text from a file in a form that a message can show.

    White space of any kind becomes a space. Any other character that cannot be printed becomes U+FFFD.

    Example:
        >>> printable("a\tb\x1cc\x08").replace(_UNPRINTABLE, "?")
        'a b c?'
    """
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else _UNPRINTABLE for letter in text)


def first_bytes(path: Path) -> bytes:
    """Return the first START_BYTES bytes of a file, or the whole file if it is shorter.

    Raises:
        OSError: if the file cannot be opened.
    """
    with path.open("rb") as file:
        return file.read(START_BYTES)


def foreign_content(start: bytes) -> str:
    """Return what a file is, if its first bytes show that it is no scan; empty if they are not recognised.

    The text continues a sentence that starts with the file's name, and says what the user can do.

    Example:
        >>> foreign_content(b"<!DOCTYPE html><html>404")
        'is an HTML or XML page, e.g. the error page of a download. Download it again.'
    """
    if not start:
        return "is damaged or truncated: it is empty (0 bytes). Copy or export it again."
    known = next((cause for mark, cause in _MARKS if start.startswith(mark)), "")
    if known:
        return known
    if _PAGE.match(start):
        return "is an HTML or XML page, e.g. the error page of a download. Download it again."
    if _REPLY.match(start):
        return "is a JSON text, e.g. the error reply of a server. Download it again."
    if start[_TAR_MARK_AT_BYTES:].startswith(_TAR_MARK):
        return f"is a tar archive. {_UNPACK}"
    if len(start) == START_BYTES and not any(start):
        return "starts with zeros alone: its copy or download did not end. Copy it again."
    return ""


def misnamed(start: bytes, suffix: str) -> str:
    """Return a text for a file whose content is another image format than its suffix says; empty if both agree.

    The text continues a sentence that starts with the file's name, and says what the user can do.

    Args:
        start: first bytes of the file.
        suffix: suffix of the file in lower case; a suffix of an image format.

    Example:
        >>> misnamed(b"NRRD0004", ".nii")
        'is a NRRD file by its content. Rename it to end in .nrrd.'
    """
    other = other_format(start)
    return (
        f"is {other[0]} by its content. Rename it to end in {other[1][-1]}." if other and suffix not in other[1] else ""
    )


def other_format(start: bytes) -> tuple[str, tuple[str, ...]] | None:
    """Return the image format that the first bytes show, in words and as its suffixes; None if they show none.

    Example:
        >>> other_format(b"NRRD0004")
        ('a NRRD file', ('.seg.nrrd', '.nhdr', '.nrrd'))
    """
    if start.startswith(b"NRRD000"):
        return "a NRRD file", (".seg.nrrd", ".nhdr", ".nrrd")
    if start[128:132] == b"DICM":
        return "a DICOM file", (".ima", ".dcm")
    if start[:4] in _NIFTI_STARTS and start[344:347] in (b"n+1", b"ni1"):
        return "a NIfTI file", (".nii.gz", ".nii")
    return ("a MetaImage file", (".mhd", ".mha")) if start.startswith((b"ObjectType =", b"NDims =")) else None
