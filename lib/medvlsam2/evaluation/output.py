"""Files of an evaluation: a JSON file for programs, a table for people, and every single measurement and text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from medvlsam2.evaluation.measurement import Row
from medvlsam2.evaluation.plots import write_plots
from medvlsam2.evaluation.run import Evaluation

JSON_FILE: Final = "evaluation.json"
TABLE_FILE: Final = "evaluation.md"
MEASUREMENTS_FILE: Final = "measurements.jsonl"
TEXTS_FILE: Final = "texts.jsonl"
FILES: Final = (JSON_FILE, TABLE_FILE, MEASUREMENTS_FILE, TEXTS_FILE)
"""Plots lie beside them."""
DIGITS: Final = 4
_HEAD: Final = ("| scans | what | metric | n | patients | mean | 95 % |", "|---|---|---|--:|--:|--:|---|")


def write(folder: Path, run: dict[str, Any], rows: Sequence[Row], found: Evaluation) -> None:
    """Write all files into a folder, which is made.

    Args:
        folder: where to.
        run: what was run on what: model, version, device, date, seconds, seeds.
        rows: the figures.
        found: what they were made of.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = {"run": run, "rows": [_rounded(asdict(row)) for row in rows]}
    (folder / JSON_FILE).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / TABLE_FILE).write_text(markdown(run, rows), encoding="utf-8")
    _write_lines(folder / MEASUREMENTS_FILE, [asdict(each) for each in found.measurements])
    _write_lines(folder / TEXTS_FILE, [asdict(each) for each in found.texts])
    write_plots(folder, rows)


def _write_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    lines = (json.dumps(_rounded(record), ensure_ascii=False) for record in records)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def markdown(run: dict[str, Any], rows: Sequence[Row]) -> str:
    """A table per task."""
    lines = [
        f"# {run['model_id']} {run['version']}",
        "",
        f"{run['date']}, {run['device']}, {run['processes']} × {run['threads']} threads, "
        f"{run['seconds']['total']:.0f} s. 95 % intervals: bootstrap over patients.",
    ]
    for task in dict.fromkeys(row.task for row in rows):
        lines += [
            "",
            f"## {task}",
            "",
            "| scans | what | metric | n | patients | mean | 95 % |",
            "|---|---|---|--:|--:|--:|---|",
        ]
        lines += [_line(row) for row in rows if row.task == task]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    interval = "" if row.low is None or row.high is None else f"{row.low:.3f} – {row.high:.3f}"
    cells = (row.group, row.subject, row.metric, row.n, row.patients, f"{row.mean:.3f}", interval)
    return "| " + " | ".join(map(str, cells)) + " |"


def _rounded(record: dict[str, Any]) -> dict[str, Any]:
    return {key: round(value, DIGITS) if isinstance(value, float) else value for key, value in record.items()}
