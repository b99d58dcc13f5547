"""The host's ``--conf key value`` strings, parsed once into a frozen record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal, get_args

import torch

from medvlsam2.errors import InvalidConfig, nearest_hint

MODELS_DIR: Final = Path(__file__).resolve().parents[3] / "model"
"""The repository's folder of model folders."""

DeviceChoice = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """What a server is started with."""

    model: str = "nano"
    """Name of a folder under ``model/`` ("nano" means "medvlsam2-nano"), or the path of a model folder."""
    device: DeviceChoice = "auto"
    """Where the model runs; "auto" takes a GPU where there is one."""
    candidates: int = 4
    """Most scans that one "Next Sample" request may score anew."""
    report_tokens: int = 256
    """Longest report in tokens."""

    def __post_init__(self) -> None:
        if self.device not in get_args(DeviceChoice):
            raise InvalidConfig(
                f"--conf device '{self.device}' is not known. Allowed: {', '.join(get_args(DeviceChoice))}."
            )
        for name, value in (("candidates", self.candidates), ("report_tokens", self.report_tokens)):
            if value < 1:
                raise InvalidConfig(f"--conf {name} is {value}; give a whole number of at least 1.")

    @property
    def torch_device(self) -> str:
        """``"cpu"`` or ``"cuda"``."""
        if self.device == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        return self.device

    def model_dir(self, models_dir: Path = MODELS_DIR) -> Path:
        """Folder of the model; its files are looked at later, when they are needed.

        Raises:
            InvalidConfig: if there is no such folder; the message names those that there are.
        """
        candidates = (
            Path(self.model).expanduser(),
            models_dir / self.model,
            models_dir / f"medvlsam2-{self.model}",
        )
        for folder in candidates:
            if folder.is_dir():
                return folder.resolve()
        known = sorted(path.parent.name for path in models_dir.glob("*/config.yaml"))
        raise InvalidConfig(
            f"--conf model '{self.model}' is neither a folder nor a model under model/. "
            f"{nearest_hint(self.model, known)} Models there: {', '.join(known) or 'none'}."
        )


def parse(conf: Mapping[str, str]) -> ServeConfig:
    """Parse the host's strings.

    Raises:
        InvalidConfig: on an unknown key (the nearest known one is named) or a value of the wrong kind.

    Example:
        >>> parse({"device": "cpu", "candidates": "2"}).candidates
        2
    """
    known = {field.name: field for field in fields(ServeConfig)}
    values: dict[str, str | int] = {}
    for key, text in conf.items():
        if key not in known:
            raise InvalidConfig(
                f"Unknown --conf key '{key}'. {nearest_hint(key, known)} Allowed: {', '.join(sorted(known))}."
            )
        values[key] = _whole_number(key, text) if known[key].type == "int" else text
    return ServeConfig(**values)  # type: ignore[arg-type]


def _whole_number(key: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidConfig(f"--conf {key} is '{text}'; give a whole number.") from None
