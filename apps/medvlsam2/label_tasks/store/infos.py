"""Checks of the information that clients give on an image or a label: its types and its size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from medvlsam2.data.label_info import parse_label_info
from medvlsam2.data.studies.bounds import OF_MODEL
from medvlsam2.errors import DatasetError

_OF_THE_SERVER: Final = frozenset(
    {"name", "path", "ts", "checksum", "pacs", "warnings", "submission", "restored_from", OF_MODEL}
)
"""Keys that the server sets itself. A client may send them back; they are ignored."""

_OF_REPLIES: Final = frozenset({"id", "image", "label"})
"""Keys that name the image in a reply, to which the information is added."""

_TEXTS: Final = ("model", "model_id", "model_version", "client_id", "user", "annotator")
"""Keys for who and what made a label; they are shown on the start page and written into the PACS."""

MAX_KEYS: Final = 100
MAX_STRATEGIES: Final = 20
"""Most entries for strategies; an app has a few strategies."""


def checked_image_info(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Check the information that a client gives on an image, and return it without the server's own keys.

    Raises:
        DatasetError: on a wrong type of what the server reads, on a name of its own, or on too many keys.

    Example:
        >>> checked_image_info({"PatientID": "7", "path": "/tmp"})
        {'PatientID': '7'}
    """
    kept = _without_names_of_the_server("image", changes)
    strategy = kept.get("strategy", {})
    if not isinstance(strategy, dict) or len(strategy) > MAX_STRATEGIES or not all(map(is_offer, strategy.values())):
        raise DatasetError(
            f"The image info's 'strategy' is {_shown(strategy)}; allowed is who was offered the image, by strategy: "
            '{"random": {"ts": 1700000000, "client_id": "ann"}}. Leave it out: the server writes it.'
        )
    if not isinstance(kept.get("PatientID", ""), str):
        raise DatasetError(f"The image info's 'PatientID' is {_shown(kept['PatientID'])}; give a text.")
    return kept


def checked_label_info(image_id: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Check the information on a label, given with its file or later. The names are checked with the file.

    Raises:
        DatasetError: on a wrong type of what the server reads, on a name of its own, or on too many keys.
    """
    kept = _without_names_of_the_server("label", changes)
    if "label_info" in kept:
        parse_label_info(image_id, kept["label_info"])
    for key in ("params", "segmentationMeta"):
        if not isinstance(kept.get(key, {}), dict):
            raise DatasetError(f"The label info's '{key}' is {_shown(kept[key])}; give an object.")
    for key in _TEXTS:
        if not isinstance(kept.get(key), str | None):
            raise DatasetError(f"The label info's '{key}' is {_shown(kept[key])}; give a text.")
    return kept


def trusted_image_info(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the information on an image without entries of a wrong type, which an older server may have accepted.

    Example:
        >>> trusted_image_info({"strategy": "soon", "id": "other", "note": 1})
        {'note': 1}
    """
    kept = {key: value for key, value in info.items() if key not in {*_OF_REPLIES, "path", "strategy"}}
    strategy = info.get("strategy")
    offers = strategy.items() if isinstance(strategy, dict) else ()
    trusted = {name: offer for name, offer in offers if is_offer(offer)}
    return {**kept, "strategy": trusted} if trusted else kept


def is_offer(offer: Any) -> bool:
    """Return whether an entry tells when an image was offered and to whom.

    Example:
        >>> is_offer({"ts": 1700000000, "client_id": "ann"}), is_offer({"ts": "soon"})
        (True, False)
    """
    if not isinstance(offer, dict):
        return False
    ts, client = offer.get("ts"), offer.get("client_id")
    return isinstance(ts, int | float) and not isinstance(ts, bool) and (client is None or isinstance(client, str))


def _without_names_of_the_server(what: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    if len(changes) > MAX_KEYS:
        raise DatasetError(f"The {what} info has {len(changes)} keys; at most {MAX_KEYS} are allowed.")
    own = sorted(_OF_REPLIES & changes.keys())
    if own:
        raise DatasetError(f"The {what} info sets '{own[0]}', which names it in replies. Leave it out.")
    return {key: value for key, value in changes.items() if key not in _OF_THE_SERVER}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]} …"
