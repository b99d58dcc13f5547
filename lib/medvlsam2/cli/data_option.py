"""``--data``: the same option, with the same checks, for every verb that reads labelled scans."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace


def add_data(parser: ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(
        "--data",
        metavar="DIR_OR_JSONL",
        help="real scans: a manifest, or a folder of any layout that 'medvlsam2 manifest' knows (default: phantoms)",
    )


def data_set(arguments: Namespace) -> Path | None:
    """The data set that was given; None where none was.

    Raises:
        DatasetError: if it is neither a folder nor a manifest.
    """
    if not arguments.data:
        return None
    data = Path(arguments.data).expanduser()

    from medvlsam2.data.datasets.scans import require_data_set

    require_data_set(data)
    return data
