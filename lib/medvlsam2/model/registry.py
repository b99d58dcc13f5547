"""Where models are: from a name that a person types to a model folder.

Names are folders under the models directory: the checkout's ``model/``, or what the setting ``models`` names
(MEDVLSAM2_MODELS in the environment). Where no model is named, the best one that can run here is taken. What the
weights hold is :mod:`medvlsam2.model.checkpoint`'s matter, so this module imports no torch.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import medvlsam2
from medvlsam2.errors import CheckpointMismatch, MedVLSAM2Error, MissingCheckpoint, nearest_hint
from medvlsam2.model.language.base_file import require_base
from medvlsam2.model.version_folders import CONFIG, require_files
from medvlsam2.settings.reading import from_environment

logger = logging.getLogger(__name__)

AUTO: Final = "auto"
"""In place of a model's name: the first of :data:`BY_DEFAULT` that is there and can run."""
BY_DEFAULT: Final = ("small", "nano")
"""The better one first. ``small`` segments as ``nano`` does and understands more
questions and phrases (the evaluations are in the models' cards); ``nano`` needs no other package."""
PREFIX: Final = "medvlsam2-"


@dataclass(frozen=True)
class Chosen:
    """A model to be used."""

    folder: Path
    """Its folder."""
    passed_over: str = ""
    """Why a better model is not used, in words; empty where there is none."""


def checkout() -> Path:
    """Root of the source checkout that the package runs from."""
    return Path(medvlsam2.__file__).resolve().parents[2]


def models_dir(chosen: str | None = None) -> Path:
    """The folder of model folders: the chosen one, the environment's, or the checkout's.

    Raises:
        MissingCheckpoint: if a folder is named that is not there.
    """
    named = chosen or from_environment("models", os.environ)
    if not named:
        return checkout() / "model"
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise MissingCheckpoint(
            f"The setting 'models' is '{named}', which is no folder. Give the folder in which the model folders lie; "
            "one model is chosen with the setting 'model'."
        )
    return folder


def model_ids(models: Path) -> list[str]:
    """Names of the models in a folder of model folders."""
    return sorted(path.parent.name for path in models.glob("*/config.yaml"))


def resolve_model(name_or_path: str | Path, models: str | None = None) -> Path:
    """Folder of a model.

    Args:
        name_or_path: a model's id ("medvlsam2-nano", or "nano" for short), the path of a model folder, or "auto":
            the best model that can run here, and a line in the log if a better one cannot.
        models: folder of the models that have a name; by default as :func:`models_dir`.

    Raises:
        MissingCheckpoint: if there is no such model; the message names the models that are there.
    """
    if name_or_path != AUTO:
        return _named(name_or_path, models)
    chosen = choose_model(models=models)
    if chosen.passed_over:
        logger.warning("%s", chosen.passed_over)
    return chosen.folder


def choose_model(named: str = AUTO, models: str | None = None) -> Chosen:
    """The model to serve.

    Args:
        named: a model's id, the path of its folder, or "auto".
        models: folder of the models that have a name; by default as :func:`models_dir`.

    Raises:
        MissingCheckpoint, CheckpointMismatch: if the named model is not there, or cannot run because its language model
            is not installed or was altered.
    """
    if named != AUTO:
        folder = _named(named, models)
        require_language(folder)
        return Chosen(folder)
    passed_over = ""
    *better, last = BY_DEFAULT
    for name in better:
        folder = models_dir(models) / f"{PREFIX}{name}"
        try:
            if (folder / CONFIG).is_file():
                require_files(folder)
                require_language(folder)
                return Chosen(folder.resolve(), passed_over)
        except MedVLSAM2Error as error:
            passed_over = f"Model '{last}' is used instead of '{name}'. {error}"
    return Chosen(_named(last, models), passed_over)


def require_language(folder: Path) -> None:
    """Refuse a model whose language model lies in a package that is not installed, or whose file there is damaged.

    Raises:
        MissingCheckpoint, CheckpointMismatch: as :func:`~medvlsam2.model.language.base_file.require_base`.
    """
    import yaml

    path = folder / CONFIG
    if not path.is_file():
        return  # not a whole model folder, which is told when the weights are read
    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CheckpointMismatch(f"'{path}' cannot be read ({error}). Copy the file again.") from error
    language = record.get("language") if isinstance(record, dict) else None
    base = language.get("base") if isinstance(language, dict) else None
    if base:
        require_base(str(base))


def _named(name_or_path: str | Path, models: str | None) -> Path:
    given = str(name_or_path)
    named = models_dir(models)
    by_name = [named / given, named / f"{PREFIX}{given}"]
    is_name = bool(given.strip()) and Path(given).name == given and given != ".."
    for folder in (*(by_name if is_name else ()), Path(given).expanduser()):
        if given.strip() and folder.is_dir():
            return folder.resolve()
    known = model_ids(named)
    hint = nearest_hint(given, [*known, *(name.removeprefix(PREFIX) for name in known)], count=1)
    raise MissingCheckpoint(
        f"'{given}' is neither a model nor a model folder. {hint + ' ' if hint else ''}"
        f"Models in '{named}': {', '.join(known) or 'none'}. "
        "Give one of them or the path of a folder, or train one with 'medvlsam2 train'."
    )
