"""One object that a request asks for."""

from __future__ import annotations

from dataclasses import dataclass

from medvlsam2.tasks.prompts import ObjectPrompt


@dataclass(frozen=True)
class Target:
    """One object that is asked for, and the value it has in the result.

    OHIF maps values by the ids that the server publishes, Slicer by their order: a request that names ids
    gets those ids, any other gets 1..N.
    """

    value: int
    prompt: ObjectPrompt
