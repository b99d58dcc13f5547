"""``medvlsam2 segment``: masks of what words, clicks and a box mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from medvlsam2.cli import console, values
from medvlsam2.cli.values import BoxIJK, Click
from medvlsam2.cli.verb import Verb, add_image, add_json, add_model, add_overwrite
from medvlsam2.errors import InvalidPrompt
from medvlsam2.model.registry import resolve_model

if TYPE_CHECKING:
    from medvlsam2.tasks.engine import Engine
    from medvlsam2.tasks.prompts import ObjectPrompt
    from medvlsam2.tasks.segment import Segmentation


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the verb."""
    add_image(parser)
    parser.add_argument(
        "--prompt",
        action="append",
        default=[],
        metavar="TEXT",
        help="a structure or a phrase; repeat it for several: label n is the n-th prompt",
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
    """Segment one scan."""
    clicks = tuple(map(values.point, arguments.point))
    box = values.box(arguments.box) if arguments.box is not None else None
    if len(arguments.prompt) > 1 and (clicks or box):
        raise InvalidPrompt(
            f"{len(arguments.prompt)} prompts given together with clicks or a box. A click or a box belongs to one "
            "object: give one --prompt, or none."
        )

    from medvlsam2.data.label_maps import WRITABLE_SUFFIXES, write_label_map
    from medvlsam2.data.readers import read_volume

    model_dir = resolve_model(arguments.model)
    mask = _output(arguments, arguments.output, "--output", WRITABLE_SUFFIXES)
    png = _output(arguments, arguments.png, "--png", (".png",))
    volume = read_volume(arguments.image)
    console.warn(volume.warnings)
    prompts = _prompts(arguments.prompt, clicks, box)

    from medvlsam2.tasks.engine import Engine
    from medvlsam2.tasks.overlay import write_overlay
    from medvlsam2.tasks.segment import segment

    engine = Engine(model_dir, arguments.device)
    with console.bar("Segmenting") as tell:
        found = segment(engine, volume, prompts, progress=tell)
    console.warn([warning for warning in found.warnings if warning not in volume.warnings])
    if mask:
        write_label_map(mask, found.label_map, volume.affine, dict(enumerate((o.name for o in found.objects), start=1)))
    if png:
        write_overlay(png, volume, found.label_map, found.objects)
    record = {"image_id": volume.image_id, **_record(engine, found), "mask": _text(mask), "png": _text(png)}
    if arguments.json:
        console.show_json({**record, "notice": console.NOTICE})
    else:
        _show(record)
    return 0


VERB = Verb(add_arguments, run)


def _output(arguments: Namespace, text: str | None, option: str, suffixes: Sequence[str]) -> Path | None:
    if text is None:
        return None
    return values.output_path(text, option, suffixes, overwrite=arguments.overwrite, inputs=[arguments.image])


def _prompts(texts: Sequence[str], clicks: Sequence[Click], box: BoxIJK | None) -> list[ObjectPrompt]:
    """One prompt per text; clicks and box go to the only one, or to an unnamed object."""
    from medvlsam2.tasks.prompts import ObjectPrompt

    if len(texts) > 1:
        return [ObjectPrompt(text=text) for text in texts]
    return [
        ObjectPrompt(
            text=texts[0] if texts else None,
            points_ijk=tuple(place for place, _ in clicks),
            point_labels=tuple(label for _, label in clicks),
            box_ijk=box,
        )
    ]


def _record(engine: Engine, found: Segmentation) -> dict[str, Any]:
    return {
        "model_id": engine.model_id,
        "model_version": engine.version,
        "objects": [
            {
                "label": number,
                "name": item.name,
                "present": item.present,
                "volume_ml": round(item.volume_ml, 3),
                "confidence": round(item.confidence, 4),
                "recognised_as": item.recognised_as,
            }
            for number, item in enumerate(found.objects, start=1)
        ],
        "warnings": list(found.warnings),
        "latencies_s": {name: round(seconds, 3) for name, seconds in found.latencies_s.items()},
    }


def _show(record: dict[str, Any]) -> None:
    rows = [
        (
            str(item["label"]),
            item["name"] + (f" ({item['recognised_as']})" if item["recognised_as"] else ""),
            f"{item['volume_ml']:.1f} mL" if item["present"] else "not found",
            f"{item['confidence']:.2f}",
        )
        for item in record["objects"]
    ]
    console.show_table(("label", "object", "volume", "confidence"), rows)
    for what in ("mask", "png"):
        if record[what]:
            console.show_text(f"{what}: {record[what]}")
    console.show_notice(f"{record['model_id']} {record['model_version']}", f"{record['latencies_s']['total']:.1f} s")


def _text(path: Path | None) -> str | None:
    return str(path) if path else None
