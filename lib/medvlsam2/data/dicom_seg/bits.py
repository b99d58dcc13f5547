"""Pixels of single frames of a SEG that any program wrote."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import UInt16
from pydicom.dataset import Dataset

from medvlsam2.errors import UnreadableVolume

_ALLOCATED: Final = (1, 8, 16)


class FramePixels:
    """Unpacks the frames of a SEG one at a time, so that the unpacked bytes of a long SEG are not in memory together.

    Args:
        seg: the data set with its pixels.

    Raises:
        UnreadableVolume: if the pixels are compressed or absent, or there are fewer than the header says.
    """

    def __init__(self, seg: Dataset) -> None:
        self._shape = int(seg.Rows), int(seg.Columns)
        self._allocated = int(seg.BitsAllocated)
        count = int(seg.NumberOfFrames)
        size = self._shape[0] * self._shape[1]
        data = seg.get("PixelData") or b""
        meta = getattr(seg, "file_meta", None)
        if self._allocated not in _ALLOCATED or (meta is not None and meta.TransferSyntaxUID.is_compressed):
            raise UnreadableVolume(
                f"The SEG's pixels are compressed, or have {self._allocated} bits each; uncompressed pixels of 1, 8 "
                "or 16 bits are allowed. Convert the SEG to Explicit VR Little Endian, e.g. with dcmdrle or gdcmconv."
            )
        needed = (count * size * self._allocated + 7) // 8
        if len(data) < needed:
            raise UnreadableVolume(
                f"The SEG holds {len(data)} bytes of pixels, but its {count} frames need {needed}: the SEG is damaged "
                "or truncated. Send it again."
            )
        self._size = size
        self._data = np.frombuffer(data, np.uint8)

    def frame(self, number: int) -> UInt16[np.ndarray, "rows columns"]:
        """Return the values of one frame: 0 and 1 in a binary SEG, segment numbers in a label-map SEG.

        Args:
            number: number of the frame, from 0.
        """
        first = number * self._size
        if self._allocated == 1:
            part = self._data[first // 8 : (first + self._size + 7) // 8]
            flat = np.unpackbits(part, bitorder="little")[first % 8 : first % 8 + self._size]
        else:
            bytes_each = self._allocated // 8
            part = self._data[first * bytes_each : (first + self._size) * bytes_each]
            flat = part.view("<u2" if bytes_each > 1 else np.uint8)
        return flat.astype(np.uint16).reshape(self._shape)
