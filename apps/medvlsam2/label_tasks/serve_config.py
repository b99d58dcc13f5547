"""The host's ``--conf key value`` strings, parsed once into a frozen record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

from medvlsam2.errors import InvalidConfig, nearest_hint

TTA: Final = ("none", "axes")
SWITCH: Final = ("on", "off")


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """What a server is started with."""

    model: str = "nano"
    """Name of a folder under ``model/`` ("nano" means "medvlsam2-nano"), or the path of a model folder."""
    device: str = "auto"
    """"cpu", "cuda", "cuda:1" …; "auto" takes a GPU where there is one."""
    candidates: int = 4
    """Most scans that one "Next Sample" request may score anew."""
    report_tokens: int = 256
    """Longest report in tokens."""
    tta: str = "none"
    """Test-time augmentation: "axes" looks at coronal slices as well, at several times the time; or "none"."""
    cuda_graphs: str = "on"
    """Whether a GPU runs steps of propagation as CUDA graphs, which is faster: "on" or "off"."""
    cache_gb: float | None = None
    """Memory for slice features in GB (10^9 bytes); by default a quarter of the machine's. The rest goes to disk."""

    @property
    def cache_bytes(self) -> int | None:
        """The same in bytes."""
        return None if self.cache_gb is None else round(self.cache_gb * 10**9)

    def __post_init__(self) -> None:
        if self.cache_gb is not None and not 0 <= self.cache_gb < float("inf"):
            raise InvalidConfig(f"--conf cache_gb is {self.cache_gb}; give a number of at least 0.")
        for name, chosen, allowed in (("tta", self.tta, TTA), ("cuda_graphs", self.cuda_graphs, SWITCH)):
            if chosen not in allowed:
                raise InvalidConfig(f"--conf {name} is '{chosen}'; allowed are {' and '.join(allowed)}.")
        for name, value in (("candidates", self.candidates), ("report_tokens", self.report_tokens)):
            if value < 1:
                raise InvalidConfig(f"--conf {name} is {value}; give a whole number of at least 1.")


def parse(conf: Mapping[str, str]) -> ServeConfig:
    """Parse the host's strings.

    Raises:
        InvalidConfig: on an unknown key (the nearest known one is named) or a value of the wrong kind.

    Example:
        >>> parse({"device": "cpu", "candidates": "2"}).candidates
        2
    """
    known = {field.name: field for field in fields(ServeConfig)}
    values: dict[str, str | float] = {}
    for key, text in conf.items():
        if key not in known:
            raise InvalidConfig(
                f"Unknown --conf key '{key}'. {nearest_hint(key, known)} Allowed: {', '.join(sorted(known))}."
            )
        kind = str(known[key].type)
        values[key] = _number(key, text, kind) if kind != "str" else text
    return ServeConfig(**values)  # type: ignore[arg-type]


def _number(key: str, text: str, kind: str) -> float:
    try:
        return int(text) if kind == "int" else float(text)
    except ValueError:
        wanted = "a whole number" if kind == "int" else "a number"
        raise InvalidConfig(f"--conf {key} is '{text}'; give {wanted}.") from None
