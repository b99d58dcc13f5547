"""Text measures by pycocoevalcap: BLEU-1 to 4, ROUGE-L, CIDEr, and METEOR where Java is.

Texts are compared as plain lower-case words and numbers without punctuation, on every machine alike (pycocoevalcap's
own tokenizer needs Java). Each measure is the mean over texts, so that intervals are over patients as in every row.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge

from medvlsam2.evaluation.measurement import Measurement

_WORD = re.compile(r"\w+(?:[.\-/]\w+)*")


@dataclass(frozen=True)
class TextPair:
    """A text that the model wrote, and those that would have been right."""

    task: str
    group: str
    subject: str
    patient: str
    written: str
    references: tuple[str, ...]


def text_measurements(pairs: Sequence[TextPair]) -> list[Measurement]:
    """Measures of texts of one task and group; CIDEr weighs words by how rare they are among their references."""
    if not pairs:
        return []
    return [
        Measurement(pair.task, pair.group, pair.subject, metric, pair.patient, score)
        for metric, scores in _scores(pairs).items()
        for pair, score in zip(pairs, scores, strict=True)
    ]


def as_words(text: str) -> str:
    """A text as its words.

    Example:
        >>> as_words("There is a 12.5 mm cyst; follow-up.")
        'there is a 12.5 mm cyst follow-up'
    """
    return " ".join(_WORD.findall(text.lower()))


def _scores(pairs: Sequence[TextPair]) -> dict[str, list[float]]:
    references = {number: [as_words(text) for text in pair.references] for number, pair in enumerate(pairs)}
    written = {number: [as_words(pair.written)] for number, pair in enumerate(pairs)}
    with redirect_stdout(StringIO()):
        _, bleu = Bleu(4).compute_score(references, written)
    found = {f"bleu-{number}": list(map(float, scores)) for number, scores in enumerate(bleu, start=1)}
    found["rouge-l"] = list(map(float, Rouge().compute_score(references, written)[1]))
    found["cider"] = list(map(float, Cider().compute_score(references, written)[1]))
    if shutil.which("java"):
        found["meteor"] = _meteor(references, written)
    return found


def _meteor(references: dict[int, list[str]], written: dict[int, list[str]]) -> list[float]:
    meteor = Meteor()
    try:
        return list(map(float, meteor.compute_score(references, written)[1]))
    finally:
        meteor.meteor_p.stdin.close()
        meteor.meteor_p.terminate()
        meteor.meteor_p.wait()
