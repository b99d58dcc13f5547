"""Uncertainties by scan content and model version, kept in one JSON file beside the datastore."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from medvlsam2 import atomic_files

SCORE_FILE: Final = "medvlsam2_value.json"


@dataclass
class ScoreBook:
    """What has been scored so far.

    A score belongs to a content and a model version, so a renamed scan keeps it and a changed one does not.
    The content of a file is read again only when its size or time of change is another.
    """

    path: Path
    contents: dict[str, list[str]] = field(default_factory=dict)
    """By image id: size and time of its file, and the hash of what it holds."""
    scores: dict[str, float] = field(default_factory=dict)
    """Uncertainty by ``model version/content hash``."""

    @classmethod
    def open(cls, path: Path) -> ScoreBook:
        """Read a book; a missing or damaged one is empty, for every score can be computed again."""
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            contents = {name: [str(stamp), str(content)] for name, (stamp, content) in record["contents"].items()}
            return cls(path, contents, {key: float(score) for key, score in record["scores"].items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls(path)

    def known(self, image_id: str, image_path: Path | None, version: str) -> float | None:
        """The score of a scan under a model version, or None if it must be computed.

        Args:
            image_id: the scan.
            image_path: where it is; None where it is in a PACS alone, and taken to be as it was.
            version: of the model.
        """
        stamp, content = self.contents.get(image_id, ("", ""))
        unchanged = image_path is None or stamp == _stamp(image_path)
        return self.scores.get(f"{version}/{content}") if unchanged else None

    def add(self, image_id: str, image_path: Path, version: str, score: float) -> None:
        """Remember a score."""
        content = _content(image_path)
        self.contents[image_id] = [_stamp(image_path), content]
        self.scores[f"{version}/{content}"] = score

    def save(self) -> None:
        """Write the book whole or not at all.

        Raises:
            StorageFull: if there is no room.
        """
        atomic_files.write_text(self.path, json.dumps({"contents": self.contents, "scores": self.scores}))


def _stamp(path: Path) -> str:
    stat = path.stat()
    return f"{stat.st_size}:{stat.st_mtime_ns}"


def _content(path: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        with file.open("rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest()
