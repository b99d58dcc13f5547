"""All labels of a studies folder: ``labels/<tag>/<image id><suffix>``, one file per image and tag."""

from __future__ import annotations

from pathlib import Path

from medvlsam2.data.studies.label_place import LabelPlace, label_suffix


class LabelShelf:
    """The folder ``labels/`` of a studies folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def place(self, image_id: str, tag: str) -> LabelPlace:
        """Where the label of an image under a tag is, or will be.

        Raises:
            InvalidRequest: if one of the names is a path.
        """
        return LabelPlace(self.folder / tag, image_id)

    def tags(self) -> list[str]:
        """Tags that have a folder."""
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith("."))

    def files(self, tag: str) -> dict[str, list[Path]]:
        """Every label file under a tag, by image id; after an unfinished change an image may have two."""
        found: dict[str, list[Path]] = {}
        for path in sorted((self.folder / tag).iterdir()):
            ext = label_suffix(path.name)
            if ext and not path.name.startswith(".") and path.is_file():
                found.setdefault(path.name[: -len(ext)], []).append(path)
        return found
