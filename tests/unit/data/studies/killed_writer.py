"""Submit labels in a child that is killed at a random moment, 40 times; print what each left behind as JSON lines.

python killed_writer.py STUDIES SEED
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from medvlsam2.data.studies.scan_list import FoundScan, ScanList
from medvlsam2.data.studies.studies_folder import StudiesFolder

ROUNDS = 40
SUBMISSIONS = 2.5
"""So many fit into the longest life of a child: some children are killed at their first, some at their third."""


def list_scans(folder: Path) -> ScanList:
    names = sorted(path.name for path in folder.glob("*.nii.gz"))
    return ScanList({name.removesuffix(".nii.gz"): FoundScan(name, ".nii.gz") for name in names})


def submit_for_ever(root: Path, image_id: str, acknowledged: int) -> None:
    """Each submission has another length and its own name; its number goes into the pipe once it is stored."""
    folder = StudiesFolder(root, list_scans)
    os.write(acknowledged, (0).to_bytes(4, "little"))
    number = 0
    with tempfile.TemporaryDirectory() as own:
        while True:
            number += 1
            source = Path(own) / "label.nii.gz"
            source.write_bytes(content(number))
            folder.put_label(image_id, "final", source, ".nii.gz", {"label_info": [{"name": f"n{number}", "idx": 1}]})
            os.write(acknowledged, number.to_bytes(4, "little"))


def one_submission_s(root: Path) -> float:
    """How long a submission takes here and now."""
    folder = StudiesFolder(root, list_scans)
    start_s = time.monotonic()
    for _ in range(3):
        folder.put_label("p1", "final", root / "p1.nii.gz", ".nii.gz", {})
    return (time.monotonic() - start_s) / 3


def content(number: int) -> bytes:
    return f"{number}\n".encode() * (2000 + 100 * number)


def left_behind(root: Path, image_id: str, acknowledged: int) -> dict[str, Any]:
    """What another process finds: first in the files as they are, then through the folder."""
    index = json.loads((root / "datastore_v2.json").read_text(encoding="utf-8"))
    folder = StudiesFolder(root, list_scans)
    record: dict[str, Any] = {"acknowledged": acknowledged, "images": len(index["objects"])}
    if "final" not in folder.require(image_id).labels:
        return {**record, "stored": 0}
    path = folder.label(image_id, "final").path
    stored = int(path.read_bytes().split(b"\n")[0])
    place = folder.shelf.place(image_id, "final")
    kept = {int(place.version_file(v.number)[0].read_bytes().split(b"\n")[0]) for v in place.versions()}
    return {
        **record,
        "stored": stored,
        "whole": path.read_bytes() == content(stored),
        "name": folder.label_info(image_id, "final")["label_info"][0]["name"],
        "kept": sorted(kept),
        "partial": [str(path) for path in root.rglob(".partial-*")],
    }


def main() -> None:
    root, seed = Path(sys.argv[1]), int(sys.argv[2])
    draw = random.Random(seed)
    for number in range(ROUNDS):
        (root / f"scan{number}.nii.gz").touch()
    longest_s = SUBMISSIONS * one_submission_s(root)
    for number in range(ROUNDS):
        image_id = f"scan{number}"
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read_end)
            submit_for_ever(root, image_id, write_end)
        os.close(write_end)
        os.read(read_end, 4)
        time.sleep(draw.uniform(0, longest_s))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(read_end, "rb") as pipe:
            told = pipe.read()
        print(json.dumps(left_behind(root, image_id, len(told) // 4)), flush=True)  # noqa: T201 - its result


if __name__ == "__main__":
    main()
