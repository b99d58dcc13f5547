"""From click or words to mask with a real model, after warm-up, on the organs of one phantom.

    python benchmarks/latency.py --model model/medvlsam2-nano --shape 512 512 100

Every organ of the phantom that is large enough is clicked once in its middle, then once more beside it; the first
round of all clicks warms up and is not counted. "shown" is when the mask of the clicked slice is there, "done" when
the volume is, on the scan's own grid. Then all these organs are asked for by name, in one request, the same way.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import torch

from medvlsam2.data.phantom import Phantom, PhantomConfig, generate
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment

MIN_VOXELS = 2000
NAMED_TIMES = 5
"""Requests by name that are counted."""


def main() -> None:
    """Click, ask by name, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("model/medvlsam2-nano"))
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 100), metavar=("I", "J", "K"))
    parser.add_argument("--objects", type=int, default=10)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    i, j, k = options.shape
    phantom = generate(0, PhantomConfig(shape_ijk=(i, j, k), spacing_mm=(0.8, 0.8, 2.5), region="abdomen"))
    engine = Engine(options.model, options.device)
    prompts = _prompts(phantom, options.objects)
    for prompt in prompts:
        _click(engine, phantom, prompt)
    clicks = [_click(engine, phantom, prompt) for prompt in prompts]
    names = [ObjectPrompt(name) for name in dict.fromkeys(prompt.name for prompt in prompts)]
    named = [segment(engine, phantom.volume, names).latencies_s["total"] for _ in range(1 + NAMED_TIMES)]
    times = np.array([(shown_s, done["total"]) for shown_s, done in clicks])
    shown, done = np.median(times, axis=0)
    laps = {lap: round(float(np.median([done[lap] for _, done in clicks])), 3) for lap in clicks[0][1]}
    print(
        json.dumps(
            {
                "model": engine.model_id,
                "shape_ijk": [i, j, k],
                "clicks": len(prompts),
                "shown_s_p50": round(float(shown), 3),
                "done_s_p50": round(float(done), 2),
                "done_s_max": round(float(times[:, 1].max()), 2),
                "laps_s_p50": laps,
                "names": len(names),
                "named_done_s_p50": round(float(np.median(named[1:])), 2),
                "device": torch.cuda.get_device_name() if engine.device.startswith("cuda") else platform.machine(),
                "threads": options.threads,
                "torch": torch.__version__,
                "date": time.strftime("%Y-%m-%d"),
            },
            indent=1,
        )
    )


def _prompts(phantom: Phantom, count: int) -> list[ObjectPrompt]:
    """One click in the middle of each organ, and the same with one more beside it."""
    prompts = []
    for value, name in sorted(phantom.labels.items()):
        voxels = np.argwhere(phantom.label_map == value)
        if len(voxels) < MIN_VOXELS:
            continue
        inside = voxels[np.linalg.norm(voxels - voxels.mean(axis=0), axis=1).argmin()]
        beside = voxels.max(axis=0) * (1, 1, 0) + inside * (0, 0, 1)
        on, off = ((float(i), float(j), float(k)) for i, j, k in (inside, beside))
        prompts.append(ObjectPrompt(points_ijk=(on,), point_labels=(1,), name=name))
        prompts.append(ObjectPrompt(points_ijk=(on, off), point_labels=(1, 0), name=name))
        if len(prompts) >= 2 * count:
            break
    return prompts


def _click(engine: Engine, phantom: Phantom, prompt: ObjectPrompt) -> tuple[float, dict[str, float]]:
    """Seconds until the clicked slice was there, and of each part of the request."""
    seen: list[float] = []
    started = time.perf_counter()
    done = segment(engine, phantom.volume, [prompt], shown=lambda *_: seen.append(time.perf_counter() - started))
    return seen[0], done.latencies_s


if __name__ == "__main__":
    main()
