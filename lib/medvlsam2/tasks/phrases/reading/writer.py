"""Who writes an object expression for a phrase: a model, under the grammar of the query language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable


@runtime_checkable
class ObjectWriter(Protocol):
    """Writes object expressions. The model is one; tests have one that tells a given text."""

    def write(self, phrase: str, keys: Sequence[str]) -> str:
        """The text of an object expression for a phrase.

        Args:
            phrase: as it was asked.
            keys: vocabulary keys of the names that may be written, at least one.

        Raises:
            Cancelled: if the work is no longer wanted.
        """
