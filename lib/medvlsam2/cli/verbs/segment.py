"""``medvlsam2 segment``: masks of what words, clicks and a box mean."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jsonargparse import ArgumentParser, Namespace

from medvlsam2.cli import console, values
from medvlsam2.cli.values import Click
from medvlsam2.cli.verb import Verb, add_image, add_json, add_model, add_overwrite
from medvlsam2.data.quantities import told
from medvlsam2.errors import InvalidPrompt
from medvlsam2.model.registry import resolve_model
from medvlsam2.voxel_box import BoxIJK

if TYPE_CHECKING:
    from medvlsam2.tasks.prompts import ObjectPrompt

NAMED: Final = 5
"""So many objects stand in a sentence."""


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the verb."""
    add_image(parser)
    parser.add_argument(
        "--prompt",
        action="append",
        default=[],
        metavar="TEXT",
        help="a structure or a phrase; repeat it for several: label n is the n-th prompt. A phrase of several objects "
        "('liver, spleen') gives each its own label",
    )
    parser.add_argument(
        "--point",
        action="append",
        default=[],
        metavar="I,J,K,+",
        help="click on (+) or beside (-) the object of the one prompt, or of an unnamed one; may be repeated",
    )
    parser.add_argument("--box", metavar="I0,I1,J0,J1,K0,K1", help="box round that object: half-open voxel indices")
    parser.add_argument("-o", "--output", metavar="FILE", help="label map to write: .nii.gz, .nii, .nrrd, .seg.nrrd")
    parser.add_argument("--png", metavar="FILE", help="picture to write")
    add_overwrite(parser)
    add_json(parser)
    add_model(parser)


def run(arguments: Namespace) -> int:
    """Segment one scan. What is not in it is an answer too: exit code 0, and a warning where nothing was found."""
    clicks = tuple(map(values.point, arguments.point))
    box = values.box(arguments.box) if arguments.box is not None else None

    from medvlsam2.data.label_maps import WRITABLE_SUFFIXES, write_label_map
    from medvlsam2.data.readers import read_volume

    model_dir = resolve_model(arguments.model)
    mask = _output(arguments, arguments.output, "--output", WRITABLE_SUFFIXES)
    png = _output(arguments, arguments.png, "--png", (".png",))
    volume = read_volume(arguments.image)
    console.warn(volume.warnings)
    prompts = _prompts(arguments.prompt, clicks, box)

    from medvlsam2.tasks.engine.engine import Engine
    from medvlsam2.tasks.overlay import write_overlay
    from medvlsam2.tasks.records.to_json import to_json
    from medvlsam2.tasks.segment import segment

    engine = Engine(model_dir, arguments.device)
    with console.bar("Segmenting") as tell:
        found = segment(engine, volume, prompts, progress=tell)
    console.warn([warning for warning in found.warnings if warning not in volume.warnings])
    if not found.label_map.any():
        console.warn([f"Nothing of what was asked for is seen in this scan{': the mask is empty' if mask else ''}."])
    if mask:
        write_label_map(mask, found.label_map, volume.affine, dict(enumerate((o.name for o in found.objects), start=1)))
    if png:
        write_overlay(png, volume, found.label_map, found.objects)
    told = to_json(found, model_id=engine.model_id, model_version=engine.version)
    record = {"image_id": volume.image_id, **told, "mask": _text(mask), "png": _text(png)}
    if arguments.json:
        console.show_json(record)
    else:
        _show(record)
    return 0


VERB = Verb(add_arguments, run)


def _output(arguments: Namespace, text: str | None, option: str, suffixes: Sequence[str]) -> Path | None:
    if text is None:
        return None
    return values.output_path(text, option, suffixes, overwrite=arguments.overwrite, inputs=[arguments.image])


def _prompts(texts: Sequence[str], clicks: Sequence[Click], box: BoxIJK | None) -> list[ObjectPrompt]:
    """One prompt for each object that the texts name; clicks and a box go to the only one, or to an unnamed object.

    Raises:
        InvalidPrompt: if several objects are named beside clicks or a box, one is named twice, or a text can be read
            in two ways.
    """
    from medvlsam2.tasks.prompts import ObjectPrompt

    if texts and not clicks and box is None:
        return _named_objects(texts)
    _require_one_object(texts)
    return [
        ObjectPrompt(
            text=texts[0] if texts else None,
            points_ijk=tuple(place for place, _ in clicks),
            point_labels=tuple(label for _, label in clicks),
            box_ijk=box,
        )
    ]


def _named_objects(texts: Sequence[str]) -> list[ObjectPrompt]:
    """The objects of all texts in order. One that is named twice is refused: values must not shift without a word."""
    from medvlsam2.data import vocabulary
    from medvlsam2.tasks.phrases.several import requested
    from medvlsam2.tasks.prompts import ObjectPrompt

    named: dict[str, ObjectPrompt] = {}
    for prompt in (ObjectPrompt(text=phrase) for text in texts for phrase in requested(text)):
        known = vocabulary.lookup(prompt.text or "")
        key = known.key if known is not None else prompt.display_name.lower()
        if key in named:
            raise InvalidPrompt(
                f"'{named[key].text}' and '{prompt.text}' name one object, and a voxel has one value. Name each "
                "object once."
            )
        named[key] = prompt
    return list(named.values())


def _require_one_object(texts: Sequence[str]) -> None:
    """Refuse several objects beside clicks or a box. Words that can be read in two ways leave it to the geometry."""
    from medvlsam2.tasks.phrases.several import objects_in

    advice = "together with clicks or a box. A click or a box belongs to one object: give one --prompt, or none."
    if len(texts) > 1:
        raise InvalidPrompt(f"{len(texts)} prompts given {advice}")
    named: tuple[str, ...] = ()
    with suppress(InvalidPrompt):
        named = objects_in(texts[0]) if texts else ()
    if len(named) > 1:
        raise InvalidPrompt(f"'{texts[0]}' names {len(named)} objects ({', '.join(named[:NAMED])}), given {advice}")


def _show(record: dict[str, Any]) -> None:
    """Print the record as a table. The last column is the slice where a correction helps most, counted from 0."""
    columns = ("label", "object", "present", "volume", "diameter", "confidence", "slice to fix")
    console.show_table(columns, map(_row, record["objects"]))
    for item in record["objects"]:
        if not item["present"] and item["reason"]:
            console.show_text(f"{item['name']}: {item['reason']}")
    for what in ("mask", "png"):
        if record[what]:
            console.show_text(f"{what}: {record[what]}")
    console.show_notice(f"{record['model_id']} {record['model_version']}", f"{record['latencies']['total']:.1f} s")


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    """One object of a record as a row of the table; sizes only where the object is present."""
    meant = item["recognised_as"] or (item["understood_as"] if item["understood_as"] != item["name"] else "")
    recognised = f" (recognised as {meant})" if item["recognised_as"] else f" ({meant})" if meant else ""
    return (
        ", ".join(map(str, item["values"])),
        item["name"] + recognised,
        "yes" if item["present"] else "no",
        told(item["volume_ml"], "mL") if item["present"] else "",
        told(item["diameter_mm"], "mm") if item["present"] else "",
        f"{item['confidence']:.2f}",
        "" if item["slice_to_fix"] is None else str(item["slice_to_fix"]),
    )


def _text(path: Path | None) -> str | None:
    return str(path) if path else None
