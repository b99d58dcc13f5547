"""Conversations about imagined scans: training texts for the language model's first stage and for the tokenizer.

Only facts are drawn at random, no image. So the model learns the words of every task before it sees images. The
imagined anatomy fits the region, and each finding lies in a structure that can hold it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count as count_up
from typing import Literal, get_args

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import ContrastPhase, Lesion, Region, ScanFacts
from medvlsam2.data.language import anatomy, chat
from medvlsam2.data.language.asking.questions import questions
from medvlsam2.data.language.findings import lesions
from medvlsam2.data.language.grammar import pick, shuffled
from medvlsam2.data.language.measurements import measured_text
from medvlsam2.data.language.phrases import phrases
from medvlsam2.data.language.reporting.reports import report
from medvlsam2.data.structures.table import Side

_TYPICAL_ML = {
    "liver": 1500.0,
    "spleen": 200.0,
    "kidney": 160.0,
    "lung": 2400.0,
    "heart": 600.0,
    "stomach": 300.0,
    "brain": 1300.0,
    "urinary_bladder": 200.0,
    "pancreas": 80.0,
    "aorta": 150.0,
}
_DEFAULT_ML = 30.0
_SIZES_MM: dict[str, tuple[float, float]] = {
    "cyst": (6, 60),
    "nodule": (5, 32),
    "mass": (12, 60),
    "metastasis": (8, 50),
    "sarcoma": (30, 140),
    "stone": (3, 18),
    "effusion": (20, 120),
    "aneurysm": (40, 75),
}
_OTHER_SIZES_MM = (10.0, 60.0)
_HU = {"cyst": 8.0, "stone": 700.0, "effusion": 8.0, "calcification": 600.0, "fracture": 300.0, "ascites": 8.0}
_ORGAN_SHARE = 0.92
_MALE = frozenset({"prostate"})
_FEMALE = frozenset({"uterus"})
_NUM_FINDINGS = (0, 1, 1, 2, 2, 3)
_PER_SCAN = 5
_MEASURED_SHARE = 0.7
"""Share of scans whose measurements stand before the questions; without an image only these allow true answers."""
_SEVERAL_SHARE = 0.4
_MULTIPLE = {
    "cyst": ("liver", "kidney"),
    "nodule": ("lung",),
    "metastasis": ("liver",),
    "stone": ("kidney", "gallbladder"),
}
"""Kinds of finding of which one structure often holds several."""


def sentences(seed: int, count: int) -> Iterator[str]:
    """Yield whole conversations without an image.

    Args:
        seed: the same seed gives the same texts.
        count: number of conversations.
    """
    rng = np.random.default_rng(seed)
    names = _names(rng)
    made = 0
    while made < count:
        for text in _about_one_scan(random_facts(rng), names, rng):
            if made == count:
                return
            made += 1
            yield text


def random_facts(rng: np.random.Generator) -> ScanFacts:
    """Return the facts of an imagined scan: region, phase, anatomy, findings."""
    region: Region = pick(rng, get_args(Region))
    sex: Literal["female", "male"] = pick(rng, ("female", "male"))
    shown = [key for key in anatomy.in_region(region) if key not in (_FEMALE if sex == "male" else _MALE)]
    present = [key for key in shown if rng.random() < _ORGAN_SHARE]
    absent = shuffled(rng, anatomy.outside(region))[: int(rng.integers(3, 12))]
    absent += [key for key in (_FEMALE if sex == "male" else _MALE) if key in anatomy.in_region(region)]
    if "liver" in present and "gallbladder" in shown and "gallbladder" not in present:
        absent.append("gallbladder")
    known = rng.random() < 0.8
    return ScanFacts(
        region=region,
        phase=pick(rng, get_args(ContrastPhase)) if rng.random() < 0.8 else None,
        sex=sex,
        volumes_ml={key: _volume_ml(key, rng) for key in shuffled(rng, present)},
        absent=tuple(absent),
        lesions=tuple(_random_lesions(present, region, rng)) if known else (),
        lesions_known=bool(known),
    )


def _names(rng: np.random.Generator) -> Iterator[str]:
    """Yield every name of the vocabulary, again and again in a new order, so that no name is left out."""
    for _ in count_up():
        yield from shuffled(rng, [structure.name for structure in vocabulary.STRUCTURES.values()])


def _about_one_scan(facts: ScanFacts, names: Iterator[str], rng: np.random.Generator) -> Iterator[str]:
    text = measured_text(facts) if rng.random() < _MEASURED_SHARE else None
    style: chat.ReportStyle = pick(rng, get_args(chat.ReportStyle))
    for wanted in dict.fromkeys(("narrative", style)):
        yield chat.conversation(chat.report_question(wanted), report(facts, rng, wanted).text, 0, text)
    for asked in questions(facts, rng)[:_PER_SCAN]:
        question = chat.answer_question(asked.question, asked.choices, asked.kind)
        yield chat.conversation(question, asked.answer, 0, text)
    for phrase in phrases(facts, rng)[:_PER_SCAN]:
        answer = chat.SEGMENTATION_ANSWER if phrase.present else chat.ABSENT_ANSWER
        yield chat.conversation(chat.segmentation_questions(phrase.phrase, rng), answer, 0)
    for _ in range(_PER_SCAN):
        yield chat.conversation(chat.segmentation_question(next(names)), chat.SEGMENTATION_ANSWER, 0)


def _volume_ml(key: str, rng: np.random.Generator) -> float:
    typical = _TYPICAL_ML.get(anatomy.base(key), _DEFAULT_ML)
    return float(typical * np.exp(rng.normal(0.0, 0.25)))


def _random_lesions(present: list[str], region: Region, rng: np.random.Generator) -> Iterator[Lesion]:
    others = ["skeletal_muscle", *(["body"] if anatomy.has_abdomen(region) else [])]
    labels = count_up(1)
    used: set[str] = set()
    for _ in range(pick(rng, _NUM_FINDINGS)):
        kind = pick(rng, list(lesions.HOSTS))
        hosts = [key for key in lesions.plausible_hosts(kind, [*present, *others]) if key not in used]
        if not hosts:
            continue
        key = pick(rng, hosts)
        used.add(key)
        several = anatomy.base(key) in _MULTIPLE.get(kind, ()) and rng.random() < _SEVERAL_SHARE
        for _ in range(int(rng.integers(2, 5)) if several else 1):
            yield _random_lesion(kind, key, next(labels), rng)


def _random_lesion(kind: str, key: str, label: int, rng: np.random.Generator) -> Lesion:
    low, high = _SIZES_MM.get(kind, _OTHER_SIZES_MM)
    side: Side | None = anatomy.side(key)
    if kind == "sarcoma":
        side = pick(rng, ("left", "right"))
    return Lesion(
        kind=kind,
        structure=key,
        side=side,
        center_ijk=(0, 0, 0),
        center_ras=(0.0, 0.0, 0.0),
        diameter_mm=float(np.exp(rng.uniform(np.log(low), np.log(high)))),
        mean_hu=_HU.get(kind, 40.0),
        label_value=label,
    )
