"""Work that does not fit into the device's memory is done in smaller parts; the rest of the server goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from medvlsam2.data.phantom import Phantom
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import DeviceFull
from medvlsam2.model.device.memory_limit import in_parts, share_of_free
from medvlsam2.model.pixel_decoder.volume_sam2 import VolumeSAM2
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment


class Device:
    """A device with memory for a given number of items."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.parts: list[list[int]] = []

    def __call__(self, part: Sequence[int]) -> list[int]:
        if len(part) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.parts.append(list(part))
        return [2 * one for one in part]


@pytest.mark.parametrize(("room", "largest"), [(1, 1), (2, 2), (3, 2), (8, 8), (100, 8)])
def test_everything_is_done_once_and_in_order(room: int, largest: int) -> None:
    device = Device(room)
    found = in_parts(device, range(20), 8)
    assert [one for part in found for one in part] == [2 * n for n in range(20)]
    assert max(map(len, device.parts)) == largest


def test_a_device_without_room_for_one_item_raises_an_error() -> None:
    with pytest.raises(DeviceFull, match="device cpu"):
        in_parts(Device(0), range(3), 2)


def test_a_small_device_gives_the_same_masks(
    tiny_model_dir: Path, small_phantom: Phantom, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [
        ObjectPrompt(points_ijk=((20.0 + 4 * n, 24.0, 8.0),), point_labels=(1,), name=f"object {n}") for n in range(4)
    ]
    prompts.append(ObjectPrompt("liver"))
    volume = CTVolume(small_phantom.volume.hu[:, :, :14].copy(), small_phantom.volume.affine, "short")
    wanted = segment(Engine(tiny_model_dir), volume, prompts).label_map
    assert wanted.any()
    encode, predict = VolumeSAM2.encode_slices, VolumeSAM2.predict
    refused: list[int] = []

    def limited(method: Any) -> Any:
        def call(self: VolumeSAM2, first: torch.Tensor, *given: Any, **more: Any) -> Any:
            if len(first) > 1:
                refused.append(len(first))
                raise torch.OutOfMemoryError("CUDA out of memory")
            return method(self, first, *given, **more)

        return call

    monkeypatch.setattr(VolumeSAM2, "encode_slices", limited(encode))
    monkeypatch.setattr(VolumeSAM2, "predict", limited(predict))
    found = segment(Engine(tiny_model_dir), volume, prompts).label_map
    assert refused
    assert (found != wanted).mean() < 1e-3, "equal but for rounding"


def test_a_share_of_what_is_free_is_allowed_beside_what_is_taken_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 80 GB 30 are free and 10 are this process's: half of the free ones makes 25."""
    told: list[tuple[float, torch.device]] = []
    gpu = torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: {gpu: (30 * 10**9, 80 * 10**9)}[device])
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: {gpu: 10 * 10**9}[device])
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *given: told.append(given))
    with share_of_free(gpu, 0.5):
        assert told == [(25 / 80, gpu)]
    assert told[1:] == [(1.0, gpu)], "the rest of the process has no limit"
    with share_of_free(torch.device("cpu"), 0.5):
        assert len(told) == 2
