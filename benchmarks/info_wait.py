"""How long ``/info/`` takes to answer while the server infers.

    python benchmarks/info_wait.py --model model/medvlsam2-nano --shape 512 512 100

A server is started on a phantom. Each kind of request is sent once, unseen and then once more, while ``/info/`` is
asked again and again; its answers within that time are counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import requests

from medvlsam2.data.phantom import PhantomConfig, generate
from medvlsam2.data.volume_files import write_volume

ROOT: Final = Path(__file__).resolve().parents[1]
PAUSE_S: Final = 0.02
START_S: Final = 120
TARGET_S: Final = 0.2


def main() -> None:
    """Ask and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "model" / "medvlsam2-nano")
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 100), metavar=("I", "J", "K"))
    options = parser.parse_args()
    i, j, k = options.shape
    click = {"foreground": [[i // 2, j // 2, k // 2]], "background": [], "label": "liver"}
    asked: dict[str, dict[str, Any]] = {
        "medvlsam2_semantic": {"label": ["liver", "spleen", "aorta"]},
        "medvlsam2_interactive": click,
        "medvlsam2_report": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        studies = Path(folder) / "studies"
        studies.mkdir()
        phantom = generate(0, PhantomConfig(shape_ijk=(i, j, k), spacing_mm=(0.8, 0.8, 2.5), region="abdomen"))
        write_volume(studies / "phantom.nii.gz", phantom.volume)
        with serving(Path(folder), studies, options.model) as url:
            print("| request | s | answers of /info/ | median s | 95 % s | slowest s | over the target |")
            print("|---|--:|--:|--:|--:|--:|--:|")
            for task, params in asked.items():
                for when in ("unseen", "again"):
                    took_s, waits_s = waits_during(url, task, params)
                    row = (took_s, len(waits_s), *np.percentile(waits_s, (50, 95, 100)))
                    late = int((np.array(waits_s) > TARGET_S).sum())
                    print(
                        f"| {task}, {when} | {row[0]:.2f} | {row[1]} |", " | ".join(f"{s:.3f}" for s in row[2:]), end=""
                    )
                    print(f" | {late} |", flush=True)
    print(json.dumps({"device": platform.machine(), "cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d")}))


def waits_during(url: str, task: str, params: dict[str, Any]) -> tuple[float, list[float]]:
    """Seconds that a request took, and those of each answer of ``/info/`` that was asked for meanwhile."""
    replies: list[requests.Response] = []

    def infer() -> None:
        address = f"{url}/infer/{task}"
        query = {"image": "phantom", "output": "json"}
        replies.append(requests.post(address, params=query, data={"params": json.dumps(params)}, timeout=600))

    worker = threading.Thread(target=infer)
    waits_s = []
    started = time.perf_counter()
    worker.start()
    while worker.is_alive():
        asked = time.perf_counter()
        requests.get(f"{url}/info/", timeout=60).raise_for_status()
        waits_s.append(time.perf_counter() - asked)
        time.sleep(PAUSE_S)
    took_s = time.perf_counter() - started
    replies[0].raise_for_status()
    return took_s, waits_s


@contextmanager
def serving(folder: Path, studies: Path, model: Path) -> Iterator[str]:
    """A server in a process of its own; its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, str(ROOT / "apps" / "medvlsam2" / "serve.py"), "--studies", str(studies)]
    command += ["--model", str(model.resolve()), "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_until_it_answers(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline_s:
        try:
            requests.get(f"{url}/info/", timeout=5).raise_for_status()
            return
        except requests.ConnectionError:
            time.sleep(0.3)
    raise SystemExit("The server did not start.")


if __name__ == "__main__":
    main()
