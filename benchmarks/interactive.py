"""From click to mask: MedVL-SAM2 against MONAI Label's own SAM 2 task, on one scan with the same random weights.

    python benchmarks/interactive.py --slices 60 --peer-size 1024 --sizes 512 1024 -o interactive.json

Both sides run SAM 2.1-tiny on the same device in this process, one after the other. The first click comes on a scan
that neither side has seen, the second and tenth add clicks on the same slice, near the first as corrections are.
"shown" is when the mask of the clicked slice is there (the host has no such moment: its answer is the whole volume),
"done" when the volume is. MedVL-SAM2 propagates the mask in both directions, the host only forward, so the time of a
volume is also divided by the number of slices that the mask was propagated to. Objects do not end early here: with
random weights they would end at once. For the same reason much of what is found is small, and ours segments it in two
views (``--one-view`` leaves that out). Several objects lie far apart and are compared with the mean of each alone,
where the features of all are known; "unseen" is before, when those of the parts that they lie in are yet to be made.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import sam2
import torch

from medvlsam2.data.language import tokenizer as tokenizers
from medvlsam2.data.language.corpus import sentences
from medvlsam2.data.readers import read_volume
from medvlsam2.data.volume import CTVolume
from medvlsam2.data.volume_files import write_volume
from medvlsam2.model import builders, checkpoint
from medvlsam2.model.propagation import batch
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.masks import parts
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment

HOST_CONFIG = "sam2.1_hiera_t.yaml"
HOST_WEIGHTS = "sam2.1_hiera_tiny.pt"
CLICKS = 10
OBJECTS = 5
FIVE = f"{OBJECTS} objects"
ONE = "1 of them alone"
CORRECTED = 0.08
"""Share of a slice's side over which clicks on one object are spread …"""
APART = 0.4
"""… and clicks on several."""
SIZE = 512
"""Our input side, unless told otherwise."""


@dataclass(frozen=True)
class TimedClick:
    """What one request took."""

    side: str
    what: str
    shown_s: float | None
    """Until the clicked slice's mask was there; None where there is no such moment."""
    done_s: float
    slices: int
    """Slices that got a mask."""


