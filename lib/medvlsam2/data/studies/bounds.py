"""Limits of a studies folder: the size of the info of an image or a label, and the number of kept model results.

Labels that annotators submitted have no limit and are never deleted; ``medvlsam2 doctor`` tells their size.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from medvlsam2.data.studies import versions
from medvlsam2.data.studies.label_place import LabelPlace
from medvlsam2.errors import DatasetError

MAX_INFO_BYTES: Final = 2**18
"""Largest info of one image or label, as JSON. A report of many pages has 20,000 bytes, so there is ample room."""

OF_MODEL: Final = "of_model"
"""Key in a version's info: the server stored this label as a result of the model, and no person has changed or restored
it since."""
MAX_RESULTS: Final = 20
"""Model results that are kept for one image and tag. A viewer with ``save_label`` stores one at every click, and the
model can compute each of them again."""


def require_bounded(what: str, image_id: str, info: Mapping[str, Any]) -> None:
    """Refuse an info of an image or a label that is too long.

    Raises:
        DatasetError: if it has more than MAX_INFO_BYTES as JSON.
    """
    size_bytes = len(json.dumps(info))
    if size_bytes > MAX_INFO_BYTES:
        raise DatasetError(
            f"The {what} info of image '{image_id}' would have {size_bytes} bytes; at most {MAX_INFO_BYTES} are "
            "allowed. Nothing was changed. Send a shorter info."
        )


def without_mark(info: Mapping[str, Any]) -> dict[str, Any]:
    """The info without OF_MODEL, for a label that a person has changed or chosen."""
    return {key: value for key, value in info.items() if key != OF_MODEL}


def forget_old_results(place: LabelPlace) -> None:
    """Remove all but the last MAX_RESULTS results of the model from a label's versions; call it with the lock held.

    A result stays if another version has the same voxels, since that version may need the file.
    """
    known = versions.records(place.versions_folder)
    results = [version for version in known if version.info.get(OF_MODEL) is True]
    old = results[:-MAX_RESULTS]
    needed = {version.content.sha256 for version in known if version not in old}
    for version in old:
        if version.content.sha256 not in needed:
            versions.record_path(place.versions_folder, version.number).unlink(missing_ok=True)
            versions.kept_path(place.versions_folder, version).unlink(missing_ok=True)
