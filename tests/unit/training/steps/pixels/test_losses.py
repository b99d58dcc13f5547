"""Mask losses: values by hand, and objects that are not on their slice."""

from __future__ import annotations

import math

import torch

from medvlsam2.training.steps.pixels.losses import dense_loss, finding_loss, mask_loss


def test_values_by_hand() -> None:
    # Two of four pixels are the object; every logit is 0, so every probability is one half.
    target = torch.tensor([[[True, True], [False, False]]])
    loss = mask_loss(torch.full((1, 2, 2), 1e-9), torch.tensor([0.9]), torch.tensor([0.0]), target)
    focal = 0.25 * math.log(2) * (0.25 + 0.75) / 2
    assert math.isclose(float(loss.focal), focal, rel_tol=1e-5)
    assert math.isclose(float(loss.dice), 1 - (2 * 1 + 1) / (2 + 2 + 1), rel_tol=1e-5)
    assert math.isclose(float(loss.balanced), math.log(2), rel_tol=1e-5)
    assert math.isclose(float(loss.iou), 0.4, rel_tol=1e-5), "every logit is above 0, so the true IoU is a half"
    assert math.isclose(float(loss.object_score), math.log(2), rel_tol=1e-5)
    rest = loss.dice + loss.balanced + loss.iou + loss.object_score
    total = 20 * float(loss.focal) + float(rest)
    assert math.isclose(float(loss.total), total, rel_tol=1e-5)


def test_the_focal_loss_is_that_of_its_formula() -> None:
    """Also where pixels are far from undecided: -alpha (1 - p)^gamma log p of the right answer's probability p."""
    logits, target = torch.tensor([[[2.0, -1.0], [0.5, -3.0]]]), torch.tensor([[[True, False], [False, True]]])
    expected = 0.0
    for logit, is_object in zip(logits.flatten().tolist(), target.flatten().tolist(), strict=True):
        right = 1 / (1 + math.exp(-logit if is_object else logit))
        expected -= (0.25 if is_object else 0.75) * (1 - right) ** 2 * math.log(right) / 4
    loss = mask_loss(logits, torch.tensor([0.5]), torch.tensor([0.0]), target)
    assert math.isclose(float(loss.focal), expected, rel_tol=1e-5)


def test_a_perfect_answer_costs_nothing() -> None:
    target = torch.zeros(2, 8, 8, dtype=torch.bool)
    target[0, 2:6, 3:7] = True
    logits = torch.where(target, 30.0, -30.0)
    loss = mask_loss(logits, torch.tensor([1.0, 0.3]), torch.tensor([30.0, -30.0]), target)
    assert float(loss.total) < 1e-4


def test_an_absent_object_trains_the_object_score_alone() -> None:
    logits = torch.randn(2, 8, 8, requires_grad=True)
    iou, score = torch.rand(2, requires_grad=True), torch.zeros(2, requires_grad=True)
    target = torch.zeros(2, 8, 8, dtype=torch.bool)
    target[1, :4] = True
    mask_loss(logits, iou, score, target).total.backward()
    assert logits.grad is not None
    assert iou.grad is not None
    assert score.grad is not None
    assert not logits.grad[0].any()
    assert not iou.grad[0].any()
    assert iou.grad[1].any()
    assert logits.grad[1].any()
    assert score.grad[0] > 0 > score.grad[1]


def test_the_balanced_term_does_not_depend_on_the_size_of_the_object() -> None:
    targets = torch.zeros(2, 32, 32, dtype=torch.bool)
    targets[0, 0, 0] = True
    targets[1, :16] = True
    losses = [mask_loss(torch.full((1, 32, 32), -3.0), torch.zeros(1), torch.zeros(1), t[None]) for t in targets]
    torch.testing.assert_close(losses[0].balanced, losses[1].balanced)
    assert losses[0].focal < 0.01 * losses[1].focal


def test_empty_masks_do_not_train_the_predicted_iou() -> None:
    target = torch.ones(2, 4, 4, dtype=torch.bool)
    logits = torch.stack([torch.full((4, 4), -1.0), torch.full((4, 4), 1.0)])
    iou = torch.full((2,), 0.5, requires_grad=True)
    mask_loss(logits, iou, torch.zeros(2), target).iou.backward()
    assert iou.grad is not None
    assert iou.grad[0] == 0 > iou.grad[1]