def main() -> None:
    """Run both sides and print a table."""
    options = _options()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    looked = patch.object(parts, "SMALL_PX", 0) if options.one_view else nullcontext()
    clicks = range(1, CLICKS + 1) if options.every_click else (1, 2, CLICKS)
    with tempfile.TemporaryDirectory() as folder, without_early_end(), looked:
        scan = noise_scan(Path(folder), options.slices, options.side)
        rows = []
        for size in options.sizes:
            engine = Engine(model_folder(Path(folder), size), options.device, cuda_graphs=not options.no_cuda_graphs)
            rows += _ours(engine, scan, size, clicks)
            if size == options.sizes[0] and not options.no_objects:
                rows += _several(engine, scan, size)
            engine.features.close()
        if options.peer_size:
            rows += _host(Path(folder), scan, options.peer_size, options.device)
    record = {
        "run": {
            "slices": options.slices,
            "side": options.side,
            "device": _device_name(options.device),
            "threads": options.threads,
            "one_view": options.one_view,
            "cuda_graphs": options.device.startswith("cuda") and not options.no_cuda_graphs,
            "torch": torch.__version__,
            "date": time.strftime("%Y-%m-%d"),
            "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        },
        "rows": [asdict(row) for row in rows],
        "ratios": _ratios(rows, options),
        "p50_after_first_click": _medians(rows),
    }
    _print(record)
    if options.output is not None:
        options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _ours(engine: Engine, scan: Path, size: int, counts: Sequence[int]) -> list[TimedClick]:
    """One object with more and more clicks."""
    volume = read_volume(scan, "scan")
    clicks = _clicks(volume, CLICKS, CORRECTED)
    warm_up = CTVolume(volume.hu[:, :, :2].copy(), volume.affine, "warm-up")
    segment(engine, warm_up, [ObjectPrompt(points_ijk=((*clicks[0][:2], 0.0),), point_labels=(1,))])
    prompts = {n: ObjectPrompt(points_ijk=tuple(clicks[:n]), point_labels=(1,) * n) for n in counts}
    return [_asked(engine, volume, f"ours at {size}", f"click {n}", [prompt]) for n, prompt in prompts.items()]


def _several(engine: Engine, scan: Path, size: int) -> list[TimedClick]:
    """Several objects, together and each alone."""
    volume, side = read_volume(scan, "scan"), f"ours at {size}"
    several = [
        ObjectPrompt(points_ijk=(click,), point_labels=(1,), name=f"object {number}")
        for number, click in enumerate(_clicks(volume, OBJECTS, APART))
    ]
    unseen = _asked(engine, volume, side, f"{OBJECTS} objects, unseen", several)
    alone = _mean([_asked(engine, volume, side, ONE, [prompt]) for prompt in several])
    return [unseen, alone, _asked(engine, volume, side, FIVE, several)]


def _asked(engine: Engine, volume: CTVolume, side: str, what: str, prompts: list[ObjectPrompt]) -> TimedClick:
    return _timed(side, what, lambda shown: segment(engine, volume, prompts, shown=shown))


def _host(folder: Path, scan: Path, size: int, device: str) -> list[TimedClick]:
    """The host's task with the same weights from a file."""
    task = _host_task(folder, model_folder(folder, size), size)
    volume = read_volume(scan, "scan")
    clicks = _clicks(volume, CLICKS, CORRECTED)
    ahead = volume.shape_ijk[2] - int(clicks[0][2])
    rows = []
    for count in (1, 2):
        request = {
            "image": str(scan),
            "device": device,
            "foreground": [[int(index) for index in click] for click in clicks[:count]],
            "background": [],
            "roi": [],
        }
        started = time.perf_counter()
        task(request)
        rows.append(TimedClick(f"host at {size}", f"click {count}", None, time.perf_counter() - started, ahead))
    return rows


def _timed(side: str, what: str, run: Callable[[Callable[[int, int], None]], Any]) -> TimedClick:
    seen: list[float] = []
    started = time.perf_counter()
    run(lambda _, __: seen.append(time.perf_counter() - started))
    click = TimedClick(side, what, seen[0], time.perf_counter() - started, len(seen))
    print(f"{side}, {what}: {click.shown_s:.3f} s, {click.done_s:.2f} s", file=sys.stderr, flush=True)
    return click


def _mean(clicks: list[TimedClick]) -> TimedClick:
    shown_s = [click.shown_s for click in clicks if click.shown_s is not None]
    return replace(
        clicks[0], shown_s=float(np.mean(shown_s)), done_s=float(np.mean([click.done_s for click in clicks]))
    )


def model_folder(folder: Path, size: int) -> Path:
    """A model folder with SAM 2.1-tiny's architecture and random weights; the rest is as small as can be."""
    path = folder / f"sam2.1-tiny-{size}"
    if not path.exists():
        tokenizer_folder = folder / f"tokenizer-{size}"
        config = replace(builders.TINY_RANDOM, model_id=path.name, sam2=replace(builders.BASE.sam2, image_size=size))
        tokenizers.save(tokenizers.train_tokenizer(sentences(0, 300), config.language.vocab_size), tokenizer_folder)
        tokenizer = tokenizers.load(tokenizer_folder)
        model = builders.build(config, checkpoint.special_tokens(tokenizer), seed=0)
        checkpoint.save(path, model, tokenizer, {"structures": [], "version": "0"})
    return path


def _host_task(folder: Path, model_dir: Path, size: int) -> Any:
    from monailabel.config import settings

    host_dir = folder / "host"
    host_dir.mkdir()
    source = Path(sam2.__file__).parent / "configs" / "sam2.1" / HOST_CONFIG
    text = source.read_text(encoding="utf-8").replace("image_size: 1024", f"image_size: {size}")
    (host_dir / HOST_CONFIG).write_text(text, encoding="utf-8")
    loaded = checkpoint.load(model_dir)
    torch.save({"model": loaded.model.sam2.state_dict()}, host_dir / HOST_WEIGHTS)
    settings.MONAI_SAM_MODEL_PT = f"https://localhost/{HOST_WEIGHTS}"
    settings.MONAI_SAM_MODEL_CFG = f"https://localhost/{HOST_CONFIG}"
    settings.MONAI_LABEL_DATASTORE_CACHE_PATH = str(folder / "host-cache")
    from monailabel.sam2.infer import Sam2InferTask

    return Sam2InferTask(str(host_dir), dimension=3)


def noise_scan(folder: Path, slices: int, side: int) -> Path:
    """Smooth noise in soft-tissue HU: what is on the slices changes no time."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.normal(40, 60, (1, 1, 16, 16, max(2, slices // 8))).astype(np.float32))
    hu = torch.nn.functional.interpolate(coarse, size=(side, side, slices), mode="trilinear")[0, 0]
    path = folder / "scan.nii.gz"
    write_volume(path, CTVolume(hu.round().short().numpy(), np.diag([0.8, 0.8, 2.5, 1.0]), "scan"))
    return path


def _clicks(volume: CTVolume, count: int, within: float) -> list[tuple[float, float, float]]:
    """Clicks on the middle slice, in its middle, spread over a part of its sides."""
    i, j, k = volume.shape_ijk
    rng = np.random.default_rng(1)
    places = (0.5 + within * rng.uniform(-0.5, 0.5, (count, 2))) * np.array([i, j])
    return [(float(int(x)), float(int(y)), float(k // 2)) for x, y in places]


def _ratios(rows: list[TimedClick], options: argparse.Namespace) -> dict[str, float]:
    """Host : ours, where both were run."""
    found = {(row.side, row.what): row for row in rows}
    ratios = {}
    for size in options.sizes:
        for what in ("click 1", "click 2"):
            host, ours = found.get((f"host at {options.peer_size}", what)), found[f"ours at {size}", what]
            if host is None or ours.shown_s is None:
                continue
            ratios[f"{what}, clicked slice, at {size}"] = round(host.done_s / ours.shown_s, 1)
            per_slice = (host.done_s / host.slices) / (ours.done_s / ours.slices)
            ratios[f"{what}, whole volume per slice, at {size}"] = round(per_slice, 1)
        one, five = found.get((f"ours at {size}", ONE)), found.get((f"ours at {size}", FIVE))
        if one is not None and five is not None:
            ratios[f"{OBJECTS} objects : 1, at {size}"] = round(five.done_s / one.done_s, 2)
    return ratios


def _medians(rows: list[TimedClick]) -> dict[str, dict[str, float]]:
    """Seconds over the clicks after a side's first."""
    later: dict[str, list[TimedClick]] = {}
    for row in rows:
        if row.what.startswith("click ") and row.what != "click 1" and row.shown_s is not None:
            later.setdefault(row.side, []).append(row)
    return {
        side: {
            "clicks": len(clicks),
            "clicked_slice_s": round(float(np.median([click.shown_s for click in clicks if click.shown_s])), 4),
            "whole_volume_s": round(float(np.median([click.done_s for click in clicks])), 3),
        }
        for side, clicks in later.items()
    }


@contextmanager
def without_early_end() -> Iterator[None]:
    """Let propagation go to the ends of the volume."""
    with patch.object(batch, "PATIENCE_SLICES", 10**9):
        yield


def _print(record: dict[str, Any]) -> None:
    print(json.dumps(record["run"]))
    print("| side | what | clicked slice s | whole volume s | slices |\n|---|---|---|---|---|")
    for row in record["rows"]:
        shown = "" if row["shown_s"] is None else f"{row['shown_s']:.3f}"
        print(f"| {row['side']} | {row['what']} | {shown} | {row['done_s']:.2f} | {row['slices']} |")
    print("\n| ratio | |\n|---|---|")
    for name, value in record["ratios"].items():
        print(f"| {name} | {value} |")
    print(json.dumps({"p50_after_first_click": record["p50_after_first_click"]}))


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device.startswith("cuda") else f"{platform.processor() or 'CPU'}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=60)
    parser.add_argument("--side", type=int, default=512, help="voxels of the scan in plane")
    sizes_help = "our model's input sides; several objects at the first alone"
    parser.add_argument("--sizes", type=int, nargs="+", default=[SIZE], help=sizes_help)
    parser.add_argument("--peer-size", type=int, default=1024, help="the host's input side; 0 leaves the host out")
    parser.add_argument("--one-view", action="store_true", help="leave the nearer view out, to see what it costs")
    parser.add_argument("--every-click", action="store_true", help="ask after each click, not after 1, 2 and 10")
    parser.add_argument("--no-objects", action="store_true", help="leave several objects out")
    parser.add_argument("--no-cuda-graphs", action="store_true", help="run steps kernel by kernel on a GPU too")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("-o", "--output", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
