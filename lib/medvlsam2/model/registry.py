"""Where models are: from a name that a person types to a model folder.

Names are folders under the models directory: the checkout's ``model/``, or what the setting ``models`` names
(MEDVLSAM2_MODELS in the environment). Only paths are looked at; what a folder holds is
:mod:`medvlsam2.model.checkpoint`'s matter, so this module imports no torch.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import medvlsam2
from medvlsam2.errors import MissingCheckpoint, nearest_hint
from medvlsam2.settings.reading import from_environment

DEFAULT_MODEL: Final = "nano"
PREFIX: Final = "medvlsam2-"


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
        name_or_path: a model's id ("medvlsam2-nano", or "nano" for short), or the path of a model folder.
        models: folder of the models that have a name; by default as :func:`models_dir`.

    Raises:
        MissingCheckpoint: if there is no such model; the message names the models that are there.
    """
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
