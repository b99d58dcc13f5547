"""The DynUNet baseline: network, training for a number of minutes, and masks on a scan's own grid.

``vs_dynunet`` says what is nnU-Net's here and what is not.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from dynunet_data import (
    SEED,
    SPACING_DHW_MM,
    Patches,
    TrainScan,
    Window,
    foreground_window,
    on_common_grid,
    resize,
)
from jaxtyping import Float, Int, UInt8
from monai.inferers import sliding_window_inference
from monai.losses import DiceLoss
from monai.networks.nets import DynUNet
from torch import Tensor, nn
from torch.utils.data import DataLoader

from medvlsam2 import atomic_files
from medvlsam2.data.volume import HU_MIN, CTVolume
from medvlsam2.errors import DatasetError

LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-2
WARMUP_STEPS = 50
MAX_GRAD_NORM = 12.0
OVERLAP = 0.5
CHECKPOINT = "checkpoint.pt"
CHECKPOINT_EVERY_S = 180.0
LOG_EVERY_STEPS = 20


@dataclass(frozen=True)
class Sizes:
    """What suits a kind of device."""

    patch_dhw: tuple[int, int, int]
    filters: tuple[int, ...]
    patches_per_step: int
    workers: int
    """Processes that make patches; 0: the training's own."""


SIZES = {
    # with bf16 1.6 core-seconds a patch; 32 filters at full resolution, as nnU-Net has them, take 2.4 times as long
    "cpu": Sizes((64, 64, 96), (16, 48, 96, 192, 320), patches_per_step=2, workers=0),
    "cuda": Sizes((96, 80, 128), (32, 64, 128, 256, 320, 320), patches_per_step=4, workers=12),
}


class StructureUNet(nn.Module):
    """DynUNet with one output per structure, computed for those that are asked for."""

    def __init__(self, num_structures: int, sizes: Sizes) -> None:
        super().__init__()
        kernels, strides = kernels_and_strides(sizes.patch_dhw, SPACING_DHW_MM)
        self.body = DynUNet(3, 1, 1, kernels, strides, strides[1:], filters=sizes.filters[: len(strides)])
        self.body.output_block = nn.Identity()
        self.head_weight = nn.Parameter(torch.empty(num_structures, sizes.filters[0]))
        self.head_bias = nn.Parameter(torch.zeros(num_structures))
        nn.init.kaiming_normal_(self.head_weight, a=0.01)

    def forward(self, image: Float[Tensor, "b 1 d h w"], channels: Int[Tensor, " c"]) -> Float[Tensor, "b c d h w"]:
        """Logits of the structures with these numbers."""
        weight = self.head_weight[channels][:, :, None, None, None]
        return F.conv3d(self.body(image), weight, self.head_bias[channels]).float()


