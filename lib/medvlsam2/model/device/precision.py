"""bfloat16 on hardware that computes in it, within blocks of code; full precision elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

BLOCK_SCORES: Final = 2**21
"""Attention scores that a processor computes at once: 4 MiB in bfloat16."""


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device's hardware computes in bfloat16; a processor without AVX-512 BF16 only imitates it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def settle(device: torch.device) -> None:
    """Set, once per process, PyTorch's options that make this model fast on a GPU.

    cuDNN's attention makes a plan for each new shape, which takes far longer than the attention itself, and the number
    of prompts changes all the time. TF32 is precise enough for the parts that are not computed in bfloat16.
    """
    if device.type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)
        torch.set_float32_matmul_precision("high")


@contextmanager
def autocast(device: torch.device) -> Iterator[None]:
    """Compute in bfloat16 where the device has it; within another autocast, keep that one and its cast weights."""
    if not has_bfloat16(device) or torch.is_autocast_enabled(device.type):
        yield
        return
    attention = PlainAttention() if device.type == "cpu" else nullcontext()
    with torch.autocast(device.type, dtype=torch.bfloat16), attention:
        yield


def keep_as_cast(module: nn.Module, device: torch.device) -> None:
    """Keep the weights of linear layers and convolutions in bfloat16, so that :func:`autocast` need not cast them.

    The results are the same. The module then runs only within autocast, and cannot be trained.
    """
    if has_bfloat16(device):
        for part in module.modules():
            if isinstance(part, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                part.to(torch.bfloat16)


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Switch autocast off, for small sums that need all digits."""
    return torch.autocast(device.type, enabled=False)


class PlainAttention(TorchFunctionMode):
    """Attention of bfloat16 tensors as two products in bfloat16; PyTorch computes it in float32 on most processors."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Replace attention that has no mask or other option; leave every other function as it is."""
        options = kwargs or {}
        if func is F.scaled_dot_product_attention and _is_plain(args, options):
            return _attention(*args)
        return func(*args, **options)


def _is_plain(args: Sequence[Any], options: Mapping[str, Any]) -> bool:
    is_half = len(args) == 3 and all(part.dtype == torch.bfloat16 for part in args)
    return is_half and not any(isinstance(value, Tensor) or value for value in options.values())


def _attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention block by block, so that the scores of a block are still in the cache when they are used."""
    rows = max(1, BLOCK_SCORES // key.shape[-2])
    if query.shape[:-1].numel() <= rows:
        return _products(query, key, value)
    if query.shape[-2] <= rows:
        items = rows // query.shape[-2]
        parts = zip(*(part.flatten(0, -3).split(items) for part in (query, key, value)), strict=True)
        attended = [_products(*part) for part in parts]
    else:
        parts = zip(*(part.flatten(0, -3) for part in (query, key, value)), strict=True)
        attended = [_products(some, keys, values) for queries, keys, values in parts for some in queries.split(rows)]
    return torch.cat(attended).reshape(*query.shape[:-1], value.shape[-1])


def _products(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    return torch.softmax(scores, dim=-1, dtype=scores.dtype) @ value
