"""One object that a request asks for."""

from __future__ import annotations

from dataclasses import dataclass

from medvlsam2.tasks.prompts import ObjectPrompt


@dataclass(frozen=True)
class Target:
    """One object that is asked for, and the value it has in the result.

    OHIF reads values as the ids that the server publishes, and Slicer by their order. So a request that names ids gets
    these ids as values, and any other request gets 1..N.
    """

    value: int
    prompt: ObjectPrompt
