"""A pretrained base in memory: its GGUF file is converted once, and later read from this user's cache.

The cache holds one safetensors file for each base. All weights are kept in bfloat16, the type in which the base is
computed where the hardware can: so training and serving, on any machine, read the same numbers. SmolLM2's 4-bit weights
(Q4_1: 16 levels between a block's lowest and highest) are off by several percent from what was trained; rounding to
bfloat16 adds 0.13 % (measured, relative norm), and nothing to the norms' weights.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tokenizers import pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from medvlsam2 import atomic_files
from medvlsam2.data.language import tokenizer as tokenizers
from medvlsam2.data.language.chat import END_OF_TEXT, TURN_END
from medvlsam2.errors import MedVLSAM2Error
from medvlsam2.model.language.base_file import PretrainedBase, known_base, require_base

logger = logging.getLogger(__name__)

DTYPE: Final = torch.bfloat16
_ONE_AT_A_TIME: Final = threading.Lock()
"""While transformers reads a model it replaces methods of its own classes; two threads would leave them replaced."""
_DIGEST: Final = "blake2b"
_SOURCE: Final = "source_sha256"


def cache_folder() -> Path:
    """Where converted bases are kept: ``medvlsam2/bases`` in the user's cache folder (XDG base directories)."""
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    # The standard says that a relative path is to be ignored.
    parent = Path(chosen) if Path(chosen).is_absolute() else Path.home() / ".cache"
    return parent / "medvlsam2" / "bases"


def base_weights(name: str) -> dict[str, Tensor]:
    """Weights of a base in bfloat16 under the names of its class in transformers, without the shared output layer.

    Any number of processes may call this at once: each writes the cache under a name of its own and renames it. Threads
    take turns.

    Raises:
        InvalidConfig: on an unknown name.
        MissingCheckpoint, CheckpointMismatch: as :func:`~medvlsam2.model.language.base_file.require_base`.
    """
    base, source = known_base(name), require_base(name)
    cached = cache_folder() / f"{name}-{base.sha256[:12]}.safetensors"
    with _ONE_AT_A_TIME:
        weights = _read(cached, base)
        if weights is None:
            logger.info("Converting the language model %s, once; this takes some seconds", base.name)
            weights = _convert(source)
            _keep(weights, cached, base)
    return weights


def base_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The base's own tokenizer with our special tokens added; a new model is trained with it and brings it along.

    Raises:
        InvalidConfig: on an unknown name.
        MissingCheckpoint, CheckpointMismatch: as :func:`~medvlsam2.model.language.base_file.require_base`.
    """
    from transformers import AutoTokenizer

    source = require_base(name)
    read = AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name, local_files_only=True)
    backend = read.backend_tokenizer
    # GGUF tells only the name of this rule ("smollm"): single digits, then words as GPT-2 splits them.
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        model_max_length=tokenizers.MAX_LENGTH,
        clean_up_tokenization_spaces=False,
    )
    tokenizers.add_special_tokens(tokenizer)
    return tokenizer


def _convert(source: Path) -> dict[str, Tensor]:
    """What transformers reads from a GGUF file, in bfloat16."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        str(source.parent), gguf_file=source.name, local_files_only=True, dtype=torch.float32
    )
    return {name: tensor.to(DTYPE) for name, tensor in model.state_dict().items() if name != "lm_head.weight"}


def _keep(weights: dict[str, Tensor], cached: Path, base: PretrainedBase) -> None:
    """Write the cache; a folder that takes no writes only costs time at the next start."""
    told = {_SOURCE: base.sha256, _DIGEST: _digest(weights)}
    try:
        atomic_files.make_folder(cached.parent)
        with atomic_files.replacing(cached) as partial:
            save_file(weights, str(partial), metadata=told)
    except (MedVLSAM2Error, OSError, SafetensorError) as error:
        logger.warning("The converted language model %s is not kept for the next start: %s", base.name, error)


def _read(cached: Path, base: PretrainedBase) -> dict[str, Tensor] | None:
    """The cached weights; None where there are none, or where they are damaged."""
    if not cached.is_file():
        return None
    try:
        with safe_open(cached, framework="pt") as stream:
            told = stream.metadata() or {}
            weights = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as error:
        logger.warning("The converted language model %s cannot be read (%s); it is made anew", base.name, error)
        return None
    if told.get(_SOURCE) != base.sha256 or told.get(_DIGEST) != _digest(weights):
        logger.warning("The converted language model %s was damaged; it is made anew", base.name)
        return None
    return weights


def _digest(weights: Mapping[str, Tensor]) -> str:
    """A hash of names and values, to notice damage (0.2 s for 270 MB)."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
