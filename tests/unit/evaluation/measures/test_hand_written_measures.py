"""Marks of hand-written questions on a small phantom: what the model reads decides, and nothing else."""

from __future__ import annotations

import pytest

from medvlsam2.data.query.reading import read_object
from medvlsam2.evaluation.hand_written.reading import HandWrittenPhrase, HandWrittenQuestion
from medvlsam2.evaluation.measures import hand_questions
from medvlsam2.evaluation.measures.hand_phrases import mark_phrase
from medvlsam2.evaluation.scans import draw_phantom
from medvlsam2.evaluation.truth.given import true_facts
from medvlsam2.tasks.engine.engine import Engine


@pytest.fixture
def scan(small_phantoms):
    return draw_phantom(500_000)


class Scripted:
    """A model that writes one text."""

    text = ""

    def __init__(self, _engine):
        pass

    def write(self, _question, _names, _keys, _before, _kinds=None):
        """Return the text."""
        return self.text


@pytest.fixture
def mark(scan, monkeypatch, tmp_path):
    """Marks one question whose reading is given."""
    monkeypatch.setattr(hand_questions, "ModelWriter", Scripted)

    def one(written, **line):
        line = HandWrittenQuestion(**{"id": "q1", "scan": scan.name, "kind": "volume", "query": "x", **line})
        monkeypatch.setattr(hand_questions, "hand_written_questions", lambda: (line,))
        monkeypatch.setattr(Scripted, "text", written)
        (found,) = hand_questions.mark_questions(Engine(tmp_path), scan)
        return found.is_right, found.is_exact

    return one


@pytest.mark.parametrize(
    ("written", "right", "exact"),
    [
        ("volume of liver, mL", True, True),
        ("presence of liver", False, False),
        ("volume of spleen, mL", False, False),
        ("slices of liver", False, False),
        ("picture", False, False),
        ("no query", False, False),
    ],
)
def test_marks_of_a_volume(mark, written, right, exact):
    line = {"question": "How many mL has the liver, and is the spleen smaller?", "query": "volume of liver, mL"}
    assert mark(written, **line) == (right, exact)


def test_another_right_reading_is_as_good(mark):
    line = {"question": "liver and spleen: sizes?", "query": "volume of spleen", "also": ("volume of liver",)}
    assert mark("volume of liver", **line) == (True, True)
    assert mark("volume of liver, mL", **line) == (True, False)


def test_a_choice_must_be_the_right_one(mark, scan):
    is_there = "liver" in scan.truth
    line = {"question": "Liver?", "query": "presence of liver", "choices": ("yes", "no"), "kind": "presence"}
    assert mark("presence of liver", **line, right="yes" if is_there else "no")[0]
    assert not mark("presence of liver", **line, right="no" if is_there else "yes")[0]


def test_what_is_declined_must_be_declined(mark):
    line = {"question": "liver, what now?", "query": "decline treatment", "kind": "decline"}
    assert mark("decline treatment", **line) == (True, True)
    assert mark("volume of liver", **line) == (False, False)


def test_a_refusal_is_right_for_a_foreign_question_alone(mark):
    foreign = {"question": "¿Cómo de grande es el hígado?", "query": "picture", "kind": "foreign"}
    assert mark("picture", **foreign)[0]
    assert mark("volume of liver", **{**foreign, "kind": "volume", "query": "volume of liver"}) == (False, False)


@pytest.mark.parametrize(
    ("wanted", "kind", "meant", "right"),
    [
        ("liver", "name", "liver", True),
        ("liver", "name", "spleen", False),
        ("liver", "name", None, False),
        ("liver and spleen", "union", "spleen and liver", True),
        ("liver without spleen", "without", "liver", True),
        ("upper half of liver", "part", "lower half of liver", False),
        ("mandible", "absent", "mandible", True),
        ("mandible", "absent", "liver", False),
        (None, "refused", None, True),
        (None, "refused", "liver", False),
    ],
)
def test_marks_of_a_phrase(scan, wanted, kind, meant, right):
    line = HandWrittenPhrase(id="p1", scan=scan.name, kind=kind, phrase="x", object=wanted)
    marked = mark_phrase(line, None if meant is None else read_object(meant), true_facts(scan))
    assert marked.is_right is right
    assert marked.is_exact is (meant is not None and meant == wanted)