def test_a_batch_of_absent_objects_has_no_mask_loss() -> None:
    loss = mask_loss(torch.randn(3, 4, 4), torch.rand(3), torch.zeros(3), torch.zeros(3, 4, 4, dtype=torch.bool))
    assert float(loss.focal) == float(loss.dice) == float(loss.balanced) == float(loss.iou) == 0
    assert torch.isfinite(loss.total)


def test_absent_objects_do_not_thin_out_the_others() -> None:
    target = torch.zeros(1, 4, 4, dtype=torch.bool)
    target[0, :2] = True
    logits = torch.randn(1, 4, 4)
    alone = mask_loss(logits, torch.tensor([0.5]), torch.zeros(1), target)
    empty = torch.zeros(3, 4, 4)
    among = mask_loss(
        torch.cat([logits, empty]), torch.full((4,), 0.5), torch.zeros(4), torch.cat([target, empty.bool()])
    )
    torch.testing.assert_close(alone.focal, among.focal)
    torch.testing.assert_close(alone.dice, among.dice)
    torch.testing.assert_close(alone.balanced, among.balanced)
    torch.testing.assert_close(alone.iou, among.iou)


LABEL_MAP = torch.zeros(2, 16, 16, dtype=torch.long)
LABEL_MAP[0, 2:6, 2:6] = 1
LABEL_MAP[:, 9:13, 9:13] = 2


def perfect_similarity(count: int) -> torch.Tensor:
    numbers = torch.arange(1, count + 1).view(1, -1, 1, 1)
    return torch.where(LABEL_MAP[:, None] == numbers, 12.0, -12.0)


def test_dense_loss_is_nothing_where_every_pixel_is_right() -> None:
    assert float(dense_loss(perfect_similarity(3)[None], LABEL_MAP[None])) < 0.01


def test_dense_loss_counts_a_structure_that_is_nowhere() -> None:
    similarity = perfect_similarity(3)
    similarity[:, 2] = 3.0
    assert float(dense_loss(similarity[None], LABEL_MAP[None])) > 1.0


def test_dense_loss_takes_each_structure_as_it_is_asked_for_alone() -> None:
    """A positive pixel inside another structure is an error, even if that other structure is more similar there."""
    similarity = perfect_similarity(2)
    similarity[:, 0] = torch.where(LABEL_MAP == 2, 6.0, similarity[:, 0])
    similarity[:, 1] = torch.where(LABEL_MAP == 2, 20.0, similarity[:, 1])
    assert float(dense_loss(similarity[None], LABEL_MAP[None])) > 0.2


def test_a_small_structure_counts_as_much_as_a_large_one() -> None:
    label_map = torch.zeros(1, 32, 32, dtype=torch.long)
    label_map[0, :2, :2], label_map[0, 8:24, 8:24] = 1, 2
    missed = []
    for number in (1, 2):
        similarity = torch.where(label_map[:, None] == torch.tensor([1, 2]).view(1, -1, 1, 1), 8.0, -8.0)
        similarity[:, number - 1] = -8.0
        missed.append(float(dense_loss(similarity[None], label_map[None])))
    assert missed[0] > 0.2 * missed[1]


def test_dense_loss_of_several_scans_is_the_mean_of_each() -> None:
    """Minus infinity stands for structures that one of the scans does not have."""
    few, many = perfect_similarity(2), perfect_similarity(3)
    many[:, 1] = -2.0
    label_map = LABEL_MAP.clamp(max=2)
    padded = torch.nn.functional.pad(few, (0, 0, 0, 0, 0, 1), value=-torch.inf)
    together = dense_loss(torch.stack([padded, many]), torch.stack([label_map, LABEL_MAP]))
    each = [dense_loss(few[None], label_map[None]), dense_loss(many[None], LABEL_MAP[None])]
    assert float(each[1]) > float(each[0])
    torch.testing.assert_close(together, torch.stack(each).mean())


def test_findings_are_judged_by_themselves() -> None:
    masks = torch.zeros(2, 2, 16, 16, dtype=torch.bool)  # findings, slices
    masks[0, 0, 3:7, 3:7] = True
    right = torch.where(masks, 12.0, -12.0)
    assert float(finding_loss(right, masks)) < 0.01
    missed, invented = right.clone(), right.clone()
    missed[0] = -12.0
    invented[1] = 12.0
    assert float(finding_loss(missed, masks)) > 1.0
    assert float(finding_loss(invented, masks)) > 1.0
