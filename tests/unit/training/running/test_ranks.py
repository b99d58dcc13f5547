"""Processes that train together: mean of gradients, different samples of one kind, decisions by the first process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from medvlsam2.training.running.ranks import ALONE, joined, ranks_here


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*run, "--", str(Path(__file__).with_name("two_ranks.py")), str(folder)], check=True, timeout=120)
    return [torch.load(folder / f"found-{number}.pt") for number in range(2)]


def test_every_process_gets_the_mean_and_what_one_lacks_counts_as_zero(both):
    for found in both:
        one, other, none = found["gradients"]
        torch.testing.assert_close(one, torch.full((4,), 2.0))
        torch.testing.assert_close(other, torch.arange(54.0).view(2, 3, 3, 3) / 2)
        assert none is None


def test_a_gradient_has_the_layout_of_its_weights(both):
    """The fused optimiser of a GPU refuses others."""
    assert all(found["is_channels_last"] for found in both)


def test_the_first_process_decides_for_all(both):
    assert [found["first"] for found in both] == [7.0, 7.0]


def test_the_others_start_after_the_first(both):
    assert [found["seen"] for found in both] == [[], ["prepared-0"]]


def test_a_process_alone_keeps_its_gradients(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert ranks_here() == ALONE
    parameter, gradient = nn.Parameter(torch.zeros(2)), torch.tensor([1.0, 2.0])
    parameter.grad = gradient
    with joined() as ranks:
        ranks.mean_gradients([parameter])
        ranks.wait()
        assert ranks.first(3.0) == 3.0
    assert parameter.grad is gradient
