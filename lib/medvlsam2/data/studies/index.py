"""``datastore_v2.json``: which images and labels a studies folder holds, in the host's own format.

What the index says of labels is also in the label folders, so the index can be rebuilt if it is lost; what clients told
about images is in the index alone. An entry of a wrong form is left out, and the others are still read.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

logger = logging.getLogger(__name__)

INDEX: Final = "datastore_v2.json"
LABELS: Final = "labels"
"""The folder of all labels, by tag."""


@dataclass
class Entry:
    """An image or a label: the suffix of its file, and what is told about it."""

    ext: str = ""
    info: dict[str, Any] = field(default_factory=dict)
    file: str = ""
    """Images only: the path below the images' folder, if it is not the id and the suffix."""


@dataclass
class ImageEntry:
    """An image and its labels by tag."""

    image: Entry = field(default_factory=Entry)
    labels: dict[str, Entry] = field(default_factory=dict)


@dataclass
class StudiesIndex:
    """The whole index."""

    objects: dict[str, ImageEntry] = field(default_factory=dict)
    name: str = "new-dataset"
    description: str = "New Dataset"
    images_dir: str = "."
    labels_dir: str = LABELS

    def as_json(self) -> dict[str, Any]:
        """In the host's format."""
        return {
            "name": self.name,
            "description": self.description,
            "images_dir": self.images_dir,
            "labels_dir": self.labels_dir,
            "objects": {image_id: _image_json(item) for image_id, item in self.objects.items()},
        }

    def text(self) -> str:
        """As it is written to the file; what JSON cannot hold becomes text."""
        return json.dumps(self.as_json(), indent=2, default=str)


class DamagedIndex(Exception):
    """The index is no JSON object with images in it; the message is the reason."""


def read_index(path: Path) -> StudiesIndex:
    """Read an index; entries of a wrong form are left out, and told in the log.

    Raises:
        DamagedIndex: if nothing of it can be used.
        OSError: if it is not there or cannot be opened.
    """
    try:
        record = json.loads(path.read_bytes().decode("utf-8"))
        objects = dict(record["objects"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedIndex(f"{type(error).__name__}: {str(error)[:80]}") from error
    index = StudiesIndex(
        name=str(record.get("name", "")),
        description=str(record.get("description", "")),
        images_dir=str(record.get("images_dir") or "."),
        labels_dir=str(record.get("labels_dir") or LABELS),
    )
    for image_id, item in objects.items():
        try:
            labels = item.get("labels") or {}
            index.objects[str(image_id)] = ImageEntry(
                _entry(item["image"]), {str(tag): _entry(label) for tag, label in labels.items()}
            )
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            logger.warning("An entry of '%s' has a wrong form and is read anew (%s)", path.name, type(error).__name__)
    return index


def strict_json(info: Mapping[str, Any]) -> dict[str, Any]:
    """An info in plain JSON: values of other types become text, and NaN and infinities become null.

    Example:
        >>> strict_json({"path": Path("a"), "score": float("nan")})
        {'path': 'a', 'score': None}
    """
    return dict(json.loads(json.dumps(dict(info), default=str), parse_constant=lambda _: None))


def _entry(item: Mapping[str, Any]) -> Entry:
    ext, info, file = item.get("ext"), item.get("info"), item.get("file")
    return Entry(
        ext if isinstance(ext, str) else "",
        dict(info) if isinstance(info, dict) else {},
        file if isinstance(file, str) else "",
    )


def _image_json(item: ImageEntry) -> dict[str, Any]:
    labels = {tag: {"ext": label.ext, "info": label.info} for tag, label in item.labels.items()}
    image = {"ext": item.image.ext, "info": item.image.info}
    return {"image": {**image, "file": item.image.file} if item.image.file else image, "labels": labels}
