"""Every command that README.md, the app's README, the demo's and docs/ show.

Quick ones are run as they stand, with the smallest model in nano's place and a thinned scan in the demo scan's: those
over HTTP by a shell against a live server, those of the command line in this process. Of those that take minutes or a
whole machine (``LONG``: trainings, evaluations, benchmarks, servers) the arguments are parsed by the program itself,
and nothing is run. A command of a program that this file does not know fails its test: none is passed over.
"""

from __future__ import annotations

import html
import importlib
import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import nrrd
import numpy as np
import pytest

from medvlsam2.cli import main, program
from medvlsam2.cli.verb import Verb

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "apps/medvlsam2/README.md"]
DOCUMENTS += ["apps/medvlsam2/demo/README.md", "model/medvlsam2-nano/README.md", "model/medvlsam2-small/README.md"]
DOCUMENTS += sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))
SHOWN = "http://127.0.0.1:8000"
LONG = ("train", "evaluate", "serve")
DRAWINGS = (" CT volume (HU, affine)", "README.md  CONTRIBUTING.md  CHANGELOG.md")
"""First lines of the blocks that hold no commands."""
CLICK, CLICK_IN_THIN = "90,60,100", "22,15,12"
"""The same place in the demo scan and in the thinned one, which has every 4th voxel of a slice and every 8th slice."""
THIN_SHAPE = (31, 26, 14)
BLOCK = re.compile(r"^```[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
SNIPPET = re.compile(r'--8<-- "(examples/\w+\.py)"\n')


@dataclass(frozen=True)
class Shown:
    """One command, and the document that shows it."""

    document: str
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text, comments=True)


def shown() -> list[Shown]:
    """All commands in the order of the documents; the same one in one document once."""
    found: dict[Shown, None] = {}
    for document in DOCUMENTS:
        text = PYTHON.sub("", (ROOT / document).read_text(encoding="utf-8"))
        for block in BLOCK.findall(text):
            if block.startswith(DRAWINGS):
                continue
            for line in re.sub(r"\\\n\s*", " ", block).splitlines():
                if shlex.split(line, comments=True):
                    found[Shown(document, line.strip())] = None
    return list(found)


def of(*programs: str) -> list[Any]:
    return [
        pytest.param(item, id=f"{item.document}: {item.text[:60]}") for item in shown() if item.words[0] in programs
    ]


def is_long(words: list[str]) -> bool:
    return words[0] == "medvlsam2" and words[1] in LONG


QUICK = [item for item in of("medvlsam2", "cp") if not is_long(item.values[0].words)]
PARSED = [item for item in of("medvlsam2") if is_long(item.values[0].words)]


def test_every_command_is_known() -> None:
    commands = shown()
    known = {"medvlsam2", "cp", "curl", "make", "python", "torchrun"}
    assert {item.words[0] for item in commands} <= known, "say here how a command of another program is tried"
    assert len(commands) > 25
    assert {item.document for item in commands} >= {"README.md", "apps/medvlsam2/README.md", "docs/performance.md"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path) -> Path:
    """A folder in which the documents' relative paths exist: the app, a model in nano's place, the demo studies."""
    from label_tasks.store.scan_folder import ScanFolder

    folder = tmp_path_factory.mktemp("checkout")
    demo = folder / "apps" / "medvlsam2" / "demo"
    demo.mkdir(parents=True)
    whole = nib.load(ROOT / "apps" / "medvlsam2" / "demo" / "ct_abdomen.nii.gz")
    thin = np.asarray(whole.dataobj)[::4, ::4, ::8]
    nib.save(nib.Nifti1Image(thin, whole.affine @ np.diag([4.0, 4.0, 8.0, 1.0])), demo / "ct_abdomen.nii.gz")
    shutil.copytree(tiny_model_dir, folder / "model" / "medvlsam2-nano")
    studies = folder / "demo" / "studies"
    studies.mkdir(parents=True)
    shutil.copy(demo / "ct_abdomen.nii.gz", studies)
    scan = nib.load(studies / "ct_abdomen.nii.gz")
    (studies / "a_damaged.nii.gz").write_bytes((studies / "ct_abdomen.nii.gz").read_bytes()[:4000])
    label = np.zeros(scan.shape, np.uint8)
    label[15:20, 12:17, 10:13] = 1
    nib.save(nib.Nifti1Image(label, scan.affine), folder / "label.nii.gz")
    info = {"label_info": [{"name": "liver", "idx": 1}]}
    ScanFolder(studies).save_label("ct_abdomen", str(folder / "label.nii.gz"), "final", info)
    return folder


