"""``medvlsam2 versions``: what fine-tuning made of a model, and the way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from medvlsam2.cli import console
from medvlsam2.cli.verb import Verb, add_json
from medvlsam2.model.registry import resolve_model


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("model", metavar="MODEL", help="id of a model, or path of a model folder")
    parser.add_argument("--use", metavar="VERSION", help='make this version answer from now on; "base" is the original')
    add_json(parser)


def run(arguments: Namespace) -> int:
    """List versions, or choose one."""
    folder = resolve_model(arguments.model)

    from medvlsam2.model import version_folders

    if arguments.use is not None:
        version_folders.set_current(folder, arguments.use)
    current = version_folders.current_version(folder)
    found = [
        {"version": name, "current": name == current, **_card(folder, name)}
        for name in version_folders.versions(folder)
    ]
    if arguments.json:
        console.show_json({"model_id": folder.name, "current": current, "versions": found})
        return 0
    rows = [
        ("→" if item["current"] else "", item["version"], item["created"] or "", item["parent"] or "", _dice(item))
        for item in found
    ]
    console.show_table(("", "version", "created", "from", "hold-out Dice before → after"), rows)
    console.warn(
        f"{item['version']} was not published{', but was chosen and answers' if item['current'] else ''}: "
        f"{'; '.join(item['refused'])}"
        for item in found
        if item["refused"]
    )
    return 0


VERB = Verb(add_arguments, run)


def _card(folder: Path, version: str) -> dict[str, Any]:
    """When a version was made, from which one, its hold-out scores, and why it was refused, if it was."""
    from medvlsam2.model import version_folders

    path = version_folders.version_folder(folder, version) / version_folders.METADATA
    card = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {
        "created": card.get("created"),
        "parent": card.get("parent_version"),
        "metrics": card.get("metrics", {}),
        "refused": card.get("refused", []),
    }


def _dice(item: dict[str, Any]) -> str:
    before, after = (item["metrics"].get(f"hold_out_dice_{when}") for when in ("before", "after"))
    return f"{before:.3f} → {after:.3f}" if before is not None and after is not None else ""
