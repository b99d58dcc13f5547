"""Pairs of a prompt and its answer for the text tasks, and those that are held out for validation."""

from __future__ import annotations

from itertools import islice
from typing import Final

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.language.corpus import random_facts
from medvlsam2.data.language.grounded.known import known_facts
from medvlsam2.data.language.grounded.patterns import STYLES
from medvlsam2.data.language.grounded.plans import plans
from medvlsam2.data.language.querying.pairs import Pair, pairs
from medvlsam2.data.language.task_prompts import object_prompt, query_prompt
from medvlsam2.data.query.linking import linked_names

HELD_OUT_SEED: Final = 910_000
"""Seed of the pairs for validation; their wordings are never drawn for training, whatever the seed."""
REPORT_SHARE: Final = 0.06
"""Share of reports among the pairs. A report has about ten times as many tokens as a query, and the grammar writes most
of them at work."""


def draw_pairs(rng: np.random.Generator, count: int) -> list[tuple[str, str]]:
    """Pairs of all tasks: questions and phrases in their shares, and some reports."""
    reports = int(rng.binomial(count, REPORT_SHARE))
    asked = islice(pairs(int(rng.integers(2**31))), count - reports)
    return [*map(_prompted, asked), *(_report(rng) for _ in range(reports))]


def held_out_pairs(count: int) -> dict[str, list[tuple[str, str]]]:
    """Questions and phrases in wordings that are never trained on, by their task.

    Args:
        count: of all tasks together.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for pair in islice(pairs(HELD_OUT_SEED, "held out"), count):
        found.setdefault(pair.task, []).append(_prompted(pair))
    return found


def _prompted(pair: Pair) -> tuple[str, str]:
    names = [vocabulary.STRUCTURES[key].name for key in linked_names(pair.text)]
    if pair.task == "object":
        return object_prompt(pair.text, names), pair.target
    return query_prompt(pair.text, names, pair.before), pair.target


def _report(rng: np.random.Generator) -> tuple[str, str]:
    """A right report of an imagined scan in one of the styles."""
    style = STYLES[int(rng.integers(len(STYLES)))]
    (plan,) = plans(known_facts(random_facts(rng)), int(rng.integers(2**31)), (style,))
    return plan.prompt, plan.answer
