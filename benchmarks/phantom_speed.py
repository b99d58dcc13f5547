"""How fast phantoms are drawn: volumes a minute with some processes, and processor seconds for each volume.

    python benchmarks/phantom_speed.py --processes 2 --volumes 12

Processor seconds tell the cost of a volume also on a machine that is busy with something else.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from medvlsam2.data.phantom import PhantomConfig, generate


def main() -> None:
    """Draw the volumes and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--volumes", type=int, default=12)
    parser.add_argument("--shape", type=int, nargs=3, default=(256, 256, 128), metavar=("I", "J", "K"))
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    i, j, k = options.shape
    tasks = [(seed, (i, j, k)) for seed in range(options.volumes)]
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        list(pool.map(_draw, [(seed, (32, 32, 32)) for seed in range(options.processes)]))
        started = time.perf_counter()
        costs = list(pool.map(_draw, tasks))
        elapsed_s = time.perf_counter() - started
    by_region: dict[str, list[float]] = {}
    for region, seconds in costs:
        by_region.setdefault(region, []).append(seconds)
    seconds = sum(cost for _, cost in costs) / len(costs)
    result = {
        "shape_ijk": [i, j, k],
        "processes": options.processes,
        "volumes": len(costs),
        "volumes_per_minute": round(60.0 * len(costs) / elapsed_s, 1),
        "processor_s_per_volume": round(seconds, 2),
        "volumes_per_minute_of_free_processors": round(60.0 * options.processes / seconds, 1),
        "processor_s_by_region": {name: round(sum(s) / len(s), 2) for name, s in sorted(by_region.items())},
    }
    print(json.dumps(result, indent=1))


def _draw(task: tuple[int, tuple[int, int, int]]) -> tuple[str, float]:
    seed, shape_ijk = task
    started = time.process_time()
    drawn = generate(seed, PhantomConfig(shape_ijk=shape_ijk))
    return drawn.facts.region, time.process_time() - started


if __name__ == "__main__":
    main()
