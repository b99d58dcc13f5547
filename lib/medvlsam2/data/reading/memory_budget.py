"""Comparison of the memory that a scan needs with the memory that this machine can give.

The comparison uses the header alone and runs before any memory is allocated: a damaged or hostile header may
promise terabytes of voxels.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from medvlsam2.errors import VolumeTooLarge
from medvlsam2.settings.reading import from_environment
from medvlsam2.settings.record import all_settings

BUDGET: Final = "scan_mib"
"""The setting: the memory that reading one scan may take, in MiB. Default: AVAILABLE_SHARE of free memory."""

AVAILABLE_SHARE: Final = 0.5
"""Share of the available memory that reading one scan may take. The model's features need about as much again."""

HU_BYTES: Final = 2
"""Bytes per voxel of the scan in Hounsfield units (int16), which is held beside the stored voxels."""

_MIB: Final = 2**20
_MEMORY_FILE: Final = Path("/proc/meminfo")
_GROUP_FOLDER: Final = Path("/sys/fs/cgroup")
_UNKNOWN_BYTES: Final = 4 * 2**30
"""Available memory that is assumed if the system does not report it (systems other than Linux)."""


def budget_bytes() -> int:
    """Return the memory that reading one scan may take: the setting, or AVAILABLE_SHARE of the available memory.

    Raises:
        InvalidConfig: if the setting is not a whole number of at least 1.
    """
    chosen_mib: int | None = from_environment(BUDGET, os.environ)
    return int(_available_bytes() * AVAILABLE_SHARE) if chosen_mib is None else chosen_mib * _MIB


def require_memory(name: str, needed_bytes: int, why: str) -> None:
    """Refuse a file that does not fit the memory budget.

    Args:
        name: name of the file, for the message.
        needed_bytes: peak memory of reading the file.
        why: what the header asks for, e.g. the shape and the type of the voxels.

    Raises:
        VolumeTooLarge: if the file needs more than the budget; the message gives both figures.
    """
    allowed = budget_bytes()
    if needed_bytes > allowed:
        raise VolumeTooLarge(
            f"'{name}' would take {_in_words(needed_bytes)} of memory ({why}); {_in_words(allowed)} are allowed for "
            f"one scan here. Crop or resample the scan, or set {all_settings()[BUDGET].variable} higher."
        )


def _in_words(number_bytes: int) -> str:
    return f"{number_bytes / 2**30:.1f} GiB" if number_bytes >= 2**30 else f"{max(1, number_bytes // _MIB)} MiB"


def _available_bytes() -> int:
    """Return the free memory of the machine or of the process's control group (container), whichever is less."""
    found = [available for available in (_of_machine(), _of_group()) if available is not None]
    return min(found, default=_UNKNOWN_BYTES)


def _of_machine() -> int | None:
    try:
        lines = _MEMORY_FILE.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    line = next((line for line in lines if line.startswith("MemAvailable:")), "")
    return int(line.split()[1]) * 1024 if line else None


def _of_group() -> int | None:
    """Return the free memory under the limit of a control group (version 2); None if there is no limit.

    Inactive pages of the file cache count as free, because the kernel gives them up first.
    """
    try:
        limit = (_GROUP_FOLDER / "memory.max").read_text(encoding="utf-8").strip()
        used = int((_GROUP_FOLDER / "memory.current").read_text(encoding="utf-8"))
        facts = dict(line.split() for line in (_GROUP_FOLDER / "memory.stat").read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError):
        return None
    return max(0, int(limit) - used + int(facts.get("inactive_file", 0))) if limit.isdecimal() else None
