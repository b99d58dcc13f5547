"""Whether a scan may be read at all: the memory that its header asks for, against what this machine can give.

The header alone decides, before anything is allocated: a damaged or hostile one may promise terabytes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from medvlsam2.errors import InvalidConfig, VolumeTooLarge

BUDGET_VARIABLE: Final = "MEDVLSAM2_SCAN_MIB"
"""Environment variable with the memory that reading one scan may take, in MiB; by default a share of what is free."""

AVAILABLE_SHARE: Final = 0.5
"""Share of the available memory that one scan may take: the model needs about as much again for its features."""

HU_BYTES: Final = 2
"""A voxel of the scan that is made from what was stored (int16)."""

_MIB: Final = 2**20
_MEMORY_FILE: Final = Path("/proc/meminfo")
_GROUP_FOLDER: Final = Path("/sys/fs/cgroup")
_UNKNOWN_BYTES: Final = 4 * 2**30
"""Taken for available where the system does not tell (not Linux)."""


def budget_bytes() -> int:
    """Memory that reading one scan may take: the setting, or a share of what is available.

    Raises:
        InvalidConfig: if the setting is not a whole number from 1.
    """
    chosen = os.environ.get(BUDGET_VARIABLE)
    if chosen is None:
        return int(_available_bytes() * AVAILABLE_SHARE)
    if not chosen.strip().isdecimal() or int(chosen) < 1:
        raise InvalidConfig(
            f"{BUDGET_VARIABLE} is '{chosen}'; a whole number of MiB from 1 is allowed. Set one, or unset it."
        )
    return int(chosen) * _MIB


def require_memory(name: str, needed_bytes: int, why: str) -> None:
    """Refuse what does not fit the budget.

    Args:
        name: of the file, for the message.
        needed_bytes: what reading will take at its most.
        why: what the header asks for, e.g. its shape and type.

    Raises:
        VolumeTooLarge: with both figures.
    """
    allowed = budget_bytes()
    if needed_bytes > allowed:
        raise VolumeTooLarge(
            f"'{name}' would take {_in_words(needed_bytes)} of memory ({why}); {_in_words(allowed)} are allowed for "
            f"one scan here. Crop or resample it, or set {BUDGET_VARIABLE} higher."
        )


def _in_words(number_bytes: int) -> str:
    return f"{number_bytes / 2**30:.1f} GiB" if number_bytes >= 2**30 else f"{max(1, number_bytes // _MIB)} MiB"


def _available_bytes() -> int:
    """What the system can still give, or the process's group (container), whichever is less."""
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
    """Free memory under the limit of a control group (version 2); pages that only cache files count as free."""
    try:
        limit = (_GROUP_FOLDER / "memory.max").read_text(encoding="utf-8").strip()
        used = int((_GROUP_FOLDER / "memory.current").read_text(encoding="utf-8"))
        facts = dict(line.split() for line in (_GROUP_FOLDER / "memory.stat").read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError):
        return None
    return max(0, int(limit) - used + int(facts.get("inactive_file", 0))) if limit.isdecimal() else None
