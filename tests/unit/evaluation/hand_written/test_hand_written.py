"""The hand-written sets: complete, readable, and about scans that nothing was trained on."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import get_args

import pytest

from medvlsam2.data import phantom
from medvlsam2.data.query.queries import AskPicture, Decline
from medvlsam2.data.query.reading import read_object, read_query
from medvlsam2.evaluation.hand_written.reading import (
    PhraseKind,
    QuestionKind,
    hand_written_phrases,
    hand_written_questions,
    phantom_seed,
    scans_asked_about,
)
from medvlsam2.evaluation.scans import FIRST_PHANTOM_SEED

QUESTIONS = hand_written_questions()
PHRASES = hand_written_phrases()


def test_sizes_and_ids():
    assert (len(QUESTIONS), len(PHRASES)) == (300, 200)
    ids = [line.id for line in (*QUESTIONS, *PHRASES)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[qp]\d{3}", one) for one in ids)


def test_every_query_reads_back():
    for line in QUESTIONS:
        texts = [*line.queries, *filter(None, [line.before_query])]
        assert [str(read_query(text)) for text in texts] == texts, line.id
    for line in PHRASES:
        texts = [*filter(None, [line.object]), *line.also]
        assert [str(read_object(text)) for text in texts] == texts, line.id


def test_all_kinds_are_asked_and_no_wording_comes_twice():
    assert {line.kind for line in QUESTIONS} == set(get_args(QuestionKind))
    assert {line.kind for line in PHRASES} == set(get_args(PhraseKind))
    for wordings in ([q.question for q in QUESTIONS], [p.phrase for p in PHRASES]):
        assert {text: times for text, times in Counter(map(str.casefold, wordings)).items() if times > 1} == {}


def test_kinds_and_queries_agree():
    for line in QUESTIONS:
        query = read_query(line.query)
        assert isinstance(query, AskPicture) == (line.kind in ("picture", "foreign")), line.id
        assert isinstance(query, Decline) or line.kind != "decline", line.id
        assert (line.before is None) == (line.before_query is None), line.id
        assert line.right in line.choices if line.choices else line.right is None, line.id
        assert len(line.choices) in (0, 2, 3, 4, 5), line.id
        assert len(set(line.queries)) == len(line.queries), line.id
    for line in PHRASES:
        assert (line.object is None) == (line.kind == "refused"), line.id


def test_hard_ones_are_one_in_ten():
    assert 0.05 <= sum(line.hard for line in QUESTIONS) / len(QUESTIONS) <= 0.15
    assert 0.05 <= sum(line.hard for line in PHRASES) / len(PHRASES) <= 0.2


def test_phantoms_are_those_that_nothing_was_trained_on():
    seeds = [seed for scan in scans_asked_about() if (seed := phantom_seed(scan)) is not None]
    assert len(seeds) > 10
    assert all(FIRST_PHANTOM_SEED <= seed < FIRST_PHANTOM_SEED + 100 for seed in seeds)
    assert phantom.generate(seeds[0], phantom.PhantomConfig(max_voxels=100_000)).facts.volumes_ml


def test_real_scans_are_of_the_validation_split(shared_data):
    split = json.loads((shared_data / "split.json").read_text(encoding="utf-8"))
    real = {scan for scan in scans_asked_about() if phantom_seed(scan) is None}
    assert len(real) > 10
    assert real <= set(split["val"])


@pytest.mark.parametrize(("kind", "least"), [("presence", 40), ("volume", 30), ("picture", 15), ("injection", 6)])
def test_shares_of_kinds(kind, least):
    assert sum(line.kind == kind for line in QUESTIONS) >= least
