"""Prints every sentence that an answer can be, for reading: all kinds of queries, in all states of what is asked.

    python benchmarks/answer_sentences.py

The masks are the true ones of three phantoms, of which one lacks a mask, one is unsure and some names are unknown.
Whoever changes the wording of answers reads this table, as a radiologist and as a reader whose language is another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from medvlsam2.data.phantom import Phantom, PhantomConfig, generate
from medvlsam2.data.query.reading import read_query
from medvlsam2.tasks.facts.model_masks import NOT_LEARNED, in_general
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.sources.given_masks import GivenMasks
from medvlsam2.tasks.measure.sources.mask_source import Seen
from medvlsam2.tasks.questions.executing.execute import execute
from medvlsam2.tasks.questions.executing.scene import Scene
from medvlsam2.tasks.questions.replying.polar import YesNo, yes_no
from medvlsam2.tasks.questions.replying.sentences import full_sentence, short_answer

SCANS: Final = {
    "abdomen, cut, without gallbladder": (5, "abdomen", ((64, 56, 36), (6.0, 6.0, 5.0)), 2),
    "abdomen with two cysts": (4, "abdomen", ((80, 64, 40), (5.0, 5.0, 6.0)), 5),
    "chest with fluid": (3, "chest", ((80, 64, 40), (5.0, 5.0, 6.0)), 3),
}
UNSURE: Final = ("pancreas",)
UNKNOWN: Final = ("ascites", "tongue", "spleen_cyst", "adrenal_gland_left", "lung_nodule")
STATES: Final = {
    "present": "spleen",
    "cut": "liver",
    "absent or beyond the end": "gallbladder",
    "outside": "brain",
    "unknown": "left adrenal gland",
    "unsure": "pancreas",
    "a pair": "kidneys",
    "one of a pair": "adrenal glands",
    "several": "liver and spleen",
    "one of several outside": "liver and brain",
    "findings": "cyst",
    "finding on one side": "hydronephrosis",
    "a rule's finding": "aortic aneurysm",
    "fluid": "pleural effusion",
    "unknown finding": "ascites",
}
"""An object for each state."""
OF_OBJECTS: Final = (
    "Is it visible? :: presence of {it}",
    "Is it not visible? :: presence of {it}",
    "Is it missing? :: presence of {it}",
    "How many? :: count of {it}",
    "On which side? :: side of {it}",
    "Is it on the left? :: side of {it}",
    "At which level? :: level of {it}",
    "On which slices? :: slices of {it}",
    "Where? :: location of {it}",
    "Describe it. :: description of {it}",
    "How large? :: volume of {it}",
    "How large in L? :: volume of {it}, L",
    "How long in cm? :: length of {it}, cm",
    "How wide? :: short axis of {it}",
    "How dense? :: density of {it}",
    "How far from the liver? :: distance from {it} to liver",
    "How many times the spleen? :: ratio of volume of {it} to spleen",
    "Which share of the liver? :: ratio of volume of {it} to liver, %",
    "By how much? :: difference of volume of {it} to spleen",
    "Which is larger? :: greatest volume of {it} or spleen",
    "Is it larger than the spleen? :: whether volume of {it} is more than spleen",
    "Is it longer than 13 cm? :: whether length of {it} is more than 13 cm",
    "Is it enlarged? :: whether {it} is enlarged",
    "Is it dilated? :: whether {it} is dilated",
    "Is it calcified? :: whether {it} is calcified",
    "Is it normal? :: whether {it} is normal",
    "Is it abnormal? :: whether {it} is normal",
    "Is it not normal? :: whether {it} is normal",
)
OF_SCANS: Final = (
    "Which findings? :: list of findings",
    "Is anything abnormal? :: list of findings",
    "Nothing abnormal? :: list of findings",
    "Is everything normal? :: list of findings",
    "Which structures? :: list of structures",
    "Which organs? :: list of organs",
    "Which bones? :: list of bones",
    "Which vessels? :: list of vessels",
    "Which muscles? :: list of muscles",
    "Which vertebrae? :: list of vertebrae",
    "Are any ribs visible? :: list of ribs",
    "Which findings in the liver? :: list of findings in liver",
    "Which findings in the spleen? :: list of findings in spleen",
    "Which findings in the brain? :: list of findings in brain",
    "Which vessels in the liver? :: list of vessels in liver",
    "Are the lungs emphysematous? :: whether lungs is emphysematous",
    "Is the liver fatty? :: whether liver is fatty",
    "Which part? :: region",
    "Is this the chest? :: region",
    "Which phase? :: phase",
    "Was contrast given? :: phase",
    "Which modality? :: modality",
    "Is this an MRI? :: modality",
    "Which plane? :: plane",
    "How many slices? :: number of slices",
    "How thick? :: slice thickness",
    "Which voxels? :: voxel size",
    "What is the main finding? :: impression",
)


class Partly(GivenMasks):
    """True masks of which some are unsure, and some names unknown."""

    def knows(self, key: str) -> bool:
        """Whether there is a mask of a name."""
        return key not in UNKNOWN and super().knows(key)

    def why_unknown(self, key: str) -> str:
        """As a model says it."""
        return NOT_LEARNED.format(it=in_general(key))

    def _see(self, key: str) -> Seen:
        seen = super()._see(key)
        return replace(seen, confidence=0.3) if key in UNSURE else seen


@dataclass(frozen=True)
class Line:
    """One answer."""

    question: str
    query: str
    asked: YesNo
    sentence: str
    short: str


def facts_of(phantom: Phantom, without: tuple[str, ...] = ()) -> Facts:
    """Facts of a phantom as a model would know them that has not learned everything."""
    truth = {key: phantom.label_map == value for value, key in phantom.labels.items() if key not in without}
    given = GivenMasks.of_truth(phantom.volume, truth, phantom.facts, phantom.lesion_map)
    return Facts(
        Partly(
            given.volume,
            given.masks,
            given.lesions,
            given.absent | set(without),
            given.known_region,
            given.every_finding_is_given,
        )
    )


def lines(facts: Facts) -> Iterator[Line]:
    """Yield every answer about one scan."""
    of_objects = (form.format(it=it) for it in STATES.values() for form in OF_OBJECTS)
    for each in (*of_objects, *OF_SCANS):
        question, _, query = each.partition(" :: ")
        outcome = execute(read_query(query), Scene(facts))
        asked = yes_no(question, outcome)
        yield Line(question, query, asked, full_sentence(outcome, asked), short_answer(outcome, asked))


def phantom_of(
    seed: int, region: str, grid: tuple[tuple[int, int, int], tuple[float, float, float]], n: int
) -> Phantom:
    """A phantom of the table."""
    shape_ijk, spacing_mm = grid
    return generate(
        seed,
        PhantomConfig(shape_ijk=shape_ijk, spacing_mm=spacing_mm, region=region, num_lesions=n),  # type: ignore[arg-type]
    )


def main() -> None:
    """Print the table."""
    for name, scan in SCANS.items():
        print(f"\n== {name}")
        for line in lines(facts_of(phantom_of(*scan), ("gallbladder",) if "without" in name else ())):
            print(f"{line.question:32} | {line.query:52} | {line.sentence} | {line.short}")


if __name__ == "__main__":
    main()
