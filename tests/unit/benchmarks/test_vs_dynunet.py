"""The DynUNet baseline: partial labels, the crossing to the common grid and back, and a whole run on tiny phantoms."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import dynunet
import dynunet_data
import numpy as np
import pytest
import torch
import vs_dynunet
from dynunet import Sizes, StructureUNet, kernels_and_strides, patch_loss
from dynunet_data import Patches, TrainScan, Window, prepare_scan

from medvlsam2.data.overlap import dice
from medvlsam2.data.phantom import Phantom
from medvlsam2.data.phantom.files import write_phantom
from medvlsam2.errors import DatasetError
from medvlsam2.evaluation.scans import LabelledScan

TINY = Sizes((32, 32, 32), (4, 8, 8, 8), patches_per_step=1, workers=0)
CPU = torch.device("cpu")


@pytest.fixture
def scan(small_phantom: Phantom) -> LabelledScan:
    """The oblique phantom, of which the liver and the left kidney were contoured."""
    keys = {"liver", "kidney_left"}
    truth = {key: small_phantom.label_map == value for value, key in small_phantom.labels.items() if key in keys}
    return LabelledScan(small_phantom.volume, "phantom", "TS", truth)


def test_strides_follow_patch_and_spacing() -> None:
    kernels, strides = kernels_and_strides((64, 64, 96), (3.0, 4.0, 4.0))
    assert kernels == [(3, 3, 3)] * 5
    assert strides == [(1, 1, 1)] + [(2, 2, 2)] * 4
    kernels, strides = kernels_and_strides((16, 64, 64), (5.0, 1.0, 1.0))
    assert kernels[:3] == [(1, 3, 3), (1, 3, 3), (3, 3, 3)], "no mixing across slices that are far apart"
    assert strides[:3] == [(1, 1, 1), (1, 2, 2), (1, 2, 2)]


@pytest.mark.parametrize("sizes", dynunet.SIZES.values(), ids=dynunet.SIZES.keys())
def test_patches_fit_their_network(sizes: Sizes) -> None:
    _, strides = kernels_and_strides(sizes.patch_dhw, dynunet_data.SPACING_DHW_MM)
    assert len(sizes.filters) >= len(strides)
    assert all(side % step == 0 for side, step in zip(sizes.patch_dhw, np.prod(strides, axis=0), strict=True))


def test_a_structure_that_was_not_contoured_is_not_trained() -> None:
    network = StructureUNet(3, TINY)
    image, labels = torch.randn(1, 1, 32, 32, 32), torch.randint(0, 3, (32, 32, 32), dtype=torch.uint8)
    patch_loss(network(image, torch.tensor([0, 2])), labels).backward()
    assert network.head_weight.grad is not None
    assert network.head_bias.grad is not None
    moved = (network.head_weight.grad.abs().sum(dim=1) + network.head_bias.grad.abs()) > 0
    assert moved.tolist() == [True, False, True]


def test_the_loss_falls_to_nothing_on_the_truth() -> None:
    labels = torch.zeros(8, 8, 8, dtype=torch.uint8)
    labels[2:5], labels[5:] = 1, 2
    truth = torch.stack([labels == 1, labels == 2]).float()[None]
    assert patch_loss(40 * truth - 20, labels) < 1e-3
    assert patch_loss(40 * truth.flip(1) - 20, labels) > 5


def test_the_common_grid_round_trip_keeps_the_truth(scan: LabelledScan) -> None:
    """A network that returns the ground truth on the common grid gives the ground truth on the scan's grid."""
    prepared = prepare_scan(scan)
    assert prepared.keys == tuple(scan.truth)
    spacing = scan.volume.spacing_mm
    litres = {key: float(mask.sum()) * np.prod(spacing) for key, mask in scan.truth.items()}
    for number, key in enumerate(prepared.keys, start=1):
        coarse = float((prepared.labels == number).sum()) * np.prod(dynunet_data.SPACING_DHW_MM)
        assert coarse == pytest.approx(litres[key], rel=0.1)
    logits = torch.stack([(prepared.labels == number) * 2.0 - 1 for number in (1, 2)])[None]
    baseline = dynunet.Baseline(
        StructureUNet(2, TINY), prepared.keys, Window(-200, 300, 50, 100), dataclasses.replace(TINY), CPU
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dynunet, "sliding_window_inference", lambda *_, **__: logits)
        label_map = dynunet.predict(baseline, scan.volume, prepared.keys)
    for number, key in enumerate(prepared.keys, start=1):
        assert dice(label_map == number, scan.truth[key]) > 0.93


