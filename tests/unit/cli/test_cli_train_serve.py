"""The verbs that start long work: their options arrive, and wrong options are refused before the start."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from medvlsam2.cli.verbs import serve
from medvlsam2.model.language.base_file import BASES
from medvlsam2.settings.reading import read
from medvlsam2.settings.record import ServerSettings
from medvlsam2.training.interrupt import Stopped


def test_train_hands_over_its_options(run, tmp_path, monkeypatch):
    from medvlsam2.training import train as training_run
    from medvlsam2.training.running.run_folder import Line

    seen = {}

    def fake(config, *, output, run, cache, data, workers, report, initial, teacher):
        seen.update(config=config, output=output, run=run, cache=cache, data=data, workers=workers)
        seen.update(initial=initial, teacher=teacher)
        losses = {"loss": 1.5, "masks/loss": 0.25, "masks/dice": 0.2}
        line = Line(stage=4, step=20, fraction=0.5, losses=losses, steps_per_s=2.0, samples_per_s=4.0, busy_share=0.95)
        report(replace(line, validation=0.6, best=0.7))

    monkeypatch.setattr(training_run, "train", fake)
    code, out, err = run(
        *("train", "--preset", "tiny_random", "--stages", "3,4", "--minutes", "1,8", "--seed", "5"),
        *("--data", tmp_path, "--output", tmp_path / "m"),
        *("--initial", tmp_path / "first", "--teacher", tmp_path / "second"),
    )
    assert code == 0
    assert seen["config"].stages == (3, 4)
    assert seen["config"].minutes == (1.0, 8.0)
    assert seen["config"].seed == 5
    assert seen["config"].slices_per_case == 6
    assert (seen["output"], seen["data"]) == (tmp_path / "m", tmp_path)
    assert (seen["initial"], seen["teacher"]) == (tmp_path / "first", tmp_path / "second")
    assert (seen["run"], seen["cache"]) == (Path("runs/tiny_random"), Path("cache/tiny_random"))
    assert str(tmp_path / "m") in out
    assert "stage 4" in err
    words = "4 min left 2.00 steps/s 4.0 samples/s busy 95% masks 0.250 validation 0.600 (best 0.700)"
    assert words in err


def test_train_takes_one_number_of_minutes(run, tmp_path, monkeypatch):
    from medvlsam2.training import train as training_run

    seen = []
    monkeypatch.setattr(training_run, "train", lambda config, **_: seen.append(config))
    assert run("train", "--preset", "nano", "--stages", "0,1,2,3", "--minutes", "50", "--run", tmp_path)[0] == 0
    assert seen[0].stage_minutes == pytest.approx((2, 1, 4, 43))


def test_a_stopped_training_says_how_to_go_on(run, tmp_path, monkeypatch):
    from medvlsam2.training import train as training_run

    def fake(config, **_):
        raise Stopped(15, 70)

    monkeypatch.setattr(training_run, "train", fake)
    code, out, err = run("train", "--run", tmp_path)
    assert code == 143
    assert "stopped at step 70; the same command goes on from there" in err
    assert "model:" not in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--stages", "0,9", "--minutes", "1,1"], "(0, 9)"),
        (["--stages", "0,1", "--minutes", "1,2,3"], "3 values of minutes for 2 stages"),
        (["--stages", "one"], "--stages is 'one'; allowed: numbers with commas between them."),
        (["--phantom", "3"], "Unknown option --phantom. Did you mean --phantoms?"),
        (["--phantoms", "2.5"], "--phantoms is '2.5'; allowed: a whole number."),
        (["--num_workers", "few"], "--num_workers is 'few'; allowed: a whole number."),
        (["--alignment_shares", "1"], "allowed: 2 numbers with commas between them."),
        (["--preset", "huge"], "huge"),
        (["--data", "/no/such/data"], "/no/such/data"),
        (["--workers", "0"], "--workers 0"),
    ],
)
def test_train_refuses_what_makes_no_sense(run, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, _, err = run("train", *arguments)
    assert code == 2
    assert words in err


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    """Commands that would have taken the process over, with their environment."""
    commands: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(serve.os, "execve", lambda _, command, environment: commands.append((command, environment)))
    return commands


def test_serve_starts_the_apps_script(run, executed, tmp_path, tiny_model_dir, free_port):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDVLSAM2_CANDIDATES", "2")
        patch.setenv("MEDVLSAM2_CUDA_GRAPHS", "on")
        code, out, _ = run(
            *("serve", "--studies", tmp_path, "--port", free_port, "--model", "tiny-random", "--device", "cpu"),
            *("--conf", "cuda_graphs", "off"),
        )
    assert code == 0
    assert f"http://127.0.0.1:{free_port}" in out
    ((command, environment),) = executed
    assert Path(command[1]).read_text(encoding="utf-8").startswith('"""Start the host with our server')
    assert read(environment=environment) == ServerSettings(
        studies=str(tmp_path),
        port=free_port,
        model=str(tiny_model_dir),
        models=str(tiny_model_dir.parent),
        device="cpu",
        cuda_graphs=False,
        candidates=2,
    )


