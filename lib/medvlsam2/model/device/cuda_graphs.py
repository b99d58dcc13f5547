"""Steps of propagation as CUDA graphs.

On a GPU such a step is some hundred small kernels, which the host starts slower than the GPU computes them. A graph
starts all of them at once, with the result that each alone would have.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

import torch
from cachetools import LRUCache
from torch import Tensor

logger = logging.getLogger(__name__)

KEPT_GRAPHS: Final = 128
"""Graphs that are kept; a click needs some twenty, of other shapes for other numbers of objects or clicks."""

Step = Callable[..., tuple[Tensor, ...]]


@runtime_checkable
class Runner(Protocol):
    """How a step is run."""

    def __call__(self, step: Step, *tensors: Tensor | None, **options: Hashable) -> tuple[Tensor, ...]:
        """Run it on tensors, all on one device."""


@runtime_checkable
class Recording(Protocol):
    """What is used of ``torch.cuda.CUDAGraph``."""

    def capture_begin(self, *, pool: Any, capture_error_mode: str) -> None:
        """Record what is started from now on in place of running it."""

    def capture_end(self) -> None:
        """Stop that."""

    def replay(self) -> None:
        """Run what was recorded."""


def run_plainly(step: Step, *tensors: Tensor | None, **options: Hashable) -> tuple[Tensor, ...]:
    """Kernel by kernel."""
    return step(*tensors, **options)


class CudaGraphs:
    """Runs each step as a CUDA graph from the second time on that it comes with the same shapes.

    Steps must not wait for the device, and must depend on their arguments and on weights that stay where they are:
    another model needs another runner. Not for training. One thread at a time.

    Args:
        device: the GPU of all tensors.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._graphs: LRUCache[Hashable, _Graph | None] = LRUCache(KEPT_GRAPHS)
        self._seen: set[Hashable] = set()
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream(device)

    def __call__(self, step: Step, *tensors: Tensor | None, **options: Hashable) -> tuple[Tensor, ...]:
        """Run a step."""
        key = (step.__name__, torch.is_autocast_enabled("cuda"), *map(_form, tensors), *sorted(options.items()))
        if key not in self._seen:
            self._seen.add(key)
            return step(*tensors, **options)
        if key not in self._graphs:
            self._graphs[key] = self._captured(step, tensors, options)
        graph = self._graphs[key]
        return step(*tensors, **options) if graph is None else graph.replay(tensors)

    def _captured(self, step: Step, tensors: Sequence[Tensor | None], options: dict[str, Hashable]) -> _Graph | None:
        """None where a step cannot be captured; it is run plainly then, which is slower and gives the same."""
        inputs = [None if tensor is None else tensor.clone() for tensor in tensors]
        graph = torch.cuda.CUDAGraph()
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        try:
            with torch.cuda.stream(self._stream), _own_casts(), self._capture(graph):
                outputs = step(*inputs, **options)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            logger.warning("'%s' cannot be captured as a CUDA graph and is run without one", step.__name__)
            return None
        torch.cuda.current_stream(self._device).wait_stream(self._stream)
        return _Graph(graph, [tensor for tensor in inputs if tensor is not None], outputs)

    @contextmanager
    def _capture(self, graph: Recording) -> Iterator[None]:
        """Capture without ``torch.cuda.graph``'s collection of garbage and emptied cache, which take long."""
        graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
        try:
            yield
        except BaseException:
            with suppress(RuntimeError):
                graph.capture_end()
            raise
        graph.capture_end()


@dataclass(frozen=True)
class _Graph:
    """A captured step, with the memory that it reads and writes."""

    graph: Recording
    inputs: list[Tensor]
    outputs: tuple[Tensor, ...]

    def replay(self, tensors: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
        """The step's result on other tensors of the same shapes."""
        torch._foreach_copy_(self.inputs, [tensor for tensor in tensors if tensor is not None])
        self.graph.replay()
        return tuple(output.clone() for output in self.outputs)


def _form(tensor: Tensor | None) -> Hashable:
    return None if tensor is None else (tensor.shape, tensor.dtype)


@contextmanager
def _own_casts() -> Iterator[None]:
    """Weights are cast within the graph: what autocast has cast before is freed when it ends."""
    with torch.autocast(
        "cuda",
        dtype=torch.get_autocast_dtype("cuda"),
        enabled=torch.is_autocast_enabled("cuda"),
        cache_enabled=False,
    ):
        yield
