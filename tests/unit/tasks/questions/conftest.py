"""Queries on the true masks of a phantom, so that nothing depends on a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from medvlsam2.data.phantom import Phantom
from medvlsam2.data.query.queries import Query
from medvlsam2.data.query.reading import read_query
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.sources.given_masks import GivenMasks
from medvlsam2.tasks.questions.executing.execute import execute
from medvlsam2.tasks.questions.executing.outcome import Outcome
from medvlsam2.tasks.questions.executing.scene import Scene

Ask = Callable[[str], Outcome]


@dataclass
class Scripted:
    """A writer that tells one text, whatever the question is, and keeps what it was asked."""

    text: str
    names: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    before: Query | None = None
    questions: list[str] = field(default_factory=list)

    def write(self, question: str, names: Sequence[str], keys: Sequence[str], before: Query | None) -> str:
        """Return the text."""
        self.questions.append(question)
        self.names, self.keys, self.before = tuple(names), tuple(keys), before
        return self.text


def facts_of_phantom(phantom: Phantom) -> Facts:
    """Facts of a phantom's true masks."""
    truth = {key: phantom.label_map == value for value, key in phantom.labels.items()}
    return Facts(GivenMasks.of_truth(phantom.volume, truth, phantom.facts, phantom.lesion_map))


@pytest.fixture(scope="session")
def true_facts(small_phantom: Phantom) -> Facts:
    """Facts of the small phantom: an abdomen with an aortic aneurysm and hydronephrosis of the left kidney."""
    return facts_of_phantom(small_phantom)


@pytest.fixture
def ask(true_facts: Facts) -> Ask:
    """Executes the text of a query on the small phantom."""
    return lambda text: execute(read_query(text), Scene(true_facts))
