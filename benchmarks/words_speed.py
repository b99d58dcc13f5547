"""How long a live server takes for a question and for a report, unseen and again, and the most memory it held.

    python benchmarks/words_speed.py --model model/medvlsam2-small --threads 2
    python benchmarks/words_speed.py --model model/medvlsam2-small --threads 2 --data ../shared/data --case TS_dicom20

The scan is a case of a data folder, or a phantom of 512 x 512 x 100 voxels. Question and report are asked of two copies
of the scan that differ in one voxel, so that neither finds what the other measured. Run it on an idle machine: each
figure is one measurement, beside its target.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import requests
from info_wait import ROOT, serving

from medvlsam2.data.phantom import PhantomConfig, generate
from medvlsam2.data.readers import read_volume
from medvlsam2.data.volume import CTVolume
from medvlsam2.data.volume_files import write_volume

QUESTION: Final = "How large is the liver in mL?"
TARGETS: Final = {"question, unseen": 12.0, "question, again": 1.5, "report, unseen": 40.0, "report, again": 8.0}
"""Seconds."""
MEMORY_GB: Final = 3.0
GB: Final = 1e9


def main() -> None:
    """Ask and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "model" / "medvlsam2-small")
    parser.add_argument("--threads", type=int, default=2, help="of the server")
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 100), metavar=("I", "J", "K"))
    parser.add_argument("--data", type=Path, help="data folder; without it, a phantom")
    parser.add_argument("--case", default="TS_dicom20", help="case of the data folder")
    parser.add_argument("--question", default=QUESTION)
    options = parser.parse_args()
    volume = _volume(options.shape, options.data, options.case)
    with tempfile.TemporaryDirectory() as folder:
        studies = Path(folder) / "studies"
        studies.mkdir()
        for name in ("question", "report"):
            write_volume(studies / f"{name}.nii.gz", _copy(volume, name))
        # The server, which this process starts, takes them from its environment.
        os.environ |= {"OMP_NUM_THREADS": str(options.threads), "MKL_NUM_THREADS": str(options.threads)}
        with serving(Path(folder), studies, options.model) as url:
            seconds, texts = _ask_all(url, options.question)
            peak_bytes = _peak_bytes()
    _show(seconds, texts, peak_bytes)
    machine = {"device": platform.machine(), "cores": os.cpu_count(), "threads": options.threads}
    print(json.dumps({**machine, "shape": list(volume.shape_ijk), "date": time.strftime("%Y-%m-%d")}))


def _volume(shape_ijk: tuple[int, int, int], data: Path | None, case: str) -> CTVolume:
    if data is not None:
        return read_volume(data / "ct" / case / "image.nii.gz", image_id=case)
    config = PhantomConfig(
        shape_ijk=(shape_ijk[0], shape_ijk[1], shape_ijk[2]), spacing_mm=(0.8, 0.8, 2.5), region="abdomen"
    )
    return generate(0, config).volume


def _copy(volume: CTVolume, name: str) -> CTVolume:
    """The scan with one voxel that tells the copies apart."""
    hu = volume.hu.copy()
    hu.flat[0] = np.int16(-1000 + len(name))
    return CTVolume(hu, volume.affine, name)


def _ask_all(url: str, question: str) -> tuple[dict[str, float], dict[str, str]]:
    seconds: dict[str, float] = {}
    texts: dict[str, str] = {}
    requested: dict[str, tuple[str, dict[str, Any]]] = {
        "question": ("medvlsam2_vqa", {"question": question}),
        "report": ("medvlsam2_report", {}),
    }
    for name, (task, params) in requested.items():
        for when in ("unseen", "again"):
            start_s = time.perf_counter()
            reply = requests.post(
                f"{url}/infer/{task}",
                params={"image": name, "output": "json"},
                data={"params": json.dumps(params)},
                timeout=600,
            )
            seconds[f"{name}, {when}"] = time.perf_counter() - start_s
            reply.raise_for_status()
            told = reply.json().get("params", reply.json())
            texts[name] = str(told.get("answer", told.get("report", "")))
    return seconds, texts


def _peak_bytes() -> int:
    """The most memory that the server held so far: the process that this one started, with its own children."""
    statuses = [_status(folder) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    wanted, found = {os.getpid()}, 0
    for pid, parent, peak_bytes in sorted(each for each in statuses if each is not None):
        if parent in wanted:
            wanted.add(pid)
            found += peak_bytes
    return found


def _status(folder: Path) -> tuple[int, int, int] | None:
    """Process, its parent, and its peak memory in bytes; None for one that has ended or has no memory of its own."""
    try:
        lines = (folder / "status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    peak = fields.get("VmHWM")
    return None if peak is None else (int(folder.name), int(fields["PPid"]), int(peak.split()[0]) * 1024)


def _show(seconds: dict[str, float], texts: dict[str, str], peak_bytes: int) -> None:
    print("| what | measured | target | met |")
    print("|---|--:|--:|---|")
    for name, took_s in seconds.items():
        print(f"| {name} | {took_s:.2f} s | {TARGETS[name]:g} s | {'yes' if took_s <= TARGETS[name] else 'no'} |")
    peak_gb = peak_bytes / GB
    print(f"| peak memory | {peak_gb:.2f} GB | {MEMORY_GB:g} GB | {'yes' if peak_gb <= MEMORY_GB else 'no'} |")
    for name, text in texts.items():
        print(f"\n{name}: {text}")


if __name__ == "__main__":
    main()
