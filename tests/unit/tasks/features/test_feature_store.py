"""Features are computed once, read back unchanged, and never take more memory than the budget."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medvlsam2.model.pixel_decoder.volume_sam2 import SliceFeatures
from medvlsam2.tasks.features.feature_store import (
    ENCODE_BATCH,
    KEPT_STORES,
    FeatureCache,
    FeatureStore,
    encode_batch,
)

ROW_BYTES = 2 * (8 * 4 + 2 * 16 + 1 * 64)
CPU = torch.device("cpu")


class Encoder:
    """Features that tell their slice, and a list of what was asked for."""

    def __init__(self, scan: int = 0) -> None:
        self.scan = scan
        self.batches: list[list[int]] = []

    def __call__(self, numbers: Sequence[int]) -> SliceFeatures:
        self.batches.append(list(numbers))
        value = torch.tensor([100.0 * self.scan + number for number in numbers]).view(-1, 1, 1, 1)
        shapes = ((8, 2, 2), (1, 8, 8), (2, 4, 4))
        return SliceFeatures(
            *(value + torch.arange(shape[0]).view(-1, 1, 1) / 8 + torch.zeros(shape) for shape in shapes)
        )


def store_of(cache: FeatureCache, encoder: Encoder, num_slices: int = 30) -> FeatureStore:
    return cache.store(encoder.scan, num_slices, encoder, CPU)


def assert_right(store: FeatureStore, encoder: Encoder, numbers: list[int]) -> None:
    found, wanted = store.select(torch.tensor(numbers)), Encoder(encoder.scan)(numbers)
    for one, other in zip(found.levels, wanted.levels, strict=True):
        assert torch.equal(one, other.bfloat16().float())


def test_the_first_slice_comes_alone_and_its_neighbours_next(tmp_path: Path) -> None:
    encoder = Encoder()
    store = store_of(FeatureCache(10**6, tmp_path), encoder)
    assert_right(store, encoder, [12])
    assert_right(store, encoder, [13])
    assert_right(store, encoder, [12, 13, 12])
    assert encoder.batches[0] == [12]
    assert len(encoder.batches) == 2
    assert 13 in encoder.batches[1]
    assert len(encoder.batches[1]) == ENCODE_BATCH
    assert set(encoder.batches[1]) <= set(range(8, 18))


def test_every_slice_is_made_once(tmp_path: Path) -> None:
    encoder = Encoder()
    store = store_of(FeatureCache(10**6, tmp_path), encoder)
    for number in (12, *range(13, 30), *range(11, -1, -1), *range(30)):
        assert_right(store, encoder, [number])
    assert sorted(number for batch in encoder.batches for number in batch) == list(range(30))


@pytest.mark.parametrize("rows", [0, 1, 7, 30])
def test_memory_keeps_to_its_budget(rows: int, tmp_path: Path) -> None:
    cache = FeatureCache(rows * ROW_BYTES, tmp_path)
    encoder = Encoder()
    store = store_of(cache, encoder)
    for number in (3, *range(30)):
        assert_right(store, encoder, [number])
        assert cache.used_bytes <= cache.budget_bytes
    assert cache.used_bytes == rows * ROW_BYTES
    assert cache.spilled_bytes == (30 - rows) * ROW_BYTES
    assert sum(len(batch) for batch in encoder.batches) == 30


def test_the_features_of_the_older_scan_are_dropped(tmp_path: Path) -> None:
    cache = FeatureCache(30 * ROW_BYTES, tmp_path)
    first, second = Encoder(1), Encoder(2)
    one, two = store_of(cache, first), store_of(cache, second)
    assert_right(one, first, list(range(30)))
    assert_right(two, second, list(range(10)))
    assert two.memory_bytes == 10 * ROW_BYTES
    assert cache.used_bytes <= cache.budget_bytes
    assert_right(one, first, list(range(30)))
    assert sum(len(batch) for batch in first.batches) == 30, "read back from disk, not made again"


def test_a_known_key_is_the_same_store_and_old_ones_are_forgotten(tmp_path: Path) -> None:
    cache = FeatureCache(0, tmp_path)
    stores = []
    for scan in range(KEPT_STORES + 2):
        encoder = Encoder(scan)
        stores.append(store_of(cache, encoder))
        assert_right(stores[-1], encoder, [0, 5])
    assert store_of(cache, Encoder(KEPT_STORES + 1)) is stores[-1]
    assert stores[0].known_slices == set()
    files = list(tmp_path.rglob("*.bin"))
    assert len(files) == KEPT_STORES
    cache.close()
    assert list(tmp_path.rglob("*.bin")) == []


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(0, 40),
    asked=st.lists(
        st.tuples(st.integers(0, 2), st.lists(st.integers(0, 19), min_size=1, max_size=12)), min_size=1, max_size=12
    ),
)
def test_whatever_is_asked_for_is_right(
    rows: int, asked: list[tuple[int, list[int]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    cache = FeatureCache(rows * ROW_BYTES, tmp_path_factory.mktemp("cache"))
    encoders = [Encoder(scan) for scan in range(3)]
    for scan, numbers in asked:
        assert_right(store_of(cache, encoders[scan], 20), encoders[scan], numbers)
        assert cache.used_bytes <= cache.budget_bytes
    for encoder in encoders:
        made = [number for batch in encoder.batches for number in batch]
        assert len(made) == len(set(made))
    cache.close()


@pytest.mark.parametrize(
    ("device", "side", "batch"), [("cpu", 192, 7), ("cpu", 512, 1), ("cpu", 1024, 1), ("cuda", 1024, 8)]
)
def test_a_cpu_encodes_few_large_slices_at_once(device: str, side: int, batch: int) -> None:
    assert encode_batch(torch.device(device), side) == batch


def test_memory_for_rows_is_as_large_as_the_budget_or_the_scan(tmp_path: Path) -> None:
    for budget_rows, num_slices, rows in ((5, 30, 5), (50, 30, 30)):
        encoder = Encoder()
        store = store_of(FeatureCache(budget_rows * ROW_BYTES, tmp_path), encoder, num_slices)
        assert_right(store, encoder, list(range(num_slices)))
        assert len(store._memory) == rows
        assert store.memory_bytes + store.spilled_bytes == num_slices * ROW_BYTES
