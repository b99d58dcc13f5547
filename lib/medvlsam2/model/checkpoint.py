"""Model folders: ``config.yaml`` and ``metadata.json`` beside safetensors weights and the tokenizer.

A folder is the only way to rebuild a model. Fine-tuned versions are folders of their own that hold just the tensors
that changed; the version in use is named by a file ``current`` that is swapped atomically, so a reader sees the old
version or the new one, never a half-written one. Versions are never changed once written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import torch
import yaml
from jaxtyping import Int
from packaging.version import Version
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from medvlsam2 import __version__, atomic_files
from medvlsam2.config import ModelConfig, to_dict
from medvlsam2.data.language import chat
from medvlsam2.data.language import tokenizer as tokenizers
from medvlsam2.errors import CheckpointMismatch
from medvlsam2.model.builders import build
from medvlsam2.model.language import constrained
from medvlsam2.model.language.constrained import Written
from medvlsam2.model.language.decoder import is_adapter
from medvlsam2.model.language.grammars import Grammars
from medvlsam2.model.language.prefix_cache import PrefixCache
from medvlsam2.model.language.special_tokens import SpecialTokens
from medvlsam2.model.medvlsam2 import MedVLSAM2
from medvlsam2.model.version_folders import (
    ADAPTER,
    BASE_VERSION,
    CONFIG,
    METADATA,
    WEIGHTS,
    current_version,
    require_files,
    set_current,
    version_folder,
)
from medvlsam2.strict_reading import OnceLoader, read_strictly

_SHOWN_KEYS: Final = 10
_DECODER: Final = "language.decoder."
_TRAINED_NEW: Final = (chat.IMAGE_START, chat.IMAGE_END)
"""New tokens besides [SEG] that get an offset; image tokens replace the embedding of ``<IMG_CONTEXT>``."""


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory, ready to be asked."""

    model: MedVLSAM2
    tokenizer: PreTrainedTokenizerBase
    config: ModelConfig
    metadata: dict[str, Any]
    version: str

    @cached_property
    def grammars(self) -> Grammars:
        """Grammars for this tokenizer, compiled on first use."""
        return Grammars(self.tokenizer, self.config.language.vocab_size)

    def write(
        self,
        prefix_cache: PrefixCache,
        turn_ids: Int[Tensor, " t"],
        grammar: str,
        *,
        max_new_tokens: int,
        between: Callable[[], None] | None = None,
    ) -> Written:
        """Continue a turn under a grammar: :func:`medvlsam2.model.language.constrained.write` says how."""
        return constrained.write(
            self.model.language,
            prefix_cache,
            turn_ids,
            self.grammars,
            grammar,
            max_new_tokens=max_new_tokens,
            between=between,
        )

    def page(
        self, prefix_cache: PrefixCache, turn_ids: Int[Tensor, " t"], between: Callable[[], None] | None = None
    ) -> constrained.Page:
        """A turn that grows text by text (:class:`medvlsam2.model.language.constrained.Page`)."""
        return constrained.Page(self.model.language, prefix_cache, turn_ids, self.grammars, between)


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> SpecialTokens:
    """The ids that the model itself must know."""
    ids = tokenizers.token_ids(tokenizer)
    return SpecialTokens(
        image_context=ids[chat.IMAGE_CONTEXT],
        seg=ids[chat.SEG],
        eos=ids[chat.TURN_END],
        pad=ids[chat.END_OF_TEXT],
        # A parent's tokenizer lacks them: they were added behind its own tokens.
        new=tuple(ids[token] for token in _TRAINED_NEW if ids[token] >= tokenizer.vocab_size),
    )


