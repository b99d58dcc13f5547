"""How long each verb of the command line takes from its call until its work starts, on an idle machine.

    python benchmarks/start_up.py --times 5

"Its work starts" is the first call of the function that does what the verb is for (``WORK``): the scan is read and the
model's code is imported by then. The process reports that moment and ends there. For ``--help`` it is the end of the
process, for ``serve`` the moment at which the port answers. The first call of each verb fills the disk cache and is not
counted. Targets: 1 s for help, 5 s for the others, on two idle cores.
"""

from __future__ import annotations

import argparse
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCAN = ROOT / "apps" / "medvlsam2" / "demo" / "ct_abdomen.nii.gz"
WORK = {
    "segment": ("medvlsam2.tasks.segment", "segment", ["SCAN", "--prompt", "liver"]),
    "report": ("medvlsam2.tasks.converse", "report", ["SCAN"]),
    "ask": ("medvlsam2.tasks.converse", "answer", ["SCAN", "Is the liver visible?"]),
    "train": ("medvlsam2.training.train", "train", ["--run", "OUT/run", "--cache", "OUT/cache"]),
    "evaluate": ("medvlsam2.evaluation.run", "evaluate", ["-o", "OUT/evaluation"]),
    "export": ("medvlsam2.data.datasets.export", "export_nnunet", ["--studies", "OUT", "-o", "OUT/dataset"]),
    "manifest": ("medvlsam2.data.datasets.layouts", "scan_folder", ["OUT", "-o", "OUT/manifest.jsonl"]),
    "versions": ("medvlsam2.model.version_folders", "current_version", ["nano"]),
    "phantom": ("medvlsam2.data.phantom", "generate", ["-o", "OUT/phantom.nii.gz"]),
    "doctor": ("medvlsam2.data.phantom", "generate", []),
}
"""The function of each verb at which its work starts, and arguments."""
HELP, SERVE = "--help", "serve"
TARGET_S = {HELP: 1.0}
OTHER_TARGET_S = 5.0
BUSY_LOAD = 0.3
"""Load for each core from which other processes delay what is measured."""
PATIENCE_S = 300.0
REPORTER = """
import importlib.abc, importlib.machinery, os, sys, time

MODULE, NAME = sys.argv[1:3]
sys.argv = ["medvlsam2", *sys.argv[3:]]

def started(*_, **__):
    os.write(1, f"started {time.monotonic()}".encode())
    os._exit(0)

class Reporter(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        run = spec.loader.exec_module
        def run_and_mark(module):
            run(module)
            setattr(module, NAME, started)
        spec.loader.exec_module = run_and_mark
        return spec

sys.meta_path.insert(0, Reporter())
from medvlsam2.cli.process import command
command()
"""
"""Runs the command as it is installed, and ends it with the time at which a function is called first."""


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="calls of each verb that are counted")
    parser.add_argument("--verbs", nargs="+", choices=[HELP[2:], SERVE, *WORK], help="by default all")
    options = parser.parse_args()
    chosen = options.verbs or [HELP[2:], *WORK, SERVE]
    print(_machine())
    if os.getloadavg()[0] > BUSY_LOAD * (os.cpu_count() or 1):
        print(f"The machine is busy (load {os.getloadavg()[0]:.1f}): these figures are not to be reported.")
    print("\n| verb | n | median s | longest s | target s | |\n|---|--:|--:|--:|--:|---|")
    for verb in chosen:
        _tell(HELP if verb == HELP[2:] else verb, options.times)


def _tell(verb: str, times: int) -> None:
    measured = [_seconds(verb) for _ in range(1 + times)][1:]
    target_s = TARGET_S.get(verb, OTHER_TARGET_S)
    median_s = statistics.median(measured)
    verdict = "ok" if median_s <= target_s else "LATE"
    print(f"| {verb} | {times} | {median_s:.2f} | {max(measured):.2f} | {target_s:.0f} | {verdict} |", flush=True)


def _seconds(verb: str) -> float:
    if verb == HELP:
        start_s = time.monotonic()
        subprocess.run([sys.executable, "-m", "medvlsam2.cli", HELP], check=True, stdout=subprocess.DEVNULL)
        return time.monotonic() - start_s
    with tempfile.TemporaryDirectory() as folder:
        return _until_it_listens(Path(folder)) if verb == SERVE else _until_it_works(verb, Path(folder))


def _until_it_works(verb: str, folder: Path) -> float:
    module, function, arguments = WORK[verb]
    words = [word.replace("SCAN", str(SCAN)).replace("OUT", str(folder)) for word in arguments]
    start_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", REPORTER, module, function, verb, *words],
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_S,
        check=False,
    )
    _, has_started, said = done.stdout.rpartition("started ")
    if done.returncode != 0 or not has_started:
        raise SystemExit(f"'{verb}' did not come to {module}.{function}: {done.stdout}{done.stderr}")
    return float(said) - start_s


def _until_it_listens(folder: Path) -> float:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    studies = folder / "studies"
    studies.mkdir()
    (studies / SCAN.name).symlink_to(SCAN)
    command = [sys.executable, "-m", "medvlsam2.cli", SERVE, "--studies", str(studies), "--port", str(port)]
    environment = {**os.environ, "MEDVLSAM2_LOGS": str(folder / "logs")}
    start_s = time.monotonic()
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not _listens(port):
            if server.poll() is not None or time.monotonic() - start_s > PATIENCE_S:
                raise SystemExit(f"'{SERVE}' did not come to listen; its exit code is {server.poll()}.")
            time.sleep(0.02)
        return time.monotonic() - start_s
    finally:
        server.terminate()
        server.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _machine() -> str:
    names = _lines_of(Path("/proc/cpuinfo"), "model name")
    processor = names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()
    today = datetime.now(UTC).date().isoformat()
    return f"{processor}, {os.cpu_count()} cores · Python {platform.python_version()} · {today}"


def _lines_of(path: Path, start: str) -> Sequence[str]:
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [line for line in text.splitlines() if line.startswith(start)]


if __name__ == "__main__":
    main()
