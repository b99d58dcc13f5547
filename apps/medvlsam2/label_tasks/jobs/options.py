"""The options that a training, batch or scoring request may give, with their types and ranges; others are refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from label_tasks.infer.requests import EXTENSIONS
from medvlsam2.data.reading.plain_names import FINAL, require_new_tag, shown
from medvlsam2.errors import InvalidRequest

Parse = Callable[[str, Any], Any]

MAX_EPOCHS: Final = 1000
"""Most epochs (passes over the submitted scans). The default is 5; after hundreds the model forgets more than it
learns."""
MAX_TEXT: Final = 2000
"""Most characters of a phrase, a question or a list of names; the longest in the tests' reports has 400."""
MAX_IDS: Final = 255
"""Most objects in one label map."""
MAX_IMAGES: Final = 100_000


def whole(low: int, high: int) -> Parse:
    """A whole number within a range."""

    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InvalidRequest(f"{name} is {_told(value)}; give a whole number from {low} to {high}.")
        return value

    return check


def one_of(*allowed: str) -> Parse:
    """One word of a list."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise InvalidRequest(f"{name} is {_told(value)}; allowed are {', '.join(allowed)}.")
        return value

    return check


def text(name: str, value: Any) -> str:
    """A short text."""
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise InvalidRequest(f"{name} is {_told(value)}; give a text of at most {MAX_TEXT} characters.")
    return value


def flag(name: str, value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name} is {_told(value)}; give true or false.")
    return value


def texts(name: str, value: Any) -> str | list[str]:
    """A text, or a list of texts."""
    if isinstance(value, list) and len(value) <= MAX_IDS:
        return [text(name, item) for item in value]
    return text(name, value)


def ids(name: str, value: Any) -> list[int]:
    """A list of label ids."""
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_IDS:
        raise InvalidRequest(f"{name} is {_told(value)}; give a list of 1 to {MAX_IDS} label ids.")
    return [whole(1, MAX_IDS)(name, item) for item in value]


def result_tag(name: str, value: Any) -> str:
    """A tag for the model's results; the tag of the labels that annotators submitted is refused."""
    tag = require_new_tag(value)
    if tag == FINAL:
        raise InvalidRequest(
            f"{name} is 'final', the tag of what annotators submitted; results of the model go elsewhere. "
            "Leave it out, or give another, e.g. 'original'."
        )
    return tag


def _gpus(name: str, value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"all|[0-9]{1,2}(,[0-9]{1,2}){0,15}", value):
        raise InvalidRequest(f"{name} is {_told(value)}; give 'all'.")
    return value


TRAIN: Final[Mapping[str, Parse]] = {"max_epochs": whole(1, MAX_EPOCHS)}
"""Options of a training request."""

BATCH: Final[Mapping[str, Parse]] = {
    "save_label": flag,
    "label_tag": result_tag,
    "max_batch_size": whole(0, MAX_IMAGES),
    "structures": texts,
    "label": texts,
    "labels": texts,
    "label_prompt": ids,
    "prompt": text,
    "question": text,
    "choices": texts,
    "kind": texts,
    "result_extension": one_of(*EXTENSIONS),
    "result_compress": flag,
}
"""Options of a batch request: which images, where the results go, and what the model is asked about each image."""

SCORING: Final[Mapping[str, Parse]] = {}
"""Options of a scoring request: the app has no scoring method that takes any."""

UNUSED: Final[Mapping[str, Parse]] = {
    "client_id": text,
    "name": text,
    "device": one_of("cuda", "cpu", "auto"),
    "multi_gpu": flag,
    "gpus": _gpus,
    "logging": one_of("DEBUG", "INFO", "WARNING", "ERROR"),
    "max_workers": whole(0, 64),
    "result_dtype": text,
}
"""Options that the host's clients send: they are checked but not used, since the server's settings decide."""


def checked(given: Mapping[str, Any], allowed: Mapping[str, Parse]) -> dict[str, Any]:
    """Check the options of a request and return those that are used.

    Args:
        given: the options that the client sent.
        allowed: the options of this kind of request, each with its check.

    Raises:
        InvalidRequest: on a name that is not allowed, or a value of another type or range.

    Example:
        >>> checked({"max_epochs": 3, "client_id": "ann"}, TRAIN)
        {'max_epochs': 3}
    """
    for name in given:
        if name not in allowed and name not in UNUSED:
            listed = ", ".join(allowed) or "none"
            raise InvalidRequest(f"The option {shown(name)} is not known here. Allowed: {listed}.")
    for name, value in given.items():
        if name in UNUSED and name not in allowed and value is not None:
            UNUSED[name](name, value)
    return {name: allowed[name](name, value) for name, value in given.items() if name in allowed and value is not None}


def not_used(given: Mapping[str, Any], allowed: Mapping[str, Parse]) -> list[str]:
    """Return a sentence for each option that is not used; ``client_id`` is no option.

    Example:
        >>> not_used({"max_epochs": 3, "name": "mine", "client_id": "ann"}, TRAIN)
        ["The option 'name' is not used here: the server decides it."]
    """
    dropped = [name for name in given if name in UNUSED and name not in allowed and name != "client_id"]
    return [f"The option '{name}' is not used here: the server decides it." for name in dropped]


def _told(value: Any) -> str:
    return shown(str(value), 40) if isinstance(value, str) else shown(repr(value), 40).strip("'\"")
