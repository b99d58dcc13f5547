"""Work in parts as large as the device's memory allows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

import torch

from medvlsam2.errors import DeviceFull

logger = logging.getLogger(__name__)

FULL: Final = (
    "The device's memory does not suffice for one slice or object. End other programs that use it, or start with a "
    "smaller model or on the CPU (--conf device cpu)."
)
Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parts(run: Callable[[Sequence[Item]], Result], items: Sequence[Item], size: int) -> list[Result]:
    """Run on parts of the items; a part that does not fit into the device's memory is run as two halves.

    Args:
        run: works on some items; it is called again with fewer where the memory was too small.
        items: all of them.
        size: items of a part.

    Raises:
        DeviceFull: if the memory does not suffice for one item.
    """
    found: list[Result] = []
    for part in batches(items, size):
        try:
            found.append(run(part))
            continue
        except (torch.OutOfMemoryError, DeviceFull):
            pass
        # Outside of the handler: its traceback would keep the tensors of the failed run alive.
        _free_memory()
        if len(part) == 1:
            raise DeviceFull(FULL)
        half = (len(part) + 1) // 2
        logger.warning("out of memory with %d at once; going on with %d", len(part), half)
        found += in_parts(run, part, half)
    return found


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Parts of at most ``size`` items."""
    return (items[start : start + size] for start in range(0, len(items), size))


@contextmanager
def share_of_free(device: torch.device, share: float) -> Iterator[None]:
    """Within this block the process takes, of a GPU's memory that is free now, a share at most; of a CPU's no limit.

    What goes beyond is refused as if the GPU were full, while other processes still find the rest.

    Args:
        device: where this process computes.
        share: 0..1, on top of what this process has already.
    """
    if device.type != "cuda":
        yield
        return
    free_bytes, total_bytes = torch.cuda.mem_get_info(device)
    allowed_bytes = torch.cuda.memory_reserved(device) + share * free_bytes
    torch.cuda.set_per_process_memory_fraction(allowed_bytes / total_bytes, device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


@contextmanager
def enough_memory() -> Iterator[None]:
    """Replace PyTorch's error about memory by one that says what to do.

    Raises:
        DeviceFull: in place of PyTorch's error.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        _free_memory()
        raise DeviceFull(FULL) from error


def _free_memory() -> None:
    """Give back what PyTorch's allocator keeps for later."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
