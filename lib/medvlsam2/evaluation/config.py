"""What to evaluate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from medvlsam2.errors import InvalidRequest, nearest_hint

Task = Literal["segment", "interactive", "referring", "report", "vqa", "handwritten"]
TASKS: Final[tuple[Task, ...]] = get_args(Task)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationConfig:
    """Which scans and which tasks.

    Raises:
        InvalidRequest: on no task, or nothing to look at.
    """

    data: Path | None = None
    """Manifest, or folder in any layout that ``medvlsam2 manifest`` knows; None: phantoms alone."""
    split: str = "val"
    """Split of it, by patient."""
    tasks: tuple[Task, ...] = TASKS
    """What to measure."""
    phantoms: int = 12
    """Phantoms to measure; none of them was trained on."""
    groups: tuple[str, ...] = ()
    """Sources of real scans (the part of a case's id before "_"); empty: all of them."""
    limit: int | None = None
    """Real scans of each source, for a quick look; None: all of them."""

    def __post_init__(self) -> None:
        if not self.tasks:
            raise InvalidRequest(f"No task given. Choose from {', '.join(TASKS)}.")
        if self.limit is not None and self.limit < 1:
            raise InvalidRequest(f"A limit of {self.limit} scans given; at least 1 is needed.")
        if self.phantoms < 0:
            raise InvalidRequest(f"{self.phantoms} phantoms given; 0 or more are allowed.")
        if self.data is None and self.phantoms == 0:
            raise InvalidRequest("Neither a data folder nor phantoms given: nothing to look at. Give one of them.")


def parse_tasks(text: str) -> tuple[Task, ...]:
    """Tasks from a list such as "segment,vqa", or "all"; in their own order, each once.

    Raises:
        InvalidRequest: on a task that does not exist.

    Example:
        >>> parse_tasks("vqa, segment")
        ('segment', 'vqa')
    """
    given = {part.strip() for part in text.split(",") if part.strip()}
    unknown = given - {*TASKS, "all"}
    if unknown or not given:
        hint = nearest_hint(min(unknown, default=""), TASKS, count=1)
        raise InvalidRequest(
            f"Tasks '{text}' given; allowed are {', '.join(TASKS)}, or all. {hint + ' ' if hint else ''}"
            "Separate them by commas."
        )
    return TASKS if "all" in given else tuple(task for task in TASKS if task in given)
