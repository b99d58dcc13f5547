"""The paper's three checks as commands, by the package's own training and evaluation; each prints a table.

    python benchmarks/ablations.py projector --minutes 20 --run runs/projector
    python benchmarks/ablations.py prompts --model model/medvlsam2-nano --data DIR
    python benchmarks/ablations.py stages --minutes 70 --data DIR --run runs/stages

projector: the mixer against one linear layer. Stages 1 and 2 with each, from the same language model and encoder, for
the same minutes; language loss and accuracy of answers on phantoms that were not trained on. The prompt holds
no measurements of masks, so everything that the model knows of a scan came through the projector.

prompts: [SEG] alone against [SEG] with a click or a box, and those without words, per structure. The click is the one
that the interactive evaluation places first, the box is the true one, and no box is taken for a structure; all
structures of a scan are one request.

stages: stages 1, 2 and 3 against stage 3 alone, from the same language model, for the same minutes in all. The single
stage has the staged training's shares of conversations and of telling requests apart, so only the order differs.

Intervals are by bootstrap over scans, so they say nothing of another training's luck: one seed each. A run goes on
from its folder.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from unittest.mock import patch

import numpy as np
import torch
from side_by_side import table

from medvlsam2.config import ModelConfig
from medvlsam2.data import vocabulary
from medvlsam2.data.datasets.scans import labelled_scans
from medvlsam2.data.language import tokenizer as tokenizers
from medvlsam2.data.overlap import dice
from medvlsam2.evaluation.config import EvaluationConfig, Task
from medvlsam2.evaluation.measurement import Measurement, rows
from medvlsam2.evaluation.measures.interactive import bounding_box, next_click
from medvlsam2.evaluation.measures.words import large_enough
from medvlsam2.evaluation.metrics import Mask
from medvlsam2.evaluation.run import evaluate
from medvlsam2.evaluation.scans import FIRST_PHANTOM_SEED, LabelledScan, draw_phantom, read_scan
from medvlsam2.model import builders, checkpoint
from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.engine.session import VolumeSession
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment
from medvlsam2.training.config import TrainConfig
from medvlsam2.training.data.cases import Case
from medvlsam2.training.data.conversation_samples import conversation_sample
from medvlsam2.training.data.samples import COMMON
from medvlsam2.training.initial import PARTS, take_parts
from medvlsam2.training.loop import fit
from medvlsam2.training.running.run_folder import Line
from medvlsam2.training.steps.conversation import ConversationStep
from medvlsam2.training.train import prepare_cases, train, validation_cases

SEED = 0
CONVERSATIONS_PER_CASE = 16

ProjectorKind = Literal["mixer", "linear"]
Found = dict[str, list[Measurement]]
"""Measurements of each variant."""


def projector(options: argparse.Namespace) -> Found:
    """Mixer and linear projector after stages 1 and 2."""
    config = _train_config(options, stages=(1, 2), measured_share=0.0)
    kinds: dict[str, ProjectorKind] = {"mixer": "mixer", "linear": "linear"}
    return _compare(options, dict.fromkeys(kinds, config), ("vqa",), projectors=kinds)


def stages(options: argparse.Namespace) -> Found:
    """Stages one after the other, and all at once."""
    staged = _train_config(options, stages=(1, 2, 3))
    return _compare(options, {"staged": staged, "one stage": all_at_once(staged)}, ("segment", "vqa"))


def prompts(options: argparse.Namespace) -> Found:
    """Dice of every structure by every way of asking."""
    engine = Engine(options.model, options.device)
    found: Found = {}
    for scan in _scans(options):
        print(scan.patient, file=sys.stderr, flush=True)
        for name, measurement in measure_prompts(engine, scan):
            found.setdefault(name, []).append(measurement)
    return found


def all_at_once(staged: TrainConfig) -> TrainConfig:
    """The last of some stages alone, as long as all of them, with their mean shares of the kinds of step."""
    total = sum(staged.stage_minutes)
    minutes = dict(zip(staged.stages, staged.stage_minutes, strict=True))
    second, third = staged.alignment_shares
    alignment = (minutes[2] * second + minutes[3] * third) / total
    talk = minutes[1] + minutes[2] * (1 - second) + minutes[3] * (1 - third) * staged.conversation_share
    return replace(
        staged,
        stages=(3,),
        minutes=(total,),
        alignment_shares=(second, alignment),
        conversation_share=talk / total / (1 - alignment),
    )


def measure_prompts(engine: Engine, scan: LabelledScan) -> Iterator[tuple[str, Measurement]]:
    """Dice of the structures of a scan by each way of asking for them."""
    truth = large_enough(scan.truth)
    if not truth:
        return
    asked = [ways_of_asking(key, mask) for key, mask in truth.items()]
    for name in asked[0]:
        with patch.object(VolumeSession, "structure_in_box", lambda *_: None):
            label_map = segment(engine, scan.volume, [ways[name] for ways in asked]).label_map
        for number, (key, mask) in enumerate(truth.items(), start=1):
            yield name, Measurement(name, scan.group, key, "dice", scan.patient, dice(label_map == number, mask))


def ways_of_asking(key: str, truth: Mask) -> dict[str, ObjectPrompt]:
    """Prompts for one structure, by words, by pointing, and by both."""
    click = next_click(np.zeros_like(truth), truth)
    assert click is not None
    pointed = {
        "click": ObjectPrompt(points_ijk=(click.point_ijk,), point_labels=(1,)),
        "box": ObjectPrompt(box_ijk=bounding_box(truth)),
    }
    words = vocabulary.STRUCTURES[key].name
    both = {f"[SEG] + {name}": replace(prompt, text=words) for name, prompt in pointed.items()}
    return {"[SEG]": ObjectPrompt(words), **both, **pointed}


def _compare(
    options: argparse.Namespace,
    configs: Mapping[str, TrainConfig],
    tasks: tuple[Task, ...],
    projectors: Mapping[str, ProjectorKind] | None = None,
) -> Found:
    """Train each variant from the same start and measure it."""
    preset = builders.preset(options.preset)
    start = _start(options)
    first = next(iter(configs.values()))
    cases = prepare_cases(first, preset, options.cache, options.data, options.workers)
    held_out = validation_cases(first, preset, options.cache, None, options.workers)
    found: Found = {}
    for name, config in configs.items():
        kind = preset.projector.kind if projectors is None else projectors[name]
        model = begin(options.run / "start" / "model", replace(preset, projector=replace(preset.projector, kind=kind)))
        run = options.run / name.replace(" ", "-")
        fit(model, start.tokenizer, cases, config, run=run, report=_say(name))
        metadata = {**start.metadata, "structures": _measured(config, cases), "training": asdict(config)}
        checkpoint.save(run / "model", model, start.tokenizer, metadata)
        engine = Engine(run / "model", options.device)
        wanted = EvaluationConfig(data=options.data, tasks=tasks, phantoms=options.held_out)
        evaluated = evaluate(engine, wanted).measurements
        found[name] = [*language_losses(engine.loaded(), held_out), *evaluated]
    return found


def _measured(config: TrainConfig, cases: Sequence[Case]) -> list[str]:
    """Structures that are measured before a question is answered: none where the training had no measurements."""
    seen = {key for case in cases for key in case.present_keys} if config.measured_share > 0 else set()
    return [key for key in vocabulary.STRUCTURES if key in seen & COMMON]


def _start(options: argparse.Namespace) -> LoadedModel:
    """The language model that both variants begin with."""
    train(
        TrainConfig(preset=options.preset, stages=(0,), minutes=(options.language_minutes,), seed=SEED),
        output=options.run / "start" / "model",
        run=options.run / "start",
        cache=options.cache,
        data=None,
        workers=options.workers,
        report=_say("start"),
    )
    return checkpoint.load(options.run / "start" / "model")


def begin(start: Path, config: ModelConfig) -> MedVLSAM2:
    """A model with all that fits of the start; another kind of projector does not, and is new."""
    model = builders.build(config, checkpoint.special_tokens(tokenizers.load(start)), seed=SEED)
    left_out = {*PARTS} - {*take_parts(model, start)}
    assert left_out <= {"projector"}, left_out
    return model


@torch.no_grad()
def language_losses(loaded: LoadedModel, cases: Sequence[Case]) -> Iterator[Measurement]:
    """Mean cross-entropy of right answers about each case; the same questions for every model."""
    device = next(loaded.model.parameters()).device
    for number, case in enumerate(cases):
        rng = np.random.default_rng([SEED, number])
        if case.facts is None:
            continue
        about = conversation_sample(case.facts, rng, CONVERSATIONS_PER_CASE, measured_share=0.0)
        if about is not None:
            step = ConversationStep(case.whole_volume()[None].to(device), (about,))
            loss = step.run(loaded.model, loaded.tokenizer, rng).loss
            yield Measurement("language", "phantom", "answers", "loss (less is better)", case.case_id, float(loss))


def _train_config(
    options: argparse.Namespace, *, stages: tuple[int, ...], measured_share: float | None = None
) -> TrainConfig:
    config = TrainConfig(
        preset=options.preset,
        stages=stages,
        minutes=(options.minutes,),
        phantoms=options.phantoms,
        validation_cases=options.held_out,
        seed=SEED,
    )
    return config if measured_share is None else replace(config, measured_share=measured_share)


def _scans(options: argparse.Namespace) -> Iterator[LabelledScan]:
    if options.data is not None:
        yield from (read_scan(record) for record in labelled_scans(options.data, "val", with_pseudo_labels=True))
    for seed in range(FIRST_PHANTOM_SEED, FIRST_PHANTOM_SEED + options.held_out):
        yield draw_phantom(seed)


def _say(name: str) -> Callable[[Line], None]:
    def say(line: Line) -> None:
        losses = " ".join(f"{key} {value:.3f}" for key, value in line.losses.items())
        print(f"{name}: stage {line.stage} {line.fraction:4.0%} step {line.step} {losses}", flush=True)

    return say


CHECKS: dict[str, Callable[[argparse.Namespace], Found]] = {
    "projector": projector,
    "prompts": prompts,
    "stages": stages,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one check and print its table."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    found = CHECKS[options.check](options)
    named = [replace(each, task=name) for name, own in found.items() for each in own]
    made = rows(named)
    print(table(made, list(found)))
    if options.output is not None:
        told = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
        record = {"date": datetime.now(UTC).date().isoformat(), "run": told, "rows": [asdict(row) for row in made]}
        options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    checks = parser.add_subparsers(dest="check", required=True)
    for name, check in CHECKS.items():
        one = checks.add_parser(name, help=check.__doc__)
        one.add_argument("--data", type=Path, help="real scans: ct/ and split.json (default: phantoms alone)")
        one.add_argument("--held-out", type=int, default=12, help="phantoms to measure; none is trained on")
        one.add_argument("--device", default="cpu", help="where to measure: cpu or cuda")
        one.add_argument("--threads", type=int, default=2, help="threads of the CPU")
        one.add_argument("-o", "--output", type=Path, help="JSON file to write")
        if check is prompts:
            one.add_argument("--model", type=Path, default=Path("model/medvlsam2-nano"))
            continue
        one.add_argument("--preset", default="nano", help="size of the model")
        one.add_argument("--minutes", type=float, default=20.0, help="minutes of training of each variant")
        one.add_argument("--language-minutes", type=float, default=3.0, help="minutes of stage 0, once for both")
        one.add_argument("--phantoms", type=int, default=200, help="phantoms to train on")
        one.add_argument("--workers", type=int, default=1, help="processes that draw phantoms")
        one.add_argument("--run", type=Path, default=Path("runs") / name, help="checkpoints, logs and both models")
        one.add_argument("--cache", type=Path, default=Path("cache/nano"), help="prepared scans, kept between runs")
    return parser


if __name__ == "__main__":
    main()