class TestPatches:
    def stream(self, prepared: TrainScan, patch: tuple[int, int, int]) -> Patches:
        window = Window(-200.0, 300.0, 0.0, 100.0)
        scans = {"head and neck": [prepared], "abdomen": [prepared]}
        return Patches(scans, ("aorta", "kidney_left", "liver"), window, patch, first_step=0)

    def test_channels_are_those_of_the_scan(self, scan: LabelledScan) -> None:
        prepared = prepare_scan(scan)
        image, labels, channels = next(iter(self.stream(prepared, (16, 24, 32))))
        assert image.shape == (1, 16, 24, 32)
        assert labels.shape == (16, 24, 32)
        names = ("aorta", "kidney_left", "liver")
        assert [names[channel] for channel in channels] == list(prepared.keys)

    def test_image_and_labels_move_together(self, scan: LabelledScan) -> None:
        prepared = prepare_scan(scan)
        marked = dataclasses.replace(prepared, hu=(prepared.labels == 1).short() * 200)
        agreement = []
        for (image, labels, _), _ in zip(self.stream(marked, (24, 24, 24)), range(30), strict=False):
            bright, inside = (image[0] > 1).numpy(), (labels == 1).numpy()
            if inside.sum() > 100:
                agreement.append(dice(bright, inside))
        assert len(agreement) > 5
        assert np.median(agreement) > 0.9

    def test_the_edge_of_a_scan_is_seen(self, scan: LabelledScan) -> None:
        prepared = prepare_scan(scan)
        rng = np.random.default_rng(0)
        shape = prepared.hu.shape
        ramp = torch.arange(shape[0], dtype=torch.int16)[:, None, None].expand(shape)
        numbered = dataclasses.replace(prepared, hu=ramp.clone(), voxels=())
        patch = (16, 16, 16)
        seen: set[int] = set()
        for _ in range(60):
            hu, labels = dynunet_data.crop(numbered, patch, rng)
            assert hu.shape == labels.shape == (20, 20, 20)
            seen |= set(hu[2:-2, 10, 10].int().tolist())
        assert {0, shape[0] - 1} <= seen
        assert min(seen) >= 0, "a patch holds no air beyond a scan that is larger"

    def test_a_small_scan_lies_in_the_middle(self, scan: LabelledScan) -> None:
        prepared = prepare_scan(scan)
        thin = dataclasses.replace(prepared, hu=prepared.hu[:6] * 0, labels=prepared.labels[:6], voxels=())
        hu, _ = dynunet_data.crop(thin, (16, 16, 16), np.random.default_rng(0))
        assert torch.nonzero(hu[:, 10, 10] == 0).flatten().tolist() == list(range(7, 13))


@pytest.fixture
def step_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that counts steps, whatever the machine is busy with: about 0.03 s each."""
    ticks = itertools.count()
    monkeypatch.setattr(dynunet, "time", SimpleNamespace(monotonic=lambda: 0.01 * next(ticks)))


@pytest.fixture
def data(small_phantom: Phantom, tmp_path: Path) -> Path:
    """A data folder with the phantom under names of both sets; the one of val has a label that nobody trains."""
    splits = {"train": ["OKBP_001", "TS_abdo"], "val": ["OKBP_002", "TS_dicom20"]}
    chosen = {"OKBP_001": {"liver"}, "TS_abdo": {"spleen", "aorta"}, "OKBP_002": {"liver", "heart"}}
    for case in (*splits["train"], *splits["val"]):
        folder = tmp_path / "data" / "ct" / case
        write_phantom(small_phantom, folder)
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        keys = chosen.get(case, {"liver", "spleen", "stomach"})
        meta["labels"] = {value: key for value, key in meta["labels"].items() if key in keys}
        (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    (tmp_path / "data" / "split.json").write_text(json.dumps(splits), encoding="utf-8")
    return tmp_path / "data"


@pytest.mark.slow
@pytest.mark.usefixtures("step_clock")
def test_a_run_resumes_and_prints_both_models(
    data: Path, tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(dynunet, "SIZES", {"cpu": TINY})
    monkeypatch.setattr(dynunet, "LOG_EVERY_STEPS", 1)
    run, output = tmp_path / "run", tmp_path / "result.json"
    threads = torch.get_num_threads()
    arguments = ["--data", str(data), "--run", str(run), "--threads", str(threads), "-o", str(output)]
    vs_dynunet.main([*arguments, "--minutes", "0.003"])
    first = json.loads(output.read_text(encoding="utf-8"))
    assert first["run"]["structures"] == ["aorta", "liver", "spleen"]
    assert first["run"]["steps"] > 1
    state = torch.load(run / dynunet.CHECKPOINT, weights_only=True)
    assert state["step"] == first["run"]["steps"]

    vs_dynunet.main([*arguments, "--minutes", "0.005", "--model", str(tiny_model_dir)])
    second = json.loads(output.read_text(encoding="utf-8"))
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert steps == list(range(1, second["run"]["steps"] + 1))
    assert second["run"]["steps"] > first["run"]["steps"]

    measured = {(row["group"], row["subject"]) for row in second["rows"] if row["metric"] == "dice"}
    assert {("OKBP", "liver"), ("TS", "liver"), ("TS", "spleen")} <= measured
    assert not {subject for _, subject in measured} & {"heart", "stomach"}, "what the baseline never saw"
    assert {row["task"] for row in second["rows"]} == {"DynUNet", tiny_model_dir.name}
    printed = capsys.readouterr().out
    assert f"| DynUNet | {tiny_model_dir.name} |" in printed

    with pytest.raises(DatasetError, match="begun with other scans"):
        baseline_of_other_scans(data, run)


def baseline_of_other_scans(data: Path, run: Path) -> None:
    """Go on with a run with a case less."""
    (data / "split.json").write_text(
        json.dumps({"train": ["OKBP_001", "TS_dicom20"], "val": ["OKBP_002", "TS_abdo"]}), encoding="utf-8"
    )
    vs_dynunet.main(["--data", str(data), "--run", str(run), "--threads", str(torch.get_num_threads())])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("step_clock")
def test_it_learns(scan: LabelledScan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some hundred steps on one scan find its liver.

    With 24 channels, since PyTorch leaves smaller convolutions in full precision to slower code.
    """
    monkeypatch.setattr(dynunet, "SIZES", {"cpu": Sizes((32, 32, 48), (24, 24, 24, 24), patches_per_step=1, workers=0)})
    prepared = prepare_scan(scan)
    scans = {"head and neck": [prepared], "abdomen": [prepared]}
    baseline = dynunet.train(scans, minutes=0.08, device=CPU, run=tmp_path, report=lambda _: None)
    found = dynunet.predict(baseline, scan.volume, ["liver"]) == 1
    assert dice(found, scan.truth["liver"]) > 0.7
