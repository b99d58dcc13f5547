"""What the values of a submitted label file mean, from the ``label_info`` that its client sent along.

Slicer counts the segments that it left out, while the file counts only those it holds; a client of the API usually
sends the file's values. Where both readings are possible and disagree, the label is refused rather than misread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from medvlsam2.errors import DatasetError

_INDEX_KEYS: Final = ("idx", "labelID", "id")


def names_of_values(image_id: str, present: Iterable[int], label_info: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Name of each value in a label file.

    Args:
        image_id: for the message.
        present: values in the file, without 0.
        label_info: ``name`` and ``idx`` (or ``labelID``, ``id``) per segment, in order.

    Raises:
        DatasetError: if they cannot be named for certain.

    Example:
        >>> names_of_values("a", [1, 2], [{"name": "liver", "idx": 2}, {"name": "spleen", "idx": 3}])
        {1: 'liver', 2: 'spleen'}
    """
    values = sorted(set(present))
    named = [(place, item, str(item.get("name", ""))) for place, item in enumerate(label_info, start=1)]
    by_index = {_index(item, place): name for place, item, name in named}
    by_place = {place: name for place, _, name in named}
    readings = [
        {value: names[value] for value in values} for names in (by_index, by_place) if all(map(names.get, values))
    ]
    if not readings or any(reading != readings[0] for reading in readings):
        raise DatasetError(
            f"The label of image '{image_id}' holds the values {values}, and its label_info "
            f"{[dict(item) for item in label_info]} does not say for certain what they mean. Submit it "
            "again with one name per value, e.g. [{'name': 'liver', 'idx': 1}]."
        )
    return readings[0]


def _index(item: Mapping[str, Any], place: int) -> int:
    return next((item[key] for key in _INDEX_KEYS if isinstance(item.get(key), int)), place)
