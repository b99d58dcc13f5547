"""``medvlsam2 train``: from nothing but a preset (and scans, if there are any) to a model folder."""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

import medvlsam2
from medvlsam2.config import ModelConfig
from medvlsam2.data import vocabulary
from medvlsam2.data.language import tokenizer as tokenizers
from medvlsam2.data.language.corpus import sentences
from medvlsam2.errors import DatasetError
from medvlsam2.model import builders, checkpoint
from medvlsam2.training.cases import Case, cache_folder, cache_phantom, load_case
from medvlsam2.training.config import TrainConfig
from medvlsam2.training.loop import Line, fit
from medvlsam2.training.samples import COMMON

logger = logging.getLogger(__name__)

TOKENIZER_TEXTS = 20_000
"""Conversations from which the tokenizer of a model without parents learns its merges."""


def train(
    config: TrainConfig,
    *,
    output: Path,
    run: Path,
    cache: Path,
    data: Path | None,
    workers: int,
    report: Callable[[Line], None],
) -> None:
    """Train a preset and write a model folder.

    Args:
        config: what to train and how.
        output: model folder to write.
        run: folder of the run: logs and the checkpoint from which it resumes.
        cache: folder of prepared scans and phantoms, kept between runs.
        data: folder with ``ct/``, ``split.json`` as in the project's data set; None: phantoms alone.
        workers: processes that draw phantoms.
        report: called every few steps.
    """
    model_config = builders.preset(config.preset)
    tokenizer = _tokenizer(model_config, config.seed, run)
    model = builders.build(model_config, checkpoint.special_tokens(tokenizer), seed=config.seed)
    cases = prepare_cases(config, model_config, cache, data, workers) if set(config.stages) != {0} else []
    fit(model, tokenizer, cases, config, run=run, report=report)
    checkpoint.save(output, model, tokenizer, _metadata(config, model_config, cases))


def prepare_cases(
    config: TrainConfig, model_config: ModelConfig, cache: Path, data: Path | None, workers: int
) -> list[Case]:
    """Cached phantoms and the scans of the ``train`` split."""
    folders = []
    if data is not None:
        folders += cache_folder(data, _train_split(data), cache, model_config)
    seeds = range(config.phantom_seed, config.phantom_seed + config.phantoms)
    with ProcessPoolExecutor(max_workers=workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        folders += pool.map(cache_phantom, seeds, [cache] * len(seeds), [model_config] * len(seeds), chunksize=1)
    return [load_case(folder) for folder in folders]


def _train_split(data: Path) -> list[str]:
    path = data / "split.json"
    if not path.is_file():
        raise DatasetError(f"'{data}' has no split.json that names the training cases. Add one, or leave out --data.")
    case_ids: list[str] = json.loads(path.read_text(encoding="utf-8"))["train"]
    return case_ids


def _tokenizer(model_config: ModelConfig, seed: int, run: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of the run, learnt once from the corpus."""
    folder = run / "tokenizer"
    if not (folder / "tokenizer.json").is_file():
        texts = islice(sentences(seed, TOKENIZER_TEXTS), TOKENIZER_TEXTS)
        tokenizers.save(tokenizers.train_tokenizer(texts, model_config.language.vocab_size), folder)
    return tokenizers.load(folder)


def _metadata(config: TrainConfig, model_config: ModelConfig, cases: list[Case]) -> dict[str, object]:
    """What a program wants to know of a model."""
    scans = [case for case in cases if not case.is_phantom]
    keys = {key for case in cases for key in case.present_keys}
    return {
        "model_id": model_config.model_id,
        "version": medvlsam2.__version__,
        "minimum_code_version": medvlsam2.__version__,
        "intended_use": "Research only; not a medical device.",
        "licence": "Apache-2.0",
        "supported_prompts": ["text", "points", "box", "text+points", "text+box"],
        "supported_tasks": ["segment", "report", "answer"],
        "structures": [key for key in vocabulary.STRUCTURES if key in keys & COMMON],
        "trained_on": [key for key in vocabulary.STRUCTURES if key in keys],
        "input": {"modality": "CT", "format": "hounsfield", "dimensions": 3},
        "base_models": [],
        "training": {
            "config": asdict(config),
            "phantoms": len(cases) - len(scans),
            "scans": len(scans),
            "code": _code_version(),
            "torch": torch.__version__,
        },
    }


def _code_version() -> str:
    """Commit of the code, where it runs from a checkout."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return medvlsam2.__version__
    return found.stdout.strip()
