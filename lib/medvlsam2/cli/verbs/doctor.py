"""``medvlsam2 doctor``: which packages are installed, where the weights are, and whether the model runs here."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jsonargparse import ArgumentParser, Namespace

import medvlsam2
from medvlsam2 import NOTICE
from medvlsam2.cli import console
from medvlsam2.cli.verb import Verb, add_json, add_model
from medvlsam2.errors import MedVLSAM2Error
from medvlsam2.model.registry import resolve_model

if TYPE_CHECKING:
    from medvlsam2.tasks.engine.engine import Engine

PACKAGES: Final = (
    "torch",
    "transformers",
    "sam2",
    "peft",
    "monai",
    "monailabel",
    "nibabel",
    "SimpleITK",
    "pydicom",
    "numpy",
)
SELF_TEST_SHAPE: Final = (48, 48, 24)
GIB: Final = 2**30


@dataclass(frozen=True)
class CheckResult:
    """One check and its result."""

    name: str
    ok: bool
    detail: str


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the verb."""
    add_json(parser)
    add_model(parser)
    parser.add_argument("--studies", metavar="DIR", help="look at this studies folder as well: scans, labels, index")


def run(arguments: Namespace) -> int:
    """Run all checks; the exit code is 1 if one fails."""
    with console.working("Looking"):
        checks = [_check("packages", _packages), _check("memory", _memory), *_model_checks(arguments)]
        checks += _studies_checks(Path(arguments.studies)) if arguments.studies else []
    ok = all(check.ok for check in checks)
    if arguments.json:
        record: dict[str, Any] = {"ok": ok, "checks": [asdict(check) for check in checks], "notice": NOTICE}
        console.show_json(record)
    else:
        console.show_table(("", "check", "found"), [("ok" if c.ok else "FAILED", c.name, c.detail) for c in checks])
        console.show_notice("Everything works" if ok else "Something is wrong: see FAILED")
    return 0 if ok else 1


VERB = Verb(add_arguments, run)


def _check(name: str, check: Callable[[], str]) -> CheckResult:
    """Run one check; an error of the family :class:`MedVLSAM2Error` makes it fail with the error's sentence."""
    try:
        return CheckResult(name, True, check())
    except (MedVLSAM2Error, metadata.PackageNotFoundError) as error:
        return CheckResult(name, False, str(error))


def _packages() -> str:
    found = [f"medvlsam2 {medvlsam2.__version__}", f"Python {platform.python_version()}"]
    return ", ".join(found + [f"{name} {metadata.version(name)}" for name in PACKAGES])


def _memory() -> str:
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    total_gib = os.sysconf("SC_PHYS_PAGES") * page_bytes / GIB
    free_gib = os.sysconf("SC_AVPHYS_PAGES") * page_bytes / GIB
    return f"{total_gib:.1f} GiB, {free_gib:.1f} GiB free; {os.cpu_count()} CPU cores"


def _model_checks(arguments: Namespace) -> list[CheckResult]:
    """Check device, weights and self-test in this order, until one fails."""
    from medvlsam2.tasks.engine.engine import Engine

    engines: list[Engine] = []

    def device() -> str:
        engines.append(Engine(Path(), arguments.device))
        return _device_name(engines[0].device)

    def weights() -> str:
        engines.append(Engine(resolve_model(arguments.model), arguments.device))
        return _weights(engines[-1])

    checks = [_check("device", device)]
    if checks[-1].ok:
        checks.append(_check("weights", weights))
    if checks[-1].ok:
        checks.append(_check("self-test", lambda: _self_test(engines[-1])))
    return checks


def _studies_checks(studies: Path) -> list[CheckResult]:
    """Count what a studies folder holds; each fault and each file that is no scan gets a line."""
    from medvlsam2.data.studies.upkeep import checkup

    try:
        facts = checkup.inspect(studies)
    except MedVLSAM2Error as error:
        return [CheckResult("studies", False, str(error))]
    counted = f"{facts.scans} scans, {facts.labels} labels in {facts.versions} versions"
    counted += f", {facts.refused} refused labels kept in .refused" if facts.refused else ""
    kept = f"{facts.kept_bytes / 10**6:.1f} MB for every version that was submitted; none is deleted by itself"
    return [
        CheckResult("studies", not facts.faults, counted),
        *([CheckResult("versions", True, kept)] if facts.kept_bytes else []),
        *(CheckResult("studies", False, fault) for fault in facts.faults),
        *(CheckResult("not a scan", True, sentence) for sentence in facts.left_out),
    ]


def _device_name(device: str) -> str:
    import torch

    if device == "cpu":
        return f"cpu (threads: {torch.get_num_threads()})"
    properties = torch.cuda.get_device_properties(device)
    return f"{device} ({properties.name}, {properties.total_memory / GIB:.0f} GiB)"


def _weights(engine: Engine) -> str:
    loaded = engine.loaded()
    millions = sum(parameter.numel() for parameter in loaded.model.parameters()) / 1e6
    return f"{engine.model_id} {loaded.version}, {millions:.1f} M parameters, {engine.model_dir}"


def _self_test(engine: Engine) -> str:
    """Segment and describe a small phantom: every part of the model runs."""
    from medvlsam2.data.phantom import PhantomConfig, generate
    from medvlsam2.tasks.converse import report
    from medvlsam2.tasks.prompts import ObjectPrompt
    from medvlsam2.tasks.segment import segment

    config = PhantomConfig(shape_ijk=SELF_TEST_SHAPE, spacing_mm=(8.0, 8.0, 8.0), region="abdomen", orientation="LPS")
    phantom = generate(1, config)
    start = time.perf_counter()
    found = segment(engine, phantom.volume, [ObjectPrompt(text="liver")])
    words = report(engine, phantom.volume, grounded=False, max_new_tokens=16)
    seconds = time.perf_counter() - start
    item = found.objects[0]
    drawn = phantom.facts.volumes_ml.get("liver", 0.0)
    return (
        f"phantom of {drawn:.0f} mL liver: {item.volume_ml:.0f} mL found, "
        f"{len(words.sentences)} report sentences, {seconds:.1f} s"
    )
