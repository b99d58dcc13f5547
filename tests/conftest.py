"""Fixtures of every test: seeds, real scans, a free port, the tiny model, and the strict end-to-end mode."""

from __future__ import annotations

import os
import random
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

# The package itself is imported late: the shape checks hook its imports only after this file was read.
if TYPE_CHECKING:
    from medvlsam2.data.phantom import Phantom
    from medvlsam2.model.checkpoint import LoadedModel
    from medvlsam2.model.medvlsam2 import MedVLSAM2
    from medvlsam2.training.data.cases import Case

ROOT = Path(__file__).resolve().parents[1]
NO_SHARED_DATA = "The real scans are not here: set MEDVLSAM2_DATA, or put them into ../shared/data."
SEED = 20260109

# One share of the cores for each pytest worker, and for the servers that it starts. Not in the process that starts the
# workers: they would inherit all of the cores from it, and small operations that fight for them take 100 times as long.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    THREADS = max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    os.environ["OMP_NUM_THREADS"] = str(THREADS)
    torch.set_num_threads(THREADS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything under tests/e2e, so that a forgotten marker hides no test."""
    for item in items:
        if item.path.is_relative_to(ROOT / "tests" / "e2e"):
            item.add_marker(pytest.mark.e2e)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """Where end-to-end tests are required, turn a skipped one into a failure."""
    report = yield
    if item.get_closest_marker("e2e"):
        fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[Any]:
    """The same for a whole file that skips itself while it is collected."""
    report = yield
    if collector.path.is_relative_to(ROOT / "tests" / "e2e"):
        fail_if_skipped(report)
    return report


def fail_if_skipped(report: Any) -> None:
    """Fail a skipped report where end-to-end tests are required; absent scans and expected failures stay."""
    required = os.environ.get("MEDVLSAM2_E2E_REQUIRED") == "1"
    if not required or not report.skipped or getattr(report, "wasxfail", None) is not None:
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if NO_SHARED_DATA not in reason:
        report.outcome = "failed"
        report.longrepr = f"Skipped, though MEDVLSAM2_E2E_REQUIRED=1 requires it to run. {reason}"


@pytest.fixture(autouse=True)
def seeds() -> None:
    """Start every test from the same random state."""
    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002 - libraries draw from the global generator
    torch.manual_seed(SEED)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real scans; skips where it is absent."""
    folder = Path(os.environ.get("MEDVLSAM2_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / "split.json").is_file():
        pytest.skip(NO_SHARED_DATA)
    return folder


@pytest.fixture
def free_port() -> int:
    """A TCP port on localhost that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model folder at the smallest size, random from a seed; tests copy it before they change it."""
    from medvlsam2.data.language import tokenizer as tokenizers
    from medvlsam2.data.language.corpus import sentences
    from medvlsam2.model import builders, checkpoint

    folder = tmp_path_factory.mktemp("models") / builders.TINY_RANDOM.model_id
    tokenizer = tokenizers.train_tokenizer(sentences(0, 300), builders.TINY_RANDOM.language.vocab_size)
    model = builders.build(builders.TINY_RANDOM, checkpoint.special_tokens(tokenizer), seed=0)
    metadata = {
        "model_id": builders.TINY_RANDOM.model_id,
        "version": "0",
        "structures": ["liver", "spleen", "kidney_right", "kidney_left", "aorta", "heart"],
    }
    checkpoint.save(folder, model, tokenizer, metadata)
    return folder


@pytest.fixture(scope="session")
def tiny_loaded(tiny_model_dir: Path) -> LoadedModel:
    """The tiny model in memory with its tokenizer; tests must not change it."""
    from medvlsam2.model import checkpoint

    return checkpoint.load(tiny_model_dir)


@pytest.fixture(scope="session")
def tiny_model(tiny_loaded: LoadedModel) -> MedVLSAM2:
    """The whole model at its smallest size, with seeded random weights; tests must not change it."""
    return tiny_loaded.model


@pytest.fixture
def model_dir(tiny_model_dir: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model's folder, to be changed."""
    return Path(shutil.copytree(tiny_model_dir, tmp_path / tiny_model_dir.name))


@pytest.fixture(scope="session")
def small_phantom() -> Phantom:
    """A coarse oblique abdomen with findings, of which everything is known."""
    from medvlsam2.data.phantom import PhantomConfig, generate

    return generate(
        5,
        PhantomConfig(
            shape_ijk=(64, 56, 36),
            spacing_mm=(6.0, 6.0, 5.0),
            orientation="LPS",
            oblique_degrees=6.0,
            region="abdomen",
            num_lesions=2,
        ),
    )


@pytest.fixture(scope="session")
def tiny_case(small_phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """The small phantom, cached for the tiny model."""
    from medvlsam2.model.builders import TINY_RANDOM
    from medvlsam2.training.data import case_files, cases

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(case_files.phantom, "generate", lambda _: small_phantom)
        return cases.load_case(case_files.cache_phantom(5, tmp_path_factory.mktemp("cases"), TINY_RANDOM))
