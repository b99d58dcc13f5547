"""Steps of propagation as CUDA graphs.

On a GPU such a step consists of some hundred small kernels. The host needs longer to start them one by one than the GPU
needs to compute them. A graph starts all of them at once, with the same results.
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
"""Graphs that are kept: a click needs some twenty, and every other number of objects or clicks needs its own."""

Step = Callable[..., tuple[Tensor, ...]]


@runtime_checkable
class Runner(Protocol):
    """How a step is run."""

    def __call__(self, step: Step, *tensors: Tensor | None, **options: Hashable) -> tuple[Tensor, ...]:
        """Run it on tensors, all on one device."""


@runtime_checkable
class Recording(Protocol):
    """The methods of ``torch.cuda.CUDAGraph`` that are used here."""

    def capture_begin(self, *, pool: Any, capture_error_mode: str) -> None:
        """From now on, record kernels instead of running them."""

    def capture_end(self) -> None:
        """Stop recording."""

    def replay(self) -> None:
        """Run the recorded kernels."""


def run_plainly(step: Step, *tensors: Tensor | None, **options: Hashable) -> tuple[Tensor, ...]:
    """Run the step without a graph."""
    return step(*tensors, **options)


class CudaGraphs:
    """Runs each step as a CUDA graph, from the second call with the same shapes on.

    Steps must not wait for the device. They may depend only on their arguments and on weights whose memory does not
    move, so every model needs a runner of its own. Not for training, and for one thread at a time.

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
        """Capture a step; None where that is impossible: the step then runs without a graph, with equal results."""
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
    """Autocast without its cache, which is freed at the end of autocast: the graph casts the weights itself."""
    with torch.autocast(
        "cuda",
        dtype=torch.get_autocast_dtype("cuda"),
        enabled=torch.is_autocast_enabled("cuda"),
        cache_enabled=False,
    ):
        yield
