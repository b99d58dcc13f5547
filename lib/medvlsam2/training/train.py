"""``medvlsam2 train``: from nothing but a preset (and scans, if there are any) to a model folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

import medvlsam2
from medvlsam2.config import ModelConfig
from medvlsam2.data import vocabulary
from medvlsam2.data.datasets.scans import labelled_scans
from medvlsam2.data.language import tokenizer as tokenizers
from medvlsam2.data.language.corpus import sentences
from medvlsam2.data.language.findings.finding_keys import finding_key
from medvlsam2.errors import DatasetError, InvalidConfig
from medvlsam2.model import builders, checkpoint
from medvlsam2.model.language.pretrained_base import base_tokenizer
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.training.config import TrainConfig
from medvlsam2.training.data.caching import cache_scans
from medvlsam2.training.data.case_files import cache_phantom
from medvlsam2.training.data.cases import Case, load_case
from medvlsam2.training.data.samples import COMMON
from medvlsam2.training.initial import take_parts
from medvlsam2.training.loop import fit, precision
from medvlsam2.training.running.provenance import code_version, data_hash, device_name
from medvlsam2.training.running.ranks import joined
from medvlsam2.training.running.run_folder import Line
from medvlsam2.training.stage import Validate
from medvlsam2.training.teacher import Teacher
from medvlsam2.training.validate import score_of_words, text_dice

logger = logging.getLogger(__name__)

TOKENIZER_TEXTS = 20_000
"""Conversations from which the tokenizer of a model without parents learns its merges."""
VALIDATION_PHANTOM_SEED = 800_000
PROVENANCE = "run.json"
HELD_OUT = "held_out.jsonl"
"""File of a run with the parts of each score of stage 4."""


def train(
    config: TrainConfig,
    *,
    output: Path,
    run: Path,
    cache: Path,
    data: Path | None,
    workers: int,
    report: Callable[[Line], None],
    validate: Validate | None = None,
    initial: Path | None = None,
    teacher: Path | None = None,
) -> None:
    """Train a preset and write a model folder.

    Args:
        config: what to train and how.
        output: model folder to write.
        run: folder of the run: logs and the checkpoint from which it resumes.
        cache: folder of prepared scans and phantoms, kept between runs.
        data: a manifest, or a folder in a layout that ``medvlsam2 manifest`` knows; None: phantoms alone.
        workers: processes that draw phantoms.
        report: called every few steps.
        validate: scores the model; None: the mean Dice of structures asked for by name, on scans of the ``val`` split
            and phantoms that are not trained on.
        initial: model folder whose tokenizer and fitting parts the training starts from; None: from nothing.
        teacher: model folder whose prompt tokens stage 4 learns. The model takes over its vision encoder and its pixel
            decoder, and what its metadata say of its masks.

    Raises:
        InvalidConfig: if a folder's parts do not fit, or stage 4 has no teacher.
    """
    if (4 in config.stages) != (teacher is not None):
        raise InvalidConfig(
            f"Stages {config.stages} and --teacher {teacher} given; stage 4 learns from another model, the others do "
            "not. Name a model folder for stage 4, such as --teacher model/medvlsam2-nano."
        )
    model_config = builders.preset(config.preset)
    taught = None if teacher is None else Teacher(checkpoint.load(teacher))
    cases: list[Case] = []
    with joined() as ranks:
        with ranks.first_alone():
            tokenizer = _tokenizer(model_config, config.seed, run, initial)
            if set(config.stages) != {0}:
                cases = prepare_cases(config, model_config, cache, data, workers)
                if validate is None and config.stages[-1] in (3, 4) and ranks.is_first:
                    held_out = validation_cases(config, model_config, cache, data, workers)
                    validate = _validation(tokenizer, held_out, taught, run) if held_out else None
        model = builders.build(model_config, checkpoint.special_tokens(tokenizer), seed=config.seed)
        taken = () if initial is None else take_parts(model, initial)
        if taught is not None:
            taught.hand_over(model)
        provenance = {**_provenance(config, cases), "processes": ranks.size}
        if teacher is not None:
            provenance["teacher"] = teacher.name
        if initial is not None:
            provenance["initial"] = {"model": initial.name, "parts": taken}
        if ranks.is_first:
            run.mkdir(parents=True, exist_ok=True)
            (run / PROVENANCE).write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")
        outcome = fit(
            model, tokenizer, cases, config, run=run, report=report, validate=validate, ranks=ranks, teacher=taught
        )
        if ranks.is_first:
            training = {**provenance, "config": asdict(config), **asdict(outcome)}
            masks = _known_masks(cases) if taught is None else taught.known_masks
            checkpoint.save(output, model, tokenizer, _metadata(training, masks, writes_queries=taught is not None))


def prepare_cases(
    config: TrainConfig, model_config: ModelConfig, cache: Path, data: Path | None, workers: int
) -> list[Case]:
    """Cached phantoms, the scans of the ``train`` split, and new ones made of them."""
    seeds = range(config.phantom_seed, config.phantom_seed + config.phantoms)
    scans: list[Path] = []
    if data is not None:
        records = labelled_scans(data)
        scans = cache_scans(records, cache, model_config, synthetic=config.synthetic, workers=workers)
    return [load_case(folder) for folder in (*scans, *_phantoms(seeds, model_config, cache, workers))]


def validation_cases(
    config: TrainConfig, model_config: ModelConfig, cache: Path, data: Path | None, workers: int
) -> list[Case]:
    """Cached scans of the ``val`` split that have labels, and phantoms of other seeds."""
    seeds = range(VALIDATION_PHANTOM_SEED, VALIDATION_PHANTOM_SEED + config.validation_cases)
    scans: list[Path] = []
    if data is not None:
        try:
            records = labelled_scans(data, "val")[: config.validation_cases]
            scans = cache_scans(records, cache, model_config, synthetic=0, workers=workers)
        except DatasetError as error:
            logger.warning("validation on phantoms alone: %s", error)
    return [load_case(folder) for folder in (*scans, *_phantoms(seeds, model_config, cache, workers))]


def _validation(
    tokenizer: PreTrainedTokenizerBase, held_out: list[Case], teacher: Teacher | None, run: Path
) -> Validate:
    if teacher is None:
        return dice_of_names(tokenizer, held_out)
    return score_of_words(tokenizer, held_out, teacher, run / HELD_OUT)


def dice_of_names(tokenizer: PreTrainedTokenizerBase, cases: list[Case]) -> Validate:
    """Mean over structures of the Dice of what is asked for by name."""

    def score(model: MedVLSAM2) -> float:
        return float(np.mean(list(text_dice(model, tokenizer, cases).values())))

    return score


def _phantoms(seeds: Iterable[int], model_config: ModelConfig, cache: Path, workers: int) -> list[Path]:
    with ProcessPoolExecutor(max_workers=workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(partial(cache_phantom, cache=cache, config=model_config), seeds))


def _tokenizer(model_config: ModelConfig, seed: int, run: Path, initial: Path | None) -> PreTrainedTokenizerBase:
    """The pretrained base's, the one of the model that the run starts from, or one that is learnt from the corpus."""
    if initial is not None and not model_config.language.base:
        return tokenizers.load(initial)
    folder = run / "tokenizer"
    if model_config.language.base and not (folder / "tokenizer.json").is_file():
        tokenizers.save(base_tokenizer(model_config.language.base), folder)
    elif not (folder / "tokenizer.json").is_file():
        texts = islice(sentences(seed, TOKENIZER_TEXTS), TOKENIZER_TEXTS)
        tokenizers.save(tokenizers.train_tokenizer(texts, model_config.language.vocab_size), folder)
    return tokenizers.load(folder)