@pytest.fixture(scope="module")
def demo_server(place: Path, start: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server on the demo studies."""
    model = place / "model" / "medvlsam2-nano"
    with start(tmp_path_factory.mktemp("demo-server"), str(place / "demo" / "studies"), model) as live:
        yield live


@pytest.mark.parametrize("item", of("curl"))
def test_a_command_over_http_brings_what_it_says(item: Shown, demo_server: Any, place: Path, tmp_path: Path) -> None:
    assert SHOWN in item.text
    shutil.copy(place / "label.nii.gz", tmp_path / "object.nii.gz")
    command = item.text.replace(SHOWN, demo_server.url).replace("curl ", "curl -sS --fail-with-body ", 1)
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if "-o" in item.words:
        values, header = nrrd.read(str(tmp_path / item.words[item.words.index("-o") + 1]))
        assert values.shape == nib.load(Path(demo_server.studies) / "ct_abdomen.nii.gz").shape
        assert header["space"].startswith("left-posterior")
    else:
        assert isinstance(json.loads(done.stdout), dict | list)
    if "/train/" in item.text:
        subprocess.run(["curl", "-sS", "-X", "DELETE", f"{demo_server.url}/train/"], check=True, capture_output=True)


def test_the_commands_of_the_start_page_run_as_they_are_copied(demo_server: Any, tmp_path: Path) -> None:
    """For a scan that can be read, though a damaged one comes first."""
    page = html.unescape(demo_server.get("/").text)
    commands = [text for text in re.findall(r"<code>(.*?)</code>", page, re.DOTALL) if text.startswith("curl ")]
    assert len(commands) == 3
    replies = []
    for command in commands:
        careful = command.replace("curl ", "curl -sS --fail-with-body ", 1)
        done = subprocess.run(["bash", "-c", careful], cwd=tmp_path, capture_output=True, timeout=200, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        replies.append(done.stdout)
    assert nrrd.read(str(tmp_path / "mask.nrrd"))[0].shape == THIN_SHAPE
    assert [key in json.loads(reply) for key, reply in zip(("report", "answer"), replies[1:], strict=True)] == [
        True
    ] * 2


def test_the_quick_commands_run_one_after_the_other(place: Path, monkeypatch: Any, small_phantom: Any) -> None:
    """In the order of the documents: later ones read what earlier ones wrote."""
    from medvlsam2.data import phantom

    monkeypatch.chdir(place)
    monkeypatch.setenv("MEDVLSAM2_MODELS", str(place / "model"))
    monkeypatch.setattr(phantom, "generate", lambda seed, config: small_phantom)
    assert len(QUICK) >= 7
    for param in QUICK:
        words = [word.replace(CLICK, CLICK_IN_THIN) for word in param.values[0].words]
        code = subprocess.run(words, check=False).returncode if words[0] == "cp" else main(words[1:])
        assert code == 0, words
    for name in ("mask.nii.gz", "object.nii.gz"):
        assert nib.load(place / name).shape == THIN_SHAPE
    assert (place / "mask.png").read_bytes().startswith(b"\x89PNG")
    assert list((place / "dataset").rglob("*.nii.gz"))


@pytest.mark.parametrize("item", PARSED)
def test_the_arguments_of_a_long_command_are_taken(item: Shown, monkeypatch: Any) -> None:
    assert parsed_only(item.words[1:], monkeypatch) == 0


def parsed_only(arguments: list[str], monkeypatch: Any) -> int:
    """Exit code of a verb that would do nothing after its arguments were parsed."""
    module = importlib.import_module(f"medvlsam2.cli.verbs.{arguments[0]}")
    assert arguments[0] in program.VERBS
    monkeypatch.setattr(module, "VERB", Verb(module.VERB.add_arguments, lambda _: 0))
    return main(arguments)


@pytest.mark.parametrize("item", of("torchrun"))
def test_the_arguments_of_processes_that_train_together_are_taken(item: Shown, monkeypatch: Any) -> None:
    from torch.distributed.run import parse_args

    taken = parse_args(item.words[1:])
    assert taken.nproc_per_node == item.words[item.words.index("--nproc-per-node") + 1]
    assert int(taken.nproc_per_node) > 1
    assert (taken.module, taken.training_script) == (True, "medvlsam2.cli")
    assert parsed_only(list(taken.training_script_args), monkeypatch) == 0


@pytest.mark.parametrize("item", of("python"))
def test_the_arguments_of_a_program_are_taken(item: Shown, monkeypatch: Any, capsys: Any) -> None:
    """A benchmark explains its options and takes the values of those that are shown; the host parses its own."""
    words = item.words[1:]
    if words[:2] == ["-m", "monailabel.main"]:
        from monailabel.main import Main

        taken = Main().args_parser().parse_args(words[2:])
        assert (taken.app, taken.conf) == ("apps/medvlsam2", [["model", "nano"]])
        return
    script = ROOT / words[0]
    monkeypatch.setattr(sys, "argv", [*words, "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(script), run_name="__main__")
    said = capsys.readouterr().out
    assert stop.value.code == 0
    assert [word for word in words[1:] if word.startswith("--") and word not in said] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_within_the_repository_leads_somewhere(document: str) -> None:
    text = BLOCK.sub("", (ROOT / document).read_text(encoding="utf-8"))
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not link.startswith(("http://", "https://", "#"))]
    assert [link for link in links if not (ROOT / document).parent.joinpath(link.partition("#")[0]).exists()] == []
    named = re.findall(r"`([\w-]+/[\w./-]+\.(?:py|md|png|yaml|json))`", text)
    folders = (
        ROOT,
        ROOT / "lib" / "medvlsam2",
        ROOT / "apps" / "medvlsam2" / "label_tasks",
        ROOT / "apps" / "medvlsam2",
    )
    assert [path for path in named if not any((folder / path).exists() for folder in folders)] == []


def test_programs_in_the_documents_are_the_examples() -> None:
    """Which tests/unit/examples runs; no other program is written into a document."""
    programs = [one for path in DOCUMENTS for one in PYTHON.findall((ROOT / path).read_text(encoding="utf-8"))]
    named = [found[1] for one in programs if (found := SNIPPET.fullmatch(one))]
    assert len(named) == len(programs)
    assert sorted(named) == sorted(f"examples/{path.name}" for path in (ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("item", of("make"))
def test_make_has_the_target(item: Shown) -> None:
    """Not run: ``make test`` is this test's own caller, and ``make serve`` never ends."""
    targets = re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert item.words[1] in targets
