"""What a training step sees of a case: objects, slices, clicks and boxes."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from medvlsam2.data import vocabulary
from medvlsam2.model.builders import TINY_RANDOM
from medvlsam2.training.data import samples, simulated_prompts
from medvlsam2.training.data.cases import COMPLETE_KEYS, Case
from medvlsam2.training.data.samples import dense_sample, segmentation_sample, talk
from medvlsam2.training.data.simulated_prompts import (
    draw_box,
    draw_clicks,
    draw_pointed,
    draw_prompt_kind,
)


def draw(case: Case, seed: int, *, contiguous: bool = False, slices: int = 5) -> samples.SegmentationSample:
    rng = np.random.default_rng(seed)
    return segmentation_sample(
        case, rng, num_slices=slices, num_objects=3, contiguous=contiguous, sam2=TINY_RANDOM.sam2
    )


def test_shapes_and_reach(tiny_case: Case) -> None:
    sample = draw(tiny_case, 0)
    assert sample.slices.shape == (5, 3, 64, 64)
    assert sample.masks.shape == (3, 5, 32, 32)
    assert len(sample.phrases) == 3
    assert sample.whole.shape == tiny_case.whole.shape
    torch.manual_seed(1)
    first = draw(tiny_case, 0)
    torch.manual_seed(1)
    again = draw(tiny_case, 0)
    assert torch.equal(first.slices, again.slices)
    assert torch.equal(first.masks, again.masks)
    assert first.phrases == again.phrases


def test_objects_and_absent_ones(tiny_case: Case) -> None:
    seen = [mask.any() for seed in range(60) for mask in draw(tiny_case, seed, slices=2).masks]
    share = 1 - float(torch.stack(seen).float().mean())
    assert 0.1 < share < 0.6, "some objects are not on the drawn slices, most are"


def test_masks_move_with_their_slices(tiny_case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the mask painted into the scan, whatever moves the slice moves the mask alike."""
    liver = tiny_case.structure_mask("liver")
    assert liver is not None
    painted = np.where(liver.repeat(2, 1).repeat(2, 2), 3000, -1000).astype(np.int16)
    case = Case(tiny_case.folder, "painted", tiny_case.keys, None, True, tiny_case.slice_spacing_mm)
    case.__dict__["hu"] = painted
    monkeypatch.setattr(samples, "_draw_object", lambda *_: ("liver", liver, "soft"))
    monkeypatch.setattr(samples, "augment", lambda hu, _: hu)
    agreements, moved = [], 0
    for seed in range(8):
        sample = draw(case, seed)
        bright = torch.nn.functional.avg_pool2d(sample.slices[:, 1], 2) > 0
        mask = sample.masks[0]
        if mask.any():
            agreements.append(2 * float((bright & mask).sum()) / float(bright.sum() + mask.sum()))
        slices_as_stored = {row.tobytes() for row in liver}
        moved += sum(row.numpy().tobytes() not in slices_as_stored for row in mask)
    assert min(agreements) > 0.85
    assert moved > 20


def test_never_mirrored(tiny_case: Case) -> None:
    """The liver stays on the left of the image, whatever the augmentation."""
    liver = tiny_case.structure_mask("liver")
    assert liver is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "NEAR_SHARE", 0.0)
        patch.setattr(samples, "_draw_object", lambda *_: ("liver", liver, "soft"))
        for seed in range(12):
            mask = draw(tiny_case, seed).masks[0]
            columns = torch.nonzero(mask)[:, 2].float()
            assert float(columns.mean()) < 16


