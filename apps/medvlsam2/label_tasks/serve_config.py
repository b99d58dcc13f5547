"""The host's ``--conf key value`` strings, parsed once into a frozen record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from medvlsam2.errors import InvalidConfig, nearest_hint


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

    def __post_init__(self) -> None:
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
