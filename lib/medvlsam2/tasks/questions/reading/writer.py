"""Who writes a query for a question: a model, under the grammar of the query language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from medvlsam2.data.query.queries import Query


@runtime_checkable
class QueryWriter(Protocol):
    """Writes queries: a model, or whatever else turns a question into a text of the query language."""

    def write(self, question: str, names: Sequence[str], keys: Sequence[str], before: Query | None) -> str:
        """Return the text of a query for a question.

        Args:
            question: as it was asked.
            names: vocabulary keys of the names that words of the question can mean.
            keys: vocabulary keys of the names that may be written; none: the question names nothing.
            before: the query of the question before, to which this one refers.

        Raises:
            Cancelled: if the work is no longer wanted.
        """
