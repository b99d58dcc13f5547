"""Archive of the labelled images: a ZIP that is made while it is sent, so no file is left if the request breaks off.

The ZIP has the layout of the host's own archive: ``image/``, ``label/`` and ``metadata.json``. A label that cannot be
read is left out and listed in ``metadata.json``.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medvlsam2.data.label_maps import read_label_map
from medvlsam2.data.reading.plain_names import FINAL
from medvlsam2.data.studies.studies_folder import StudiesFolder
from medvlsam2.errors import DatasetError, InvalidRequest, MedVLSAM2Error

_BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class ArchivedCase:
    """An image with its final label."""

    image_id: str
    image: list[Path]
    label: Path


def write_archive(folder: StudiesFolder, limit_cases: int | None) -> Iterator[bytes]:
    """Yield the bytes of the archive, block by block.

    Args:
        folder: the studies folder.
        limit_cases: most images in the archive; None for all.

    Raises:
        InvalidRequest: if the limit is below 1.
        DatasetError: if there is no final label that can be read; both before the first block.
    """
    if limit_cases is not None and limit_cases < 1:
        raise InvalidRequest(f"limit_cases is {limit_cases}; give a whole number of at least 1, or leave it out.")
    cases, left_out = _cases(folder)
    if not cases:
        raise DatasetError(
            f"There is nothing to export: {len(left_out)} final labels, none of which can be read. "
            f"{' '.join(left_out[:3])}".strip()
            if left_out
            else "There is nothing to export: no image has a final label. Submit labels first."
        )
    return _blocks(folder, cases[:limit_cases], left_out)


def _cases(folder: StudiesFolder) -> tuple[list[ArchivedCase], list[str]]:
    cases, left_out = [], []
    for image_id in sorted(i for i, item in folder.index().objects.items() if FINAL in item.labels):
        try:
            label = folder.label(image_id, FINAL)
            read_label_map(label.path)
            scan = folder.image_parts(image_id)
            if not all(part.exists() for part in scan):
                raise DatasetError("Its scan is not on this machine: the PACS did not give it. Export it again later.")
            cases.append(ArchivedCase(image_id, scan, label.path))
        except MedVLSAM2Error as error:
            left_out.append(f"Image '{image_id}': {error}")
    return cases, left_out


def _blocks(folder: StudiesFolder, cases: list[ArchivedCase], left_out: list[str]) -> Iterator[bytes]:
    sink = _Sink()
    with zipfile.ZipFile(sink, mode="w", compression=zipfile.ZIP_STORED) as archive:
        for case in cases:
            for kind, path in (*(("image", part) for part in case.image), ("label", case.label)):
                for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                    if file.is_file():
                        name = f"{kind}/{file.relative_to(path.parent).as_posix()}"
                        yield from _member(archive, sink, file, name)
        metadata = {**folder.index().as_json(), "left_out": left_out}
        archive.writestr("metadata.json", json.dumps(metadata, indent=2, default=str))
    yield sink.taken()


def _member(archive: zipfile.ZipFile, sink: _Sink, file: Path, name: str) -> Iterator[bytes]:
    with (
        file.open("rb") as source,
        archive.open(zipfile.ZipInfo.from_file(file, name), "w", force_zip64=True) as member,
    ):
        while block := source.read(_BLOCK_BYTES):
            member.write(block)
            yield sink.taken()


class _Sink(io.RawIOBase):
    """The stream that the ZIP is written to; its bytes are dropped once they were taken, so it cannot seek."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._blocks.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        """Return the bytes that were written since the last call."""
        taken, self._blocks = b"".join(self._blocks), []
        return taken
