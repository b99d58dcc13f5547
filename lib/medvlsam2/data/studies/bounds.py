"""What in a studies folder may not grow without end: what is told of an image or a label, and results of the model.

What annotators submitted is never deleted, however much it is; ``doctor`` tells how much room it takes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from medvlsam2.data.studies import versions
from medvlsam2.data.studies.label_place import LabelPlace
from medvlsam2.errors import DatasetError

MAX_INFO_BYTES: Final = 2**18
"""What may be told about one image or label: a report of many pages has 20,000."""

OF_MODEL: Final = "of_model"
"""In a version's info: the server stored it as a result of the model, and no person has changed or restored it."""
MAX_RESULTS: Final = 20
"""Results that are kept for one image and tag. The model can make each again; a viewer with ``save_label`` stores one
at every click."""


def require_bounded(what: str, image_id: str, info: Mapping[str, Any]) -> None:
    """Refuse what is too long to be told about an image or a label.

    Raises:
        DatasetError: if it has more than MAX_INFO_BYTES as JSON.
    """
    size_bytes = len(json.dumps(info))
    if size_bytes > MAX_INFO_BYTES:
        raise DatasetError(
            f"The {what} info of image '{image_id}' would have {size_bytes} bytes; at most {MAX_INFO_BYTES} are "
            "allowed. Nothing was changed. Tell less."
        )


def without_mark(info: Mapping[str, Any]) -> dict[str, Any]:
    """An info that a person has changed or chosen: it is no mere result any more."""
    return {key: value for key, value in info.items() if key != OF_MODEL}


def forget_old_results(place: LabelPlace) -> None:
    """Remove all but the last MAX_RESULTS results of the model from a label's versions; call it with the lock held.

    A result whose voxels are also those of another version stays, for that version may need its file.
    """
    known = versions.records(place.versions_folder)
    results = [version for version in known if version.info.get(OF_MODEL) is True]
    old = results[:-MAX_RESULTS]
    needed = {version.content.sha256 for version in known if version not in old}
    for version in old:
        if version.content.sha256 not in needed:
            versions.record_path(place.versions_folder, version.number).unlink(missing_ok=True)
            versions.kept_path(place.versions_folder, version).unlink(missing_ok=True)
