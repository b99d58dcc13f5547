"""The arithmetic floor of a click: operations per slice against what the processor does in a second.

    python benchmarks/floor.py --preset base

Counts the floating-point operations of encoding one slice and of propagating one object to one slice (memory
attention, mask decoder, memory encoder), times both as the engine runs them, in bfloat16 where the processor has it,
and compares them with a large matrix product in the same precision on the same threads. "floor" is what the operations
would take at the matrix product's speed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from interactive import without_early_end
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from medvlsam2.model import builders
from medvlsam2.model.device.precision import autocast, has_bfloat16
from medvlsam2.model.pixel_decoder.build import build_sam2
from medvlsam2.model.pixel_decoder.volume_sam2 import SliceFeatures
from medvlsam2.model.propagation.object_query import ObjectQuery, SlicePrompt
from medvlsam2.model.propagation.propagate import segment_objects

MATRIX = 2048
REPEATS = 5
SLICES = 9
"""Slices of the clip; the click is on the first."""


@torch.no_grad()
@without_early_end()
@autocast(torch.device("cpu"))
def main() -> None:
    """Count, time and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=sorted(builders.PRESETS), default="nano")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    config = builders.preset(options.preset).sam2
    sam2 = build_sam2(config).eval().requires_grad_(requires_grad=False)
    sam2.image_encoder.to(memory_format=torch.channels_last)
    side = config.image_size
    left, right = torch.randn(MATRIX, MATRIX), torch.randn(MATRIX, MATRIX)
    speed = 2 * MATRIX**3 / _seconds(lambda: left @ right)
    slices = torch.randn(SLICES, 3, side, side)
    encoded = sam2.encode_slices(slices)
    features = SliceFeatures(**{name: level.float() for name, level in vars(encoded).items()})
    box = (side / 4, side / 4, side / 2, side / 2)
    click = SlicePrompt(((side / 3, side / 3),), (1,))

    def propagate(last: int) -> Callable[[], object]:
        query = ObjectQuery(prompts={0: click}, box_xyxy=box, last_slice=last)
        return lambda: segment_objects(sam2, features, [query])

    one, several = propagate(1), propagate(SLICES - 1)
    more = SLICES - 2
    rows = {
        "encode one slice": (
            _operations(lambda: sam2.encode_slices(slices)) / SLICES,
            _seconds(lambda: sam2.encode_slices(slices)) / SLICES,
        ),
        "propagate one object to one slice": (
            (_operations(several) - _operations(one)) / more,
            (_seconds(several) - _seconds(one)) / more,
        ),
    }
    half = "bfloat16" if has_bfloat16(torch.device("cpu")) else "full precision"
    print(f"{options.preset} at {side}, {half}, {options.threads} threads, matrix product {speed / 1e9:.0f} GFLOP/s")
    print("| what | GFLOP | floor s | measured s | of the floor |\n|---|--:|--:|--:|--:|")
    for what, (operations, seconds) in rows.items():
        floor = operations / speed
        print(f"| {what} | {operations / 1e9:.2f} | {floor:.4f} | {seconds:.4f} | {seconds / floor:.1f} × |")


def _operations(run: Callable[[], object]) -> int:
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # the fused kernel counts nothing
        run()
    return counter.get_total_flops()


def _seconds(run: Callable[[], object]) -> float:
    """The best of some times, after one that does not count."""
    run()
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


if __name__ == "__main__":
    main()