def kernels_and_strides(
    patch: Sequence[int], spacing_mm: Sequence[float]
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """NnU-Net's rule: halve what is at least 8 voxels long and less than twice as coarse as the finest axis.

    Example:
        >>> kernels_and_strides((16, 64, 64), (5.0, 1.0, 1.0))[1]
        [(1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)]
    """
    sizes, spacings = np.array(patch), np.array(spacing_mm)
    kernels: list[tuple[int, ...]] = []
    strides: list[tuple[int, ...]] = [(1, 1, 1)]
    while True:
        near = spacings / spacings.min() <= 2
        kernels.append(tuple(np.where(near, 3, 1).tolist()))
        stride = np.where(near & (sizes >= 8), 2, 1)
        if (stride == 1).all():
            return kernels, strides
        strides.append(tuple(stride.tolist()))
        sizes, spacings = sizes // stride, spacings * stride


@dataclass
class Baseline:
    """A network in training, and afterwards."""

    network: StructureUNet
    structures: tuple[str, ...]
    """Vocabulary key of each output."""
    window: Window
    sizes: Sizes
    device: torch.device
    seconds: float = 0.0
    """Time that it was trained for."""
    step: int = 0

    def channels(self, keys: Sequence[str]) -> Int[Tensor, " c"]:
        """Numbers of the outputs of these structures."""
        return torch.tensor([self.structures.index(key) for key in keys], device=self.device)

    def autocast(self) -> torch.autocast:
        """Bf16 where the device computes in it."""
        able = torch.cuda.is_bf16_supported() if self.device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
        return torch.autocast(self.device.type, torch.bfloat16, enabled=able)


def train(
    scans: dict[str, list[TrainScan]],
    *,
    minutes: float,
    device: torch.device,
    run: Path,
    report: Callable[[str], None],
) -> Baseline:
    """Train from scratch until the minutes are over, going on from the run's checkpoint where there is one.

    Args:
        scans: training scans of each data set.
        minutes: time for training; the learning rate ends with it.
        device: where to train.
        run: folder for ``checkpoint.pt`` and ``metrics.jsonl``.
        report: called with a line now and then.
    """
    run.mkdir(parents=True, exist_ok=True)
    every_scan = [scan for group in scans.values() for scan in group]
    structures = tuple(sorted({key for scan in every_scan for key in scan.keys}))
    sizes = SIZES[device.type]
    torch.manual_seed(SEED)
    network = StructureUNet(len(structures), sizes).to(device)
    baseline = Baseline(network, structures, foreground_window(every_scan), sizes, device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    _resume(baseline, optimizer, run)
    dataset = Patches(scans, structures, baseline.window, sizes.patch_dhw, first_step=baseline.step)
    batches = iter(DataLoader(dataset, batch_size=None, num_workers=sizes.workers, pin_memory=device.type == "cuda"))
    _loop(baseline, optimizer, batches, seconds=minutes * 60, run=run, report=report)
    network.eval()
    return baseline


def _loop(
    baseline: Baseline,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[tuple[Tensor, Tensor, Tensor]],
    *,
    seconds: float,
    run: Path,
    report: Callable[[str], None],
) -> None:
    baseline.network.train()
    start, saved = time.monotonic() - baseline.seconds, time.monotonic()
    while (elapsed := time.monotonic() - start) < seconds:
        rate = learning_rate(baseline.step, elapsed / seconds)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = _step(baseline, optimizer, batches)
        baseline.step += 1
        baseline.seconds = time.monotonic() - start
        if baseline.step % LOG_EVERY_STEPS == 0:
            line = {"step": baseline.step, "minutes": baseline.seconds / 60, "loss": float(loss), "learning_rate": rate}
            with (run / "metrics.jsonl").open("a") as stream:
                stream.write(json.dumps(line) + "\n")
            left_min = (seconds - baseline.seconds) / 60
            report(f"step {baseline.step}, loss {line['loss']:.3f}, {left_min:.1f} min left")
        if time.monotonic() - saved > CHECKPOINT_EVERY_S:
            _save(baseline, optimizer, run)
            saved = time.monotonic()
    _save(baseline, optimizer, run)


def _step(
    baseline: Baseline, optimizer: torch.optim.Optimizer, batches: Iterator[tuple[Tensor, Tensor, Tensor]]
) -> Tensor:
    """One update by the mean gradient of some patches, each with the structures of its own scan."""
    count = baseline.sizes.patches_per_step
    optimizer.zero_grad()
    total = torch.zeros((), device=baseline.device)
    for _ in range(count):
        image, labels, channels = (part.to(baseline.device, non_blocking=True) for part in next(batches))
        with baseline.autocast():
            logits = baseline.network(image[None], channels)
        loss = patch_loss(logits, labels) / count
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    nn.utils.clip_grad_norm_(baseline.network.parameters(), MAX_GRAD_NORM)
    optimizer.step()
    return total


def learning_rate(step: int, fraction: float) -> float:
    """Cosine over the time, after some steps of warm-up."""
    warmup = min(1.0, (step + 1) / WARMUP_STEPS)
    return LEARNING_RATE * warmup * 0.5 * (1 + math.cos(math.pi * min(fraction, 1.0)))


def patch_loss(logits: Float[Tensor, "1 c d h w"], labels: UInt8[Tensor, "d h w"]) -> Float[Tensor, ""]:
    """Soft Dice of what the patch holds, plus cross-entropy of everything; output n is for label n + 1.

    Where a structure has no voxel its soft Dice is 0 whatever the network says, and would only thin out the mean.
    """
    numbers = torch.arange(1, logits.shape[1] + 1, device=labels.device)
    truth = (labels[None, None] == numbers.view(1, -1, 1, 1, 1)).float()
    held = truth.flatten(2).amax(dim=2)
    missed: Tensor = DiceLoss(sigmoid=True, reduction="none")(logits, truth).flatten(1)
    overlap = (missed * held).sum() / held.sum().clamp(min=1.0)
    return overlap + F.binary_cross_entropy_with_logits(logits, truth)


@torch.no_grad()
def predict(baseline: Baseline, volume: CTVolume, keys: Sequence[str]) -> UInt8[np.ndarray, "i j k"]:
    """Find structures in a scan.

    Args:
        baseline: trained.
        volume: the scan.
        keys: structures that it was trained on.

    Returns:
        On exactly the scan's grid, value n where the n-th structure is likeliest, 0 where none is likely.
    """
    record, hu = on_common_grid(volume)
    image = baseline.window.normalise(hu)[None, None].to(baseline.device)
    channels = baseline.channels(keys)
    with baseline.autocast():
        logits = sliding_window_inference(
            image,
            roi_size=baseline.sizes.patch_dhw,
            sw_batch_size=1,
            predictor=baseline.network,
            overlap=OVERLAP,
            mode="gaussian",
            cval=float(baseline.window.normalise(torch.tensor(float(HU_MIN)))),
            channels=channels,
        )
    assert isinstance(logits, Tensor)
    best = torch.zeros(record.oriented_shape_dhw, device=baseline.device)
    label_map = torch.zeros(record.oriented_shape_dhw, dtype=torch.uint8, device=baseline.device)
    for number, one in enumerate(logits[0], start=1):
        full = resize(one, record.oriented_shape_dhw)
        label_map[full > best] = number
        best = torch.maximum(best, full)
    return record.unorient(label_map.cpu().numpy())


def _save(baseline: Baseline, optimizer: torch.optim.Optimizer, run: Path) -> None:
    state = {
        "network": baseline.network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "structures": baseline.structures,
        "window": asdict(baseline.window),
        "seconds": baseline.seconds,
        "step": baseline.step,
    }
    with atomic_files.replacing(run / CHECKPOINT) as partial:
        torch.save(state, partial)


def _resume(baseline: Baseline, optimizer: torch.optim.Optimizer, run: Path) -> None:
    if not (run / CHECKPOINT).is_file():
        return
    state = torch.load(run / CHECKPOINT, weights_only=True, map_location=baseline.device)
    if state["structures"] != baseline.structures or Window(**state["window"]) != baseline.window:
        raise DatasetError(
            f"Run folder '{run}' was begun with other scans ({len(state['structures'])} structures; "
            f"{len(baseline.structures)} now). Give the same --data, or another --run."
        )
    baseline.network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    baseline.seconds, baseline.step = state["seconds"], state["step"]