def _provenance(config: TrainConfig, cases: list[Case]) -> dict[str, object]:
    """What a run was made of."""
    phantoms = sum(case.is_phantom for case in cases)
    return {
        "phantoms": phantoms,
        "scans": len(cases) - phantoms,
        "data_sha256": data_hash(cases),
        "code": code_version(),
        "torch": torch.__version__,
        "device": device_name(),
        "precision": precision(),
        "seeds": {"weights_and_sampling": config.seed, "first_phantom": config.phantom_seed},
    }


def _metadata(training: dict[str, object], masks: dict[str, object], *, writes_queries: bool) -> dict[str, object]:
    """What the code needs to know of a model, and how the model was trained."""
    return {
        "minimum_code_version": medvlsam2.__version__,
        **masks,
        "queries": writes_queries,
        "training": training,
    }


def _known_masks(cases: list[Case]) -> dict[str, object]:
    """Of which objects the model has seen masks."""
    keys = {key for case in cases for key in case.present_keys}
    lesions = [lesion for case in cases if case.facts is not None for lesion in case.facts.lesions]
    findings = {finding_key(lesion) for lesion in lesions}
    return {
        "structures": [key for key in vocabulary.STRUCTURES if key in keys & COMMON],
        "findings": [key for key in vocabulary.STRUCTURES if key in findings],
        "trained_on": [key for key in vocabulary.STRUCTURES if key in keys],
    }
