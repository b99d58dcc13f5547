"""Words against pixels: one pair at a time and all at once give the same maps."""

from __future__ import annotations

import torch

from medvlsam2.model.pixel_decoder.text_similarity import (
    _SHARES,
    EVIDENCE_PIXELS,
    TextSimilarity,
    evidence,
)

DIM = 32


def levels(slices: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(slices)
    return (
        torch.randn(slices, DIM, 4, 4),
        torch.randn(slices, DIM // 4, 8, 8),
        torch.randn(slices, DIM // 8, 16, 16),
    )


@torch.no_grad()
def test_all_pairs_at_once_give_the_maps_of_each_pair() -> None:
    similarity, tokens, pyramid = TextSimilarity(DIM), torch.randn(3, DIM), levels(2)
    maps = similarity.of_all(tokens, pyramid)
    assert maps.shape == (2, 3, 16, 16)
    for n in range(2):
        part = (pyramid[0][n : n + 1], pyramid[1][n : n + 1], pyramid[2][n : n + 1])
        for k in range(3):
            torch.testing.assert_close(similarity(tokens[k : k + 1], part)[0, 0], maps[n, k])


@torch.no_grad()
def test_every_resolution_counts() -> None:
    similarity, token, pyramid = TextSimilarity(DIM), torch.randn(1, DIM), levels(1)
    before = similarity(token, pyramid)
    for number in range(3):
        changed = [level.clone() for level in pyramid]
        changed[number][..., 0, 0] += 3.0
        difference = (similarity(token, (changed[0], changed[1], changed[2])) - before).abs()
        assert float(difference[..., 0, 0]) > 0.01
        assert float(difference[..., -1, -1]) < 1e-5


def test_evidence_is_of_the_most_similar_pixels() -> None:
    maps = torch.zeros(2, 1, 16, 16)
    maps[0, 0, 3, :EVIDENCE_PIXELS] = 4.0
    maps[1] = -2.0
    torch.testing.assert_close(evidence(maps), torch.tensor([[4.0], [-2.0]]))


@torch.no_grad()
def test_the_decoder_has_its_fitted_weight() -> None:
    similarity = TextSimilarity(DIM)
    decoded, maps = torch.randn(2, 3, 16, 16), torch.randn(2, 1, 16, 16)
    for pointing in _SHARES:
        assert torch.equal(similarity.combine(decoded, maps, pointing=pointing), decoded + maps)
    similarity.calibrate((0.25, -2.0), pointed=False)
    torch.testing.assert_close(similarity.combine(decoded, maps, pointing="words"), 0.25 * decoded + maps - 2.0)
    torch.testing.assert_close(similarity.combine(decoded, maps, pointing="box"), decoded + maps)
    torch.testing.assert_close(similarity.combine(decoded, maps, pointing="clicks"), 0.625 * decoded + maps - 1.0)
    similarity.forget_calibration()
    assert torch.equal(similarity.combine(decoded, maps, pointing="words"), decoded + maps)
