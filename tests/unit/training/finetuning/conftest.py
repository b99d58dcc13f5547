"""A coarse phantom as what an annotator submitted, and as every phantom that is replayed or held out."""

from __future__ import annotations

from pathlib import Path

import pytest

from medvlsam2.data import phantom
from medvlsam2.data.final_labels import FinalLabel
from medvlsam2.data.phantom import Phantom, PhantomConfig
from medvlsam2.data.phantom.files import write_phantom
from medvlsam2.training.data import case_files
from medvlsam2.training.finetuning import scans

COARSE = PhantomConfig(shape_ijk=(40, 36, 16), spacing_mm=(9.0, 9.0, 9.5), region="abdomen", num_lesions=0)


@pytest.fixture(scope="session")
def coarse_phantom() -> Phantom:
    return phantom.generate(7, COARSE)


@pytest.fixture(autouse=True)
def _one_phantom(monkeypatch: pytest.MonkeyPatch, coarse_phantom: Phantom) -> None:
    """Drawing many would take time, and so would looking at them."""
    monkeypatch.setattr(case_files.phantom, "generate", lambda _: coarse_phantom)
    monkeypatch.setattr(scans, "HOLD_OUT_PHANTOMS", scans.HOLD_OUT_PHANTOMS[:1])
    monkeypatch.setattr(scans, "REPLAY_PHANTOMS", scans.REPLAY_PHANTOMS[:1])


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The folder of a run."""
    return tmp_path / "work"


@pytest.fixture
def submitted(coarse_phantom: Phantom, tmp_path: Path) -> FinalLabel:
    """One scan with its label."""
    write_phantom(coarse_phantom, tmp_path / "scan")
    info = [{"name": name, "idx": value} for value, name in coarse_phantom.labels.items()]
    return FinalLabel("scan", tmp_path / "scan" / "image.nii.gz", tmp_path / "scan" / "label.nii.gz", info, "patient 1")
