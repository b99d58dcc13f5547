"""What clients may tell about an image or a label: types that the server can use later, in a bounded size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from medvlsam2.data.label_info import parse_label_info
from medvlsam2.data.studies.bounds import OF_MODEL
from medvlsam2.errors import DatasetError

_OF_THE_SERVER: Final = frozenset(
    {"name", "path", "ts", "checksum", "pacs", "warnings", "submission", "restored_from", OF_MODEL}
)
"""What the server tells about a file itself. A client may send it back; it changes nothing."""

_OF_REPLIES: Final = frozenset({"id", "image", "label"})
"""What names the image in a reply that the info is joined to."""

_TEXTS: Final = ("model", "model_id", "model_version", "client_id", "user", "annotator")
"""Who and what made a label: shown on the page of studies, and written into the PACS."""

MAX_KEYS: Final = 100
MAX_STRATEGIES: Final = 20
"""An app has a handful of strategies."""


def checked_image_info(changes: Mapping[str, Any]) -> dict[str, Any]:
    """What may be told about an image.

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
    """What may be told about a label, with its file or later; whether names fit its values is checked with its file.

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
    """An image's info as the server can use it, whatever an older one let in.

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
    """Whether this says when an image was offered to whom.

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
