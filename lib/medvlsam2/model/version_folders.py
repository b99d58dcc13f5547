"""Model folders as files: which versions there are, which one answers, and what a folder must hold.

Other than :mod:`medvlsam2.model.checkpoint`, which reads weights, this module imports no torch: a program that only
lists or chooses versions starts at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from medvlsam2 import atomic_files
from medvlsam2.errors import MissingCheckpoint

CONFIG: Final = "config.yaml"
METADATA: Final = "metadata.json"
WEIGHTS: Final = "model.safetensors"
ADAPTER: Final = "adapter.safetensors"
CURRENT: Final = "current"
BASE_VERSION: Final = "base"


def require_files(folder: Path) -> None:
    """Refuse a folder without the files of a model; reads none of them.

    Raises:
        MissingCheckpoint: naming the first file that is not there.
    """
    for name in (CONFIG, METADATA, WEIGHTS):
        if not (folder / name).is_file():
            raise MissingCheckpoint(
                f"Model folder '{folder}' has no {name}; a model needs {CONFIG}, {METADATA}, {WEIGHTS} and its "
                "tokenizer. Give another folder, or train one with 'medvlsam2 train'."
            )


def version_folder(folder: Path, version: str) -> Path:
    """Where a fine-tuned version lives."""
    return folder / "versions" / version


def current_version(folder: Path) -> str:
    """Name of the version in use; "base" where nothing was fine-tuned."""
    pointer = folder / CURRENT
    return pointer.read_text(encoding="utf-8").strip() if pointer.is_file() else BASE_VERSION


def set_current(folder: Path, version: str) -> None:
    """Swap the version in use; also the way back to an older one.

    Raises:
        MissingCheckpoint: if there is no such version.
    """
    if version != BASE_VERSION and not (version_folder(folder, version) / ADAPTER).is_file():
        raise MissingCheckpoint(f"Model '{folder.name}' has no version '{version}'. Allowed: {versions(folder)}.")
    atomic_files.write_text(folder / CURRENT, version)


def versions(folder: Path) -> list[str]:
    """All versions, "base" first, then by name."""
    found = sorted(p.name for p in (folder / "versions").glob("[!.]*") if (p / ADAPTER).is_file())
    return [BASE_VERSION, *found]
