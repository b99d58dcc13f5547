"""The app, built by the host's own loader, with small fakes in place of the model.

The package is imported late: the shape checks hook its imports only after this file was read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from fastapi.testclient import TestClient

APP_DIR = Path(__file__).resolve().parents[3] / "apps" / "medvlsam2"
SHAPE = (5, 7, 9)
LIVER = [{"name": "liver", "idx": 1}]


def fake_segment(engine: Any, volume: Any, prompts: Any, *, owner: str | None = None) -> Any:
    """The n-th object is the n-th plane along i."""
    from medvlsam2.tasks.answers.results import ObjectResult
    from medvlsam2.tasks.segment import Segmentation

    label_map = np.zeros(volume.shape_ijk, np.uint8)
    for number in range(1, len(prompts) + 1):
        label_map[number] = number
    objects = [
        ObjectResult(prompt.name, True, 0.75, 1.5, 12.0, {}, None, values=(number,))
        for number, prompt in enumerate(prompts, start=1)
    ]
    return Segmentation(label_map, tuple(objects), ("seen once",), {"decode": 0.01, "total": 0.01})


def fake_answer(
    engine: Any, volume: Any, question: str, choices: tuple[str, ...], kind: str | None, **options: Any
) -> Any:
    assert set(options) == {"previous", "client", "grounded"}
    from medvlsam2.tasks.converse import Answer

    return Answer("Yes.", 0, (), {"total": 0.1}, None, question, choices)


@pytest.fixture
def affine() -> np.ndarray:
    """Oblique, anisotropic, mirrored, far from the origin."""
    turn = np.array([[0.96, -0.28, 0.0], [0.28, 0.96, 0.0], [0.0, 0.0, 1.0]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-0.7, -0.9, 2.5])
    affine[:3, 3] = (101.25, -40.5, 333.0)
    return affine


@pytest.fixture
def studies(tmp_path: Path, affine: np.ndarray) -> Path:
    folder = tmp_path / "studies"
    folder.mkdir()
    for number, name in enumerate(("alpha", "beta", "gamma")):
        hu = np.linspace(-900, 300 + number, int(np.prod(SHAPE))).reshape(SHAPE).astype(np.int16)
        nib.save(nib.Nifti1Image(hu, affine), folder / f"{name}.nii.gz")
    return folder


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    """A model's card without its weights."""
    folder = tmp_path / "card-only"
    folder.mkdir()
    (folder / "config.yaml").touch()
    structures = ["liver", "spleen", "kidney_left", "kidney_right"]
    (folder / "metadata.json").write_text(json.dumps({"structures": structures}), encoding="utf-8")
    return folder


@pytest.fixture
def app(studies: Path, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Our app, found and built by the host's own loader."""
    import monailabel.interfaces.utils.app as host
    from monailabel.config import settings

    from label_tasks.infer import mask_task, text
    from medvlsam2.tasks.converse import Report

    monkeypatch.setattr(settings, "MONAI_LABEL_DATASTORE_AUTO_RELOAD", False)
    monkeypatch.setattr(settings, "MONAI_LABEL_SESSION_PATH", str(tmp_path / "sessions"))
    monkeypatch.setattr(settings, "MONAI_LABEL_APP_DIR", str(APP_DIR))
    monkeypatch.setattr(settings, "MONAI_LABEL_STUDIES", str(studies))
    monkeypatch.setattr(mask_task, "segment", fake_segment)
    monkeypatch.setattr(text.converse, "report", lambda *_, **__: Report("Liver normal.", (), (), {"total": 0.1}))
    monkeypatch.setattr(text.converse, "answer", fake_answer)
    host.clear_cache()
    yield host.app_instance(str(APP_DIR), str(studies), {"model": str(model_dir), "device": "cpu"})
    host.clear_cache()


@pytest.fixture
def ask(app: Any) -> Callable[..., dict[str, Any]]:
    """Run one inference in the way of the host's endpoint."""

    def infer(model: str, image: str = "alpha", **params: Any) -> dict[str, Any]:
        return dict(app.infer({"model": model, "image": image, **params}))

    return infer


@pytest.fixture
def server(app: Any) -> Any:
    """The hardened server around that app; the lifespan's threads are not started."""
    from fastapi.testclient import TestClient

    from label_tasks.server import build

    return TestClient(build(), raise_server_exceptions=False)


@pytest.fixture
def label_bytes(tmp_path: Path, affine: np.ndarray) -> Any:
    """A label map on the scans' grid as a file: two organs at first, more planes as the number grows."""

    def make(planes: int = 1, value: int = 1, shape: tuple[int, int, int] = SHAPE, suffix: str = ".nii.gz") -> bytes:
        values = np.zeros(shape, np.uint8)
        values[:planes] = value
        path = tmp_path / f"made{suffix}"
        if suffix.endswith(".nrrd"):
            from medvlsam2.data.label_maps import write_label_map

            write_label_map(path, values, affine, {})
        else:
            nib.save(nib.Nifti1Image(values, affine), path)
        return path.read_bytes()

    return make


def submit(server: TestClient, content: bytes, info: Any = LIVER, name: str = "l.nii.gz", image: str = "alpha") -> Any:
    params = info if isinstance(info, str) else json.dumps({"label_info": info})
    files = {"label": (name, content)}
    return server.put("/datastore/label", params={"image": image}, data={"params": params}, files=files)


def snapshot(studies: Path) -> dict[str, bytes]:
    """Return all files that the server serves, without the files that it keeps aside."""
    files = (path for path in studies.rglob("*") if path.is_file())
    shown = (path for path in files if not any(part.startswith(".") for part in path.relative_to(studies).parts))
    return {str(path.relative_to(studies)): path.read_bytes() for path in shown}