def test_clips_are_neighbouring_slices(tiny_case: Case) -> None:
    depth = tiny_case.num_slices
    masks = np.zeros((1, depth, 4, 4), dtype=bool)
    masks[:, depth // 2] = True
    steps = set()
    for seed in range(40):
        numbers = samples._draw_slices(masks, np.random.default_rng(seed), 4, contiguous=True)
        assert numbers[0] == depth // 2
        steps |= set(np.diff(numbers).tolist())
        assert len(set(np.diff(numbers).tolist())) == 1
    assert steps == {-2, -1, 1, 2}


def test_clicks_are_on_their_side_of_the_rim() -> None:
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[5:9, 20:30] = True
    for seed in range(30):
        points, labels = draw_clicks(mask, np.random.default_rng(seed), 3, 8.0)
        assert labels[0] == 1
        for (x, y), label in zip(points, labels, strict=True):
            column, row = ((x + 0.5) / 8 - 0.5), ((y + 0.5) / 8 - 0.5)
            assert column == round(column)
            assert bool(mask[round(row), round(column)]) == bool(label)
    points, labels = draw_clicks(torch.ones(4, 4, dtype=torch.bool), np.random.default_rng(0), 5, 2.0)
    assert labels == [1] * 5, "where all is object no click can be beside it"


def test_boxes_are_round_the_object() -> None:
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[4:8, 10:20] = True
    for seed in range(20):
        points, labels = draw_box(mask, np.random.default_rng(seed), 4.0)
        assert labels == [2, 3]
        (x0, y0), (x1, y1) = points
        expected = np.array([10, 4, 20, 8]) * 4 - 0.5
        outwards = (np.array([x0, y0, x1, y1]) - expected) / (np.array([-10, -4, 10, 4]) * 4)
        low, high = simulated_prompts.BOX_GROWTH
        assert (outwards >= low).all()
        assert (outwards <= high).all()


def test_prompts_come_in_their_shares() -> None:
    rng = np.random.default_rng(0)
    counts = Counter(draw_prompt_kind(rng) for _ in range(2000))
    for kind, share in simulated_prompts.PROMPT_MIX.items():
        assert abs(counts[kind] / 2000 - share) < 0.04


@pytest.mark.parametrize("kind", ["box", "click"])
def test_what_is_pointed_at_lies_on_its_slice(kind: simulated_prompts.PromptKind) -> None:
    label_map = torch.zeros(3, 32, 32, dtype=torch.long)
    label_map[1, 4:12, 4:12], label_map[2, 20:26, 8:14] = 2, 5
    for seed in range(10):
        pointed = draw_pointed(kind, label_map, np.random.default_rng(seed), 64)
        assert pointed is not None
        assert sorted(pointed.numbers.tolist()) == [2, 5]
        for number, index, points in zip(pointed.numbers, pointed.slice_index, pointed.points_xy, strict=True):
            assert int(index) == {2: 1, 5: 2}[int(number)]
            place = points.mean(dim=0) if kind == "box" else points[0]
            x, y = ((place + 0.5) / 2 - 0.5).round().long().tolist()
            assert int(label_map[index, y, x]) == int(number)
    assert draw_pointed(kind, torch.zeros_like(label_map), np.random.default_rng(0), 64) is None


def test_a_talk_ends_with_a_report_where_all_is_known(tiny_case: Case) -> None:
    assert tiny_case.facts is not None
    about = talk(tiny_case.facts, np.random.default_rng(0), 4, measured_share=0.0)
    assert about is not None
    assert len(about.conversations) == 4
    assert "report" in about.conversations[-1].question
    assert about.measured is None
    partly = talk(replace(tiny_case.facts, lesions_known=False), np.random.default_rng(0), 4, measured_share=0.0)
    assert partly is not None
    assert all("report" not in item.question for item in partly.conversations)


def test_answers_tell_the_sizes_that_were_measured(tiny_case: Case) -> None:
    assert tiny_case.facts is not None
    about = talk(tiny_case.facts, np.random.default_rng(0), 200, measured_share=1.0)
    assert about is not None
    assert about.measured is not None
    told_mm = {mm for item in about.conversations for mm in re.findall(r"(\d+) mm", item.answer)}
    assert told_mm
    assert told_mm <= set(re.findall(r"(\d+) mm", about.measured))


def test_a_dense_sample_also_asks_for_what_is_not_there(tiny_case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "_dense_window", lambda *_: vocabulary.STRUCTURES["liver"].window)
    assert tiny_case.facts is not None
    absent = replace(tiny_case, facts=replace(tiny_case.facts, absent=("gallbladder", "prostate")))
    sample = dense_sample(absent, np.random.default_rng(0), num_slices=4, num_structures=3, sam2=TINY_RANDOM.sam2)
    known = dense_sample(
        replace(tiny_case, facts=None), np.random.default_rng(0), num_slices=4, num_structures=3, sam2=TINY_RANDOM.sam2
    )
    assert len(sample.phrases) == 5
    assert len(known.phrases) == 3
    assert int(sample.label_map.max()) <= 3
    assert any("prostate" in phrase.lower() for phrase in sample.phrases)


class TestWholes:
    """Of a scan with many contoured structures, a whole is what is seen of its parts."""

    KEYS = tuple(key for key in vocabulary.STRUCTURES if key.startswith("vertebrae_"))[:COMPLETE_KEYS]

    def case(self, tiny_case: Case, keys: tuple[str, ...]) -> Case:
        made = Case(tiny_case.folder, "made", keys, None, False, tiny_case.slice_spacing_mm)
        labels = np.zeros(tiny_case.labels.shape, dtype=np.uint8)
        labels[:, 4:12, 10:20], labels[:, 14:20, 10:20] = 1, 2
        made.__dict__["labels"] = labels
        return made

    def test_some_vertebrae_are_the_vertebrae(self, tiny_case: Case) -> None:
        case = self.case(tiny_case, self.KEYS)
        mask = case.structure_mask("vertebrae")
        assert mask is not None
        assert "vertebrae" in case.present_keys
        np.testing.assert_array_equal(mask, np.asarray(case.labels) > 0)

    def test_not_where_few_structures_were_contoured(self, tiny_case: Case) -> None:
        case = self.case(tiny_case, self.KEYS[:3])
        assert "vertebrae" not in case.present_keys
        assert case.structure_mask("vertebrae") is None

    def test_a_dense_sample_asks_for_parts_or_for_their_whole(self, tiny_case: Case) -> None:
        case = self.case(tiny_case, self.KEYS)
        found = [samples.label_groups(case, np.random.default_rng(seed)) for seed in range(40)]
        assert {"vertebrae": (1, 2)} in found
        assert {self.KEYS[0]: (1,), self.KEYS[1]: (2,)} in found
