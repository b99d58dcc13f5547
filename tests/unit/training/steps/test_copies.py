"""Lists that occur twice: the second list repeats the first, and only the second list is trained."""

from __future__ import annotations

import numpy as np
import torch

from medvlsam2.data.language.repeats import NUM_ITEMS, repeated_list
from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.training.config import TrainConfig
from medvlsam2.training.steps.base import Source
from medvlsam2.training.steps.text import CopyStep


def items(line: str) -> list[str]:
    assert line.endswith(".\n")
    return line[:-2].split("; ")


def test_the_second_list_has_the_items_of_the_first() -> None:
    pairs = [repeated_list(np.random.default_rng(seed)) for seed in range(60)]
    assert all(sorted(items(first)) == sorted(items(again)) for first, again in pairs)
    assert all(NUM_ITEMS[0] <= len(items(first)) <= NUM_ITEMS[1] for first, _ in pairs)
    same = sum(first == again for first, again in pairs)
    assert 60 > same > 30, "mostly in the same order"
    assert len({first for first, _ in pairs}) == 60


def test_only_the_second_list_is_learnt(tiny_loaded: LoadedModel) -> None:
    source = Source(tiny_loaded.tokenizer, [], TrainConfig(texts_per_step=4), tiny_loaded.config.sam2, 1024)
    copies = CopyStep.draw(source, np.random.default_rng(0))
    assert copies.num_samples == len(copies.starts) == 4
    model = tiny_loaded.model
    with torch.no_grad():
        whole, second = (
            [model.language(row[None], torch.ones_like(row)[None], None, labels[None]).loss for row, labels in rows]
            for rows in (
                [(row, row) for row in copies.rows],
                [
                    (row, torch.where(torch.arange(len(row)) < start, -100, row))
                    for row, start in zip(copies.rows, copies.starts, strict=True)
                ],
            )
        )
        loss = copies.run(model, tiny_loaded.tokenizer, np.random.default_rng(0)).loss
    counts = torch.tensor([len(row) - start for row, start in zip(copies.rows, copies.starts, strict=True)])
    expected = (torch.stack(second) * counts).sum() / counts.sum()
    assert torch.allclose(loss, expected, rtol=1e-4)
    assert not torch.allclose(loss, torch.stack(whole).mean(), rtol=1e-4)