def save(folder: Path, model: MedVLSAM2, tokenizer: PreTrainedTokenizerBase, metadata: dict[str, Any]) -> None:
    """Write a whole model in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(yaml.safe_dump(to_dict(model.config), sort_keys=False), encoding="utf-8")
    tokenizers.save(tokenizer, folder)
    save_file(_compact(_own_tensors(model)), str(folder / WEIGHTS))
    (folder / METADATA).write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")


def load(folder: Path, device: str = "cpu") -> LoadedModel:
    """Read a model folder in the version that is current.

    Raises:
        MissingCheckpoint: if a file that a model needs is not there.
        CheckpointMismatch: if a file is damaged, weights do not fit the configuration, or the model needs a newer
            version of this package.
        InvalidConfig: if ``config.yaml`` lacks a key, or holds an unknown one or a value that is not allowed.
    """
    require_files(folder)
    config = read_strictly(ModelConfig, _read_record(folder / CONFIG), f"'{folder / CONFIG}'")
    tokenizer = tokenizers.load(folder)
    model = build(config, special_tokens(tokenizer))
    metadata = _read_record(folder / METADATA)
    _require_code(metadata, folder.name)
    tensors = _read(folder / WEIGHTS)
    version = current_version(folder)
    if version != BASE_VERSION:
        changed = _read(version_folder(folder, version) / ADAPTER)
        require_fit(changed.keys() & tensors.keys(), changed.keys(), f"{version}/{ADAPTER}")
        tensors |= changed
        metadata |= _read_record(version_folder(folder, version) / METADATA)
    load_tensors(model, tensors, str(folder / WEIGHTS))
    return LoadedModel(model.place(torch.device(device)).eval(), tokenizer, config, metadata, version)


def load_tensors(model: MedVLSAM2, tensors: dict[str, Tensor], source: str) -> None:
    """Put tensors into a model.

    Raises:
        CheckpointMismatch: naming the first missing, unexpected and misshapen keys.
    """
    own = _own_tensors(model)
    misshapen = [
        f"{key} {tuple(tensors[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own.keys() & tensors.keys()
        if tensors[key].shape != own[key].shape
    ]
    require_fit(own.keys(), tensors.keys(), source, misshapen)
    with torch.no_grad():
        for key, tensor in own.items():
            tensor.copy_(tensors[key])


def require_fit(wanted: Iterable[str], given: Iterable[str], source: str, misshapen: Iterable[str] = ()) -> None:
    """Refuse weights that do not fit.

    Raises:
        CheckpointMismatch: naming the first keys of each kind.
    """
    kinds = {
        "missing": sorted(set(wanted) - set(given)),
        "unexpected": sorted(set(given) - set(wanted)),
        "misshapen": sorted(misshapen),
    }
    problems = [
        f"{len(keys)} {kind} ({', '.join(keys[:_SHOWN_KEYS])}{' …' if len(keys) > _SHOWN_KEYS else ''})"
        for kind, keys in kinds.items()
        if keys
    ]
    if problems:
        raise CheckpointMismatch(
            f"Weights '{source}' do not fit the model: {'; '.join(problems)}. Every tensor of the configuration must "
            "be there in its shape; use the config.yaml that belongs to these weights."
        )


def publish(folder: Path, version: str, tensors: dict[str, Tensor], metadata: dict[str, Any], *, use: bool) -> None:
    """Write a version and, if ``use``, make it the current one.

    Args:
        folder: the model's folder.
        version: its name; must be new.
        tensors: the tensors that differ from the base.
        metadata: provenance and metrics.
        use: whether the server should answer with it from the next request on.

    Raises:
        CheckpointMismatch: if the version exists.
    """
    target = version_folder(folder, version)
    if target.exists():
        raise CheckpointMismatch(f"Version '{version}' exists; versions are never changed. Choose another name.")
    with atomic_files.new_folder(target) as partial:
        save_file(_compact(tensors), str(partial / ADAPTER))
        (partial / METADATA).write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
    if use:
        set_current(folder, version)


def trainable_tensors(model: nn.Module) -> dict[str, Tensor]:
    """What fine-tuning changed: the tensors that require a gradient."""
    return {name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad}


def _require_code(metadata: dict[str, Any], name: str) -> None:
    needed = metadata.get("minimum_code_version")
    if needed is not None and Version(needed) > Version(__version__):
        raise CheckpointMismatch(
            f"Model '{name}' needs medvlsam2 {needed} or newer; this is medvlsam2 {__version__}. Install the newer "
            "version, or use another model."
        )


def _own_tensors(model: MedVLSAM2) -> dict[str, Tensor]:
    """The state dict without second names of shared tensors, and without a base that a package brings."""
    own: dict[str, Tensor] = {}
    seen: set[int] = set()
    for key, tensor in model.state_dict().items():
        if model.config.language.base and key.startswith(_DECODER) and not is_adapter(key):
            continue
        if tensor.data_ptr() not in seen or not tensor.numel():
            seen.add(tensor.data_ptr())
            own[key] = tensor
    return own


def _compact(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        key: (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
        for key, tensor in tensors.items()
    }


def _read_record(path: Path) -> dict[str, Any]:
    """A YAML or JSON file that holds one mapping."""
    try:
        text = path.read_text(encoding="utf-8")
        record = json.loads(text) if path.suffix == ".json" else yaml.load(text, OnceLoader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CheckpointMismatch(f"'{path}' cannot be read ({error}). Copy the file again.") from error
    if not isinstance(record, dict):
        raise CheckpointMismatch(f"'{path}' holds {record!r}; a mapping of names is allowed. Copy the file again.")
    return record


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(str(path))
    except Exception as error:  # safetensors raises its own untyped errors on a damaged file
        raise CheckpointMismatch(f"Weights '{path}' cannot be read ({error}). Copy the file again.") from error
