"""Visual tokens of a click or a box depend on the pixels under the prompt, and on no others."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from medvlsam2.model.pixel_decoder.drawn_prompts import draw_prompts
from medvlsam2.model.pixel_decoder.visual_token import VisualToken

DIM, IMAGE, MASK = 32, 64, 32
BOX = ([(15.5, 15.5), (31.5, 31.5)], [2, 3])


@pytest.fixture
def token() -> VisualToken:
    torch.manual_seed(0)
    return VisualToken(DIM).eval()


def features(seed: int, *, inside: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Random features at three resolutions; within the box of ``BOX`` they may be others."""
    generator = torch.Generator().manual_seed(seed)
    levels = []
    for channels, side in ((DIM, 8), (DIM // 4, 16), (DIM // 8, 32)):
        level = torch.randn(1, channels, side, side, generator=generator)
        if inside is not None:
            first, last = side // 4, side // 2
            level[:, :, first:last, first:last] = inside[:channels].view(1, -1, 1, 1)
        levels.append(level)
    return levels[0], levels[1], levels[2]


def drawn(points: list[tuple[float, float]], labels: list[int]) -> Tensor:
    return draw_prompts(torch.tensor([points]), torch.tensor([labels]), image_size=IMAGE, mask_size=MASK)


@torch.no_grad()
@pytest.mark.parametrize("prompt", [BOX, ([(23.5, 23.5)], [1])], ids=["box", "click"])
def test_pixels_under_the_prompt_change_the_token(token: VisualToken, prompt: tuple[list, list]) -> None:
    one, other = torch.randn(DIM), torch.randn(DIM)
    same = token(features(1, inside=one), drawn(*prompt))
    changed = token(features(1, inside=other), drawn(*prompt))
    assert (same - changed).norm() > 0.3 * same.norm()


@torch.no_grad()
def test_a_click_sees_little_of_what_is_far_away(token: VisualToken) -> None:
    levels = features(1)
    channels = sum(level.shape[1] for level in levels)
    token.projection[0].weight[:, channels:] = 0.0  # the half that sees what is not clicked
    click = drawn([(23.5, 23.5)], [1])
    before = token(levels, click)

    def change(column: int) -> float:
        moved = tuple(level.clone() for level in levels)
        for level in moved:
            level[:, :, column * level.shape[-2] // MASK, column * level.shape[-1] // MASK] += 5.0
        return float((token((moved[0], moved[1], moved[2]), click) - before).norm())

    assert change(MASK - 1) < 0.05 * change(11)


@torch.no_grad()
def test_objects_of_a_batch_do_not_mix(token: VisualToken) -> None:
    levels = [torch.cat(pair) for pair in zip(features(1), features(2), strict=True)]
    prompts = torch.cat([drawn(*BOX), drawn([(50.0, 10.0), (3.0, 3.0)], [1, 0])])
    together = token((levels[0], levels[1], levels[2]), prompts)
    torch.testing.assert_close(together[:1], token(features(1), prompts[:1]))
    torch.testing.assert_close(together[1:], token(features(2), prompts[1:]))
