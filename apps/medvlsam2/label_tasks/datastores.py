"""What a server lists, asked of one folder; scripts that check folders before they are served use this."""

from __future__ import annotations

from pathlib import Path

from medvlsam2.data.reading.scan_kinds import ScanKind, judge


def holds_dicom(folder: Path) -> bool:
    """Whether a server lists a folder of its studies as a DICOM scan."""
    return judge(folder).kind is ScanKind.DICOM
