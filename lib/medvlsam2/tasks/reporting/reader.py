"""The reader of a report: whether the facts support a sentence, read from its words alone.

The reader is independent of the writer. It does not know which fact a sentence was written for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from medvlsam2.data.fact_table import FactTable
from medvlsam2.data.language.grounded.prior import Prior
from medvlsam2.tasks.reporting.names import Names
from medvlsam2.tasks.reporting.reading import read
from medvlsam2.tasks.reporting.statements import NotRead
from medvlsam2.tasks.reporting.support import FactIds, NotSupported, Support


@dataclass(frozen=True)
class Judged:
    """What the reader says of a sentence."""

    fact_ids: FactIds
    """Facts that support it."""
    reason: str = ""
    """Why it is left out; "" if it is supported."""


@dataclass(frozen=True)
class Reader:
    """Reads sentences about one scan.

    Args:
        table: facts of the scan.
        prior: facts of an earlier scan.
    """

    table: FactTable
    prior: Prior | None = None

    def judge(self, sentence: str) -> Judged:
        """Read a sentence and compare each of its statements with the facts.

        Args:
            sentence: without the heading of its section.
        """
        support = Support(self.table, self.prior)
        try:
            found = [fact_id for statement in read(sentence, self._names) for fact_id in support.of(statement)]
        except (NotRead, NotSupported) as refused:
            return Judged((), str(refused))
        return Judged(tuple(dict.fromkeys(found)))

    @cached_property
    def _names(self) -> Names:
        return Names([self.table, *([] if self.prior is None else [self.prior.table])])
