"""The settings of a server: each stands here once, with its type, default, allowed values and a sentence of help.

Command line, environment, ``--conf``, ``serve --help`` and the table in the app's README all follow from this record.
To add a setting, add a field; whoever needs its value reads the field.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

PREFIX: Final = "MEDVLSAM2_"
"""Environment variables of settings begin with it."""
SWITCH: Final = {"on": True, "off": False}
"""How a setting that is true or false is written."""
_ABOUT: Final = "about"


@dataclass(frozen=True, kw_only=True)
class About:
    """What a field's type does not say."""

    help: str
    """One sentence."""
    words: str = ""
    """Allowed values in words, for a text."""
    pattern: str = ""
    """Regular expression that a text must match; empty: any text but an empty one."""
    metavar: str = "TEXT"
    """What the help shows for a text."""
    unit: str = ""
    """Of a number, e.g. "GB"."""
    least: int | None = None
    """Lowest number allowed."""
    most: int | None = None
    """Highest number allowed."""
    default_words: str = ""
    """Default in words, where it is no value."""
    at_start: bool = False
    """Whether ``medvlsam2 serve`` itself needs it, before the host and the app exist."""


def _setting(default: Any, help: str, **about: Any) -> Any:
    return field(default=default, metadata={_ABOUT: About(help=help, **about)})


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """What a server is started with."""

    studies: str = _setting(
        "",
        "Scans to serve.",
        words="folder of scans, or address of a DICOMweb server",
        metavar="DIR_OR_URL",
        default_words="none; it must be given",
        at_start=True,
    )
    host: str = _setting(
        "127.0.0.1",
        "Address to listen on; 0.0.0.0 opens the server to the network.",
        words="address of this machine",
        metavar="ADDRESS",
        at_start=True,
    )
    port: int = _setting(8000, "Port to listen on.", least=1, most=65535, at_start=True)
    allowed_host: tuple[str, ...] = _setting(
        (),
        "Further names that clients call the server by.",
        words="names with commas between them; the option may be repeated",
        metavar="NAME",
        default_words="none",
        at_start=True,
    )
    logs: str | None = _setting(
        None,
        "Where logs go: one folder for each pair of studies and address.",
        words="folder",
        metavar="DIR",
        default_words="logs in the app's folder",
        at_start=True,
    )
    model: str = _setting(
        "auto",
        "Model that answers; auto takes small where its language model is installed, else nano.",
        words="auto, name of a folder among the models, or path of a model folder",
        metavar="MODEL",
    )
    models: str | None = _setting(
        None,
        "Where the models are that have a name.",
        words="folder of model folders",
        metavar="DIR",
        default_words="model in the checkout",
    )
    device: str = _setting(
        "auto",
        "Where the model runs; auto takes a GPU where there is one.",
        words="auto, cpu, cuda or cuda:N",
        pattern=r"auto|cpu|cuda(:[0-9]+)?",
        metavar="DEVICE",
    )
    cache_gb: float | None = _setting(
        None,
        "Memory for slice features, in units of 10^9 bytes; what does not fit goes to a file.",
        unit="GB",
        least=0,
        default_words="a quarter of the machine's memory",
    )
    tta: Literal["none", "axes"] = _setting(
        "none",
        "Test-time augmentation: axes segments coronal slices as well and fuses both results, at several times "
        "the time; for models that were trained on coronal slices.",
    )
    cuda_graphs: bool = _setting(
        True, "Whether a GPU runs the many small steps of propagation as CUDA graphs: faster, with the same masks."
    )
    candidates: int = _setting(4, 'Most scans that one "Next Sample" may score anew.', least=1)
    report_tokens: int = _setting(256, "Longest report.", unit="tokens", least=1)
    scan_mib: int | None = _setting(
        None,
        "Memory that reading one scan may take, in units of 2^20 bytes; a larger scan is refused by its header.",
        unit="MiB",
        least=1,
        default_words="half of what is free at that moment",
    )
    # 200 CT series of 500 slices, at 250 MiB each: some weeks of one group's annotation.
    pacs_cache_gib: int = _setting(
        50, "Disk that series fetched from a PACS may take, in units of 2^30 bytes.", unit="GiB", least=1
    )

    @property
    def cache_bytes(self) -> int | None:
        """``cache_gb`` in bytes."""
        return None if self.cache_gb is None else round(self.cache_gb * 10**9)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One field of the record, as readers of texts and tables need it."""

    name: str
    """Of the field, and the key of ``--conf``."""
    kind: type
    """``bool``, ``int``, ``float``, ``str`` or ``tuple``."""
    choices: tuple[str, ...]
    """The allowed values, where there are few; else empty."""
    default: Any
    about: About

    @property
    def option(self) -> str:
        """On the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """In the environment."""
        return PREFIX + self.name.upper()

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        if self.choices:
            return " or ".join(self.choices)
        if self.kind not in (int, float):
            return self.about.words
        number = "whole number" if self.kind is int else "number"
        of_unit = f" of {self.about.unit}" if self.about.unit else ""
        upwards = f" to {self.about.most:g}" if self.about.most is not None else " upwards"
        return f"{number}{of_unit} from {self.about.least:g}{upwards}"

    @property
    def default_text(self) -> str:
        """The default in words, or as it is written."""
        return self.about.default_words or as_text(self.default)


@cache
def all_settings() -> dict[str, Setting]:
    """Every setting by its name, in the order of the record."""
    hints = get_type_hints(ServerSettings)
    found = {}
    for each in fields(ServerSettings):
        assert each.default is not MISSING
        hint = hints[each.name]
        if get_origin(hint) not in (Literal, tuple, None):  # "… | None"
            hint = next(part for part in get_args(hint) if part is not type(None))
        origin = get_origin(hint)
        choices = tuple(SWITCH) if hint is bool else get_args(hint) if origin is Literal else ()
        kind = {Literal: str, tuple: tuple}.get(origin, hint)
        found[each.name] = Setting(
            name=each.name, kind=kind, choices=choices, default=each.default, about=each.metadata[_ABOUT]
        )
    return found


def as_text(value: Any) -> str:
    """A value as a person writes it."""
    if isinstance(value, bool):
        return next(text for text, meaning in SWITCH.items() if meaning is value)
    return ",".join(value) if isinstance(value, tuple) else str(value)
