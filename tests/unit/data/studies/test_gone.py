"""A studies folder whose disk is unmounted while the server runs: nothing is written into the empty mount point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medvlsam2 import errors


@pytest.mark.parametrize("left", ["nothing", "an empty mount point"])
def test_nothing_is_written_where_an_unmounted_disk_was(opened: Any, label: Any, root: Path, left: str) -> None:
    folder = opened()
    folder.put_label("p1", "final", label("one"), ".nii.gz", {})
    away = root.with_name("away")
    root.rename(away)
    if left != "nothing":
        root.mkdir()

    def upload() -> None:
        with folder.incoming("scan.nii.gz") as arrived:
            arrived.write_bytes(b"a new scan")
            folder.add_image("new", arrived, ".nii.gz", {})

    for change in (
        lambda: folder.put_label("p1", "final", label("two"), ".nii.gz", {}),
        lambda: folder.update_image_info("p1", {"a": 1}),
        lambda: folder.remove_label("p1", "final"),
        folder.refresh,
        folder.index,
        upload,
    ):
        with pytest.raises(errors.FolderBusy, match="not there any more"):
            change()
    assert root.exists() == (left != "nothing")
    assert not root.exists() or [path for path in root.iterdir() if path.name != ".incoming"] == []
    if root.exists():
        assert list((root / ".incoming").iterdir()) == []
        (root / ".incoming").rmdir()
        root.rmdir()
    away.rename(root)
    folder.put_label("p1", "final", label("two"), ".nii.gz", {})
    upload()
    assert folder.label("p1", "final").path.read_text(encoding="utf-8") == "two"
    assert set(folder.index().objects) == {"p1", "p2", "p3", "new"}
