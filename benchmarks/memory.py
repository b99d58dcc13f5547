"""Peak memory of the engine for a click through scans of 60, 300 and 1,000 slices of 512×512.

    python benchmarks/memory.py --slices 60 300 1000 --cache-gb 0.5

Each scan is read from a file and clicked in a process of its own, with SAM 2.1-tiny's architecture at 512 pixels and
random weights. "scan" is what its voxels take as int16, "features" the most that slice features take in memory,
"spilled" what they take on disk at the end, "beyond" the peak without those in memory.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

import torch

from medvlsam2.data.readers import read_volume
from medvlsam2.model.propagation import batch
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment

GB = 1e9


def main() -> None:
    """Click through each scan in its own process, which imports the engine alone, and print the table."""
    from interactive import SIZE, model_folder, noise_scan

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, nargs="+", default=[60, 300, 1000])
    parser.add_argument("--side", type=int, default=512, help="voxels of the scan in plane")
    parser.add_argument("--cache-gb", type=float, default=0.5, help="budget of slice features")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = model_folder(Path(folder), SIZE)
        print("| slices | scan GB | peak GB | features GB | beyond GB | spilled GB |\n|--:|--:|--:|--:|--:|--:|")
        for slices in options.slices:
            scan = noise_scan(Path(folder), slices, options.side)
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                found = pool.submit(partial(_click, model, scan, options.cache_gb, options.threads)).result()
            peak, kept, spilled, voxels = (found[key] / GB for key in ("peak", "features", "spilled", "voxels"))
            row = (voxels, peak, kept, peak - kept, spilled)
            print(f"| {slices} |", " | ".join(f"{value:.2f}" for value in row), "|", flush=True)
            scan.unlink()
    print(json.dumps({"cache_gb": options.cache_gb, "torch": torch.__version__, "threads": options.threads}))


def _click(model: Path, scan: Path, cache_gb: float, threads: int) -> dict[str, int]:
    """Words and a click in the middle, through the whole volume; all figures in bytes."""
    torch.set_num_threads(threads)
    engine = Engine(model, cache_bytes=round(cache_gb * GB))
    volume = read_volume(scan, "scan")
    i, j, k = (float(size // 2) for size in volume.shape_ijk)
    features: list[int] = []
    with patch.object(batch, "PATIENCE_SLICES", 10**9):
        prompt = ObjectPrompt("liver", points_ijk=((i, j, k),), point_labels=(1,))
        segment(engine, volume, [prompt], shown=lambda *_: features.append(engine.features.used_bytes))
    features.append(engine.features.used_bytes)
    spilled = engine.features.spilled_bytes
    engine.features.close()
    return {"peak": _peak_bytes(), "features": max(features), "spilled": spilled, "voxels": volume.hu.nbytes}


def _peak_bytes() -> int:
    """Of this process alone: ``ru_maxrss`` has the peak of the one that started it, which made the scan."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
