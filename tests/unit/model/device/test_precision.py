"""Half precision applies only inside its context, and attention in half precision gives the right values."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from medvlsam2.model.device import precision
from medvlsam2.model.device.precision import PlainAttention, autocast, has_bfloat16

CPU = torch.device("cpu")


@pytest.fixture(params=[True, False], ids=["with", "without"])
def half(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Processors with bfloat16 and without; both compute in it, at some speed."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": request.param})
    return bool(request.param)


def test_products_are_in_half_precision_inside_alone(half: bool) -> None:
    ones = torch.ones(2, 2)
    with autocast(CPU):
        assert (ones @ ones).dtype == (torch.bfloat16 if half else torch.float32)
    assert has_bfloat16(CPU) == half
    assert (ones @ ones).dtype == torch.float32


@pytest.mark.parametrize("half", [True], indirect=True)
def test_weights_are_cast_once_in_a_request(half: bool) -> None:
    """A second turn within the same context finds the weights of the first, even if somebody changes them."""
    layer = torch.nn.Linear(4, 4)
    given = torch.randn(2, 4)

    def turn() -> torch.Tensor:
        with torch.no_grad(), autocast(CPU):
            return layer(given)

    with autocast(CPU):
        first = turn()
        torch.nn.init.zeros_(layer.weight)
        assert torch.equal(turn(), first)
    assert not torch.equal(turn(), first)


def test_weights_kept_as_cast_give_the_same(half: bool) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.ConvTranspose2d(8, 4, 2), torch.nn.LayerNorm(6), torch.nn.Linear(6, 5)
    )
    given = torch.randn(1, 3, 7, 7)

    def answer() -> torch.Tensor:
        with torch.no_grad(), autocast(CPU):
            return network(given)

    wanted = answer()
    precision.keep_as_cast(network, CPU)
    assert torch.equal(answer(), wanted)
    dtypes = [part.weight.dtype for part in network]
    short = torch.bfloat16 if half else torch.float32
    assert dtypes == [short, short, torch.float32, short]


def test_other_devices_have_no_half_precision() -> None:
    assert not has_bfloat16(torch.device("meta"))


@pytest.mark.parametrize("half", [True], indirect=True)
@pytest.mark.parametrize("block", [precision.BLOCK_SCORES, 300, 30])
@pytest.mark.parametrize("shape", [(1, 1, 40, 16), (2, 4, 9, 8)])
def test_attention_in_half_precision_gives_the_right_values(
    half: bool, shape: tuple[int, ...], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(precision, "BLOCK_SCORES", block)
    query = torch.randn(shape)
    key, value = (torch.randn(*shape[:2], shape[2] + 5, shape[3]) for _ in range(2))
    wanted = F.scaled_dot_product_attention(query, key, value)
    calls = []
    attention = precision._attention
    monkeypatch.setattr(precision, "_attention", lambda *args: calls.append(args) or attention(*args))
    halves = [part.bfloat16() for part in (query, key, value)]
    with autocast(CPU):
        found = F.scaled_dot_product_attention(*halves, dropout_p=0.0)
    assert len(calls) == 1
    torch.testing.assert_close(found.float(), wanted, atol=0.03, rtol=0.0)


@pytest.mark.parametrize("half", [True], indirect=True)
def test_an_attention_mask_and_full_precision_are_respected(half: bool) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 1, 6, 8) for _ in range(3))
    causal = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    lower = torch.ones(6, 6).tril().bool()
    halves = [part.bfloat16() for part in (query, key, value)]
    with autocast(CPU):
        by_flag = F.scaled_dot_product_attention(*halves, is_causal=True)
        by_mask = F.scaled_dot_product_attention(*halves, attn_mask=lower)
    for found in (by_flag, by_mask):
        torch.testing.assert_close(found.float(), causal, atol=0.03, rtol=0.0)


def test_attention_passes_gradients() -> None:
    torch.manual_seed(0)
    parts = [torch.randn(1, 2, 12, 8, requires_grad=True) for _ in range(3)]
    F.scaled_dot_product_attention(*parts).square().sum().backward()
    wanted = [part.grad for part in parts]
    halves = [part.detach().bfloat16().requires_grad_() for part in parts]
    with PlainAttention():
        F.scaled_dot_product_attention(*halves, dropout_p=0.0).square().sum().backward()
    for half_part, gradient in zip(halves, wanted, strict=True):
        assert half_part.grad is not None
        assert gradient is not None
        torch.testing.assert_close(half_part.grad.float(), gradient, atol=0.05, rtol=0.05)