def test_serve_takes_a_dicomweb_address(run, executed, free_port):
    url = "http://pacs.example/dicom-web"
    code, out, _ = run("serve", "--studies", url, "--port", free_port, "--model", "tiny-random")
    assert code == 0
    assert read(environment=executed[0][1]).studies == url
    assert "/ohif/" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--studies", "/no/such/studies"], "/no/such/studies"),
        (["--studies", ".", "--port", "99999"], "99999"),
        (["--studies", ".", "--model", "nothing"], "'nothing'"),
        (["--studies", ".", "--host", "256.1.1.1"], "256.1.1.1"),
        (["--studies", ".", "--cuda-graph", "on"], "Unknown option --cuda-graph. Did you mean --cuda-graphs?"),
        (["--studies", ".", "--tta=axis"], "--tta is 'axis'; allowed: none or axes. Did you mean axes?"),
        (["--studies", ".", "--conf", "cuda_graf", "on"], "Unknown --conf key 'cuda_graf'. Did you mean cuda_graphs?"),
        ([], "No studies given. Give --studies"),
    ],
)
def test_serve_refuses_before_it_starts(run, executed, arguments, words):
    code, _, err = run("serve", "--model", "tiny-random", *arguments)
    assert code == 2
    assert words in err
    assert executed == []


@pytest.fixture
def two_models(tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``nano``, and with a ``small`` whose language model is in a package that is not installed."""
    monkeypatch.setitem(BASES, "absent", replace(BASES["smollm2-135m-instruct"], module="no_such_package"))
    folder = tmp_path / "models"
    for name in ("medvlsam2-nano", "medvlsam2-small"):
        shutil.copytree(tiny_model_dir, folder / name)
    config = folder / "medvlsam2-small" / "config.yaml"
    record = yaml.safe_load(config.read_text(encoding="utf-8"))
    record["language"]["base"] = "absent"
    config.write_text(yaml.safe_dump(record), encoding="utf-8")
    return folder


def test_serve_says_why_it_serves_nano(run, executed, tmp_path, two_models, free_port):
    code, out, err = run("serve", "--studies", tmp_path, "--port", free_port, "--models", two_models)
    assert code == 0
    assert "warning: Model 'nano' is used instead of 'small'. " in err
    assert "no_such_package: no such package" in err
    assert "Serving" in out
    # The app chooses as well, and its log says why.
    assert read(environment=executed[0][1]).model == "auto"


def test_serve_refuses_a_named_model_without_its_language_model(run, executed, tmp_path, two_models, free_port):
    started = ("serve", "--studies", tmp_path, "--port", free_port, "--models", two_models)
    code, _, err = run(*started, "--model", "small")
    assert code == 2
    assert "SmolLM2-135M-Instruct is not installed" in err
    assert executed == []
    assert run(*started, "--model", "nano")[0] == 0
    assert Path(read(environment=executed[0][1]).model).name == "medvlsam2-nano"
