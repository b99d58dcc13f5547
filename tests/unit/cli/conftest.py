"""Commands in this process, with the tiny model, on a small phantom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from medvlsam2.cli import main
from medvlsam2.data import phantom
from medvlsam2.data.volume_files import write_volume

Run = Callable[..., tuple[int, str, str]]
SHAPE = (40, 34, 14)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command with the tiny model as the only and the default one; gives exit code, stdout and stderr."""
    monkeypatch.setenv("MEDVLSAM2_MODELS", str(tiny_model_dir.parent))

    def command(*arguments: object) -> tuple[int, str, str]:
        asks_the_model = bool(arguments) and arguments[0] in ("segment", "report", "ask")
        model = () if "--model" in arguments or not asks_the_model else ("--model", "tiny-random")
        code = main([str(argument) for argument in (*arguments, *model)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


@pytest.fixture(scope="session")
def drawn() -> phantom.Phantom:
    """A small oblique phantom, stored posterior first."""
    config = phantom.PhantomConfig(
        shape_ijk=SHAPE, spacing_mm=(9.0, 9.0, 10.0), region="abdomen", orientation="LPS", oblique_degrees=10.0
    )
    return phantom.generate(3, config)


@pytest.fixture
def scan(drawn: phantom.Phantom, tmp_path: Path) -> Path:
    path = tmp_path / "scan.nii.gz"
    write_volume(path, drawn.volume)
    return path
