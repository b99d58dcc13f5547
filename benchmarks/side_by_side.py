"""Rows of several models or variants in one table; the variant's name is the rows' task."""

from __future__ import annotations

from collections.abc import Sequence

from medvlsam2.evaluation.measurement import Row


def table(found: Sequence[Row], names: Sequence[str]) -> str:
    """One line per metric and subject with mean and 95 % interval of each variant.

    Args:
        found: rows of all variants.
        names: the variants, in the order of the columns.
    """
    lines = [
        "| scans | what | metric | n | " + " | ".join(names) + " |",
        "|---|---|---|--:|" + "---|" * len(names),
    ]
    by_subject: dict[tuple[str, str, str], dict[str, Row]] = {}
    for row in found:
        by_subject.setdefault((row.metric, row.group, row.subject), {})[row.task] = row
    for (metric, group, subject), own in sorted(by_subject.items()):
        n = max(row.n for row in own.values())
        cells = (group, subject, metric, str(n), *(_cell(own.get(name)) for name in names))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(row: Row | None) -> str:
    if row is None:
        return "–"
    interval = "" if row.low is None or row.high is None else f" ({row.low:.3f} – {row.high:.3f})"
    return f"{row.mean:.3f}{interval}"
