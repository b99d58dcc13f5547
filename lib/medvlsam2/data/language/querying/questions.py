"""Random queries with their wordings: one function for each kind of query."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, cast, get_args

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.language.grammar import pick
from medvlsam2.data.language.querying import drawing
from medvlsam2.data.language.querying.asked import asked_question
from medvlsam2.data.language.querying.comparisons import (
    difference,
    more,
    more_amount,
    ratio,
    share,
    which,
    which_of_pair,
)
from medvlsam2.data.language.querying.naming import single
from medvlsam2.data.language.querying.patterns import Split, content, expanded, patterns
from medvlsam2.data.language.querying.phrasing import spoken
from medvlsam2.data.language.querying.slots import (
    UNITS_OF,
    Question,
    agreeing,
    is_vessel,
    measure_word,
    measured_object,
    object_slots,
    second_slots,
    tail,
    unit_slots,
)
from medvlsam2.data.language.querying.special import special_question
from medvlsam2.data.query.objects import Item, ObjectExpression, Place
from medvlsam2.data.query.queries import (
    AskDistance,
    AskList,
    AskMeasure,
    AskObject,
    AskPicture,
    AskScan,
    AskState,
    Category,
    Decline,
    Measure,
    Query,
    Refusal,
    ScanQuestion,
    State,
)

_NAMELESS: Final[dict[str, str]] = {"fatty": "liver", "emphysematous": "lungs", "porous": "vertebrae"}
"""What a question about a state is about if its wording names no structure: "steatosis?"."""
_COUNTED: Final = ("vertebrae", "ribs", "ribs_left", "ribs_right", "kidneys", "lungs", "adrenal_glands", "lumbar_spine")
"""Structures of which there are several to count."""
_AMOUNTS: Final = (
    *("pleural_effusion", "pleural_effusion", "pleural_effusion_left", "pleural_effusion_right", "ascites", "ascites"),
    *("pericardial_effusion", "effusion", "hemorrhage", "hematoma", "intracranial_hemorrhage", "pneumothorax"),
    *("thrombus", "subcutaneous_fat", "torso_fat", "skeletal_muscle", "consolidation", "pneumothorax_left"),
)
"""Fluids, air and tissues of which there is much or little: "how much" asks for their volume."""
_ELLIPTIC: Final = re.compile(r"(?:what about |how about |and )?\{\w+\}[?!]*")


def random_question(rng: np.random.Generator, split: Split) -> Question:
    """Return a random question that stands alone."""
    makers: Sequence[tuple[float, Callable[[np.random.Generator, Split], Question]]] = (
        *(
            (17, presence),  # the commonest question of all, and so asked in the most ways
            (16, measure),
            (1.5, amount),
            (2, pair_together),
            (5, count),
            (14, about),
            (5, distance),
            (4, ratio),
            (1.5, share),
        ),
        *((3, difference), (4, which), (3, which_of_pair), (3, more), (3, more_amount), (11, state), (8, listed)),
        *((9, scan), (4, identity), (5, treatment), (7, picture), (7, asked_question), (12, special_question)),
    )
    weights = np.array([weight for weight, _ in makers])
    return makers[int(rng.choice(len(makers), p=weights / weights.sum()))][1](rng, split)


def presence(rng: np.random.Generator, split: Split) -> Question:
    """Whether a structure or a finding is there."""
    if rng.random() < 0.5:
        target = drawing.structure(rng) if rng.random() < 0.9 else drawing.part(rng)
        return _about("presence", target, "presence_of_structure", rng, split)
    return _about("presence", drawing.any_finding(rng), "presence_of_finding", rng, split)


def count(rng: np.random.Generator, split: Split) -> Question:
    """How many there are of a finding, of vertebrae or of ribs."""
    if rng.random() < 0.12:
        target = drawing.one(Item(pick(rng, _COUNTED)))
    else:
        found = drawing.finding(rng).items[0]
        target = drawing.one(Item(found.key, None, None, found.conditions))
    return _about("count", target, "count", rng, split)


def about(rng: np.random.Generator, split: Split) -> Question:
    """Side, level, slices, place or description of one object."""
    what = pick(rng, ("side", "level", "slices", "location", "location", "description"))
    if what == "side":
        target = _unsided(drawing.finding(rng)) if rng.random() < 0.85 else drawing.picked_member(rng)
    elif what in ("level", "slices") and rng.random() < 0.6:
        target = drawing.structure(rng)
    elif what == "location":
        target = drawing.random_object(rng) if rng.random() < 0.3 else _without_place(drawing.finding(rng))
    else:
        target = drawing.random_object(rng)
    return _about(what, target, what, rng, split)


def measure(rng: np.random.Generator, split: Split) -> Question:
    """Volume, length, width or density, in a unit or not."""
    kind: Measure = pick(rng, ("volume",) * 9 + ("length",) * 7 + ("short axis",) * 3 + ("density",) * 6)
    target = measured_object(kind, rng)
    groups = {"volume": "volume", "length": "length_of_structure", "short axis": "width", "density": "density"}
    group = groups[kind]
    if kind == "length" and drawing.is_finding(target):
        group = "length_of_finding"
    elif kind == "short axis" and is_vessel(target) and rng.random() < 0.6:
        group = "diameter_of_vessel"
    elif kind == "volume" and drawing.is_finding(target):
        group = "volume_of_finding"
    elif kind == "volume" and is_vessel(target):
        group = "measure"
    lines = patterns(group if rng.random() < 0.6 else "measure", split)
    if kind == "length" and is_vessel(target):
        lines = tuple(line for line in lines if not _may_mean_width(line)) or lines
    return measured(kind, target, pick(rng, lines), rng, split)


def measured(kind: Measure, target: ObjectExpression, pattern: str, rng: np.random.Generator, split: Split) -> Question:
    """A question for a measure by a pattern, whose slots for units decide the unit of the query."""
    pattern = expanded(pattern, rng)
    unit, slots = unit_slots(pattern, UNITS_OF[kind], rng)
    word = measure_word(kind, rng)
    while kind == "length" and is_vessel(target) and _may_mean_width(word):
        word = measure_word(kind, rng)
    slots |= {"measure": word, **object_slots(target, rng, split)}
    return Question(AskMeasure(kind, target, unit), agreeing(pattern, slots).format(**slots))


def amount(rng: np.random.Generator, split: Split) -> Question:
    """How much there is of a fluid, of air or of a tissue: its volume."""
    target = drawing.one(Item(pick(rng, _AMOUNTS)))
    return measured("volume", target, pick(rng, patterns("amount", split)), rng, split)


def pair_together(rng: np.random.Generator, split: Split) -> Question:
    """The volume of both of a pair in one number: "left and right kidney together" is the pair."""
    usual = ("kidneys", "kidneys", "lungs", "lungs", "adrenal_glands", "parotid_glands", "ovaries", "breasts")
    key = pick(rng, usual if rng.random() < 0.7 else drawing.pairs())
    pattern = expanded(pick(rng, patterns("pair_together", split)), rng)
    unit, slots = unit_slots(pattern, UNITS_OF["volume"], rng)
    slots |= {"single": single(key, rng, split), "pair": vocabulary.STRUCTURES[key].name}
    return Question(AskMeasure("volume", drawing.one(Item(key)), unit), pattern.format(**slots))


def distance(rng: np.random.Generator, split: Split) -> Question:
    """How far two objects are apart."""
    first = drawing.finding(rng) if rng.random() < 0.5 else drawing.structure(rng)
    second = drawing.one(Item(pick(rng, drawing.keys_of("landmarks"))))
    if second == first:
        return distance(rng, split)
    if rng.random() < 0.2:
        first, second = second, first
    pattern = expanded(pick(rng, patterns("distance", split)), rng)
    unit, slots = unit_slots(pattern, ("mm", "cm"), rng)
    slots |= object_slots(first, rng, split) | second_slots(second, rng, split)
    return Question(AskDistance(first, second, unit), agreeing(pattern, slots).format(**slots))


def state(rng: np.random.Generator, split: Split) -> Question:
    """Whether a structure is in a state."""
    kind: State = pick(rng, ("normal", "normal", "enlarged", "enlarged", *get_args(State)))
    pattern = expanded(pick(rng, patterns(kind, split)), rng)
    key = pick(rng, content("sensible")["states"][kind].split())
    if not _names_object(pattern):
        key = _NAMELESS[kind]
    target = drawing.one(Item(key))
    slots = object_slots(target, rng, split)
    return Question(AskState(target, kind), agreeing(pattern, slots).format(scan=tail(rng), **slots))


def listed(rng: np.random.Generator, split: Split) -> Question:
    """What is there of a category."""
    category: Category = pick(rng, ("findings", *("findings",) * 4, "organs", *get_args(Category)))
    if category != "findings" or rng.random() < 0.4:
        text = expanded(pick(rng, patterns(category, split)), rng).format(scan=tail(rng))
        return Question(AskList(category), text)
    place = Place(pick(rng, content("sensible")["list_places"].split()))
    text = expanded(pick(rng, patterns("findings_in", split)), rng)
    slots = object_slots(drawing.one(Item(place.key)), rng, split)
    return Question(AskList("findings", place), text.format(**slots))


def scan(rng: np.random.Generator, split: Split) -> Question:
    """A question about the scan as a whole."""
    what: ScanQuestion = pick(rng, ("region", "phase", "impression", *get_args(ScanQuestion)))
    return Question(AskScan(what), expanded(pick(rng, patterns(what, split)), rng).format(scan=tail(rng)))


def identity(rng: np.random.Generator, split: Split) -> Question:
    """Who the patient is; declined."""
    return _unanswered("identity", rng, split)


def treatment(rng: np.random.Generator, split: Split) -> Question:
    """What to do about a disease; declined."""
    return _unanswered("treatment", rng, split)


def picture(rng: np.random.Generator, split: Split) -> Question:
    """What no query covers."""
    return _unanswered("picture", rng, split)


def with_injection(asked: Question, rng: np.random.Generator, split: Split) -> Question:
    """The question inside an order to ignore the facts; its query is the same."""
    pattern = expanded(pick(rng, patterns("injections", split)), rng)
    return Question(asked.query, pattern.format(asked=asked.text))


def _unanswered(group: str, rng: np.random.Generator, split: Split) -> Question:
    query: Query = AskPicture() if group == "picture" else Decline(cast("Refusal", group))
    pattern = expanded(pick(rng, patterns(group, split)), rng)
    target = drawing.finding(rng) if rng.random() < 0.5 else drawing.structure(rng)
    slots = object_slots(target, rng, split)
    slots["finding"] = spoken(drawing.one(Item(pick(rng, drawing.keys_of("counted_findings")))), rng, split).a
    return Question(query, pattern.format(scan=tail(rng), **slots))


def _about(what: Any, target: ObjectExpression, group: str, rng: np.random.Generator, split: Split) -> Question:
    slots = object_slots(target, rng, split)
    sided = bool({"left", "right"} & set(str(target).split()))
    fitting = [each for each in patterns(group, split) if not (sided and "either side" in each)]
    pattern = expanded(pick(rng, fitting), rng)
    text = agreeing(pattern, slots).format(scan=tail(rng), **slots)
    return Question(AskObject(what, target), text, _ELLIPTIC.fullmatch(pattern) is not None)


def _unsided(target: ObjectExpression) -> ObjectExpression:
    """The finding without what would tell its side."""
    item = target.items[0]
    base = vocabulary.STRUCTURES.get(item.key.removesuffix("_left").removesuffix("_right"))
    return drawing.one(Item(item.key if base is None else base.key, item.pick))


def _without_place(target: ObjectExpression) -> ObjectExpression:
    return drawing.one(Item(target.items[0].key, target.items[0].pick))


def _names_object(pattern: str) -> bool:
    return any(slot in pattern for slot in ("{the}", "{x}", "{xs}", "{a}", "{adj}", "{any}"))


def _may_mean_width(text: str) -> bool:
    """Whether words for a length mean the width when they are said of a vessel: "size of the aorta"."""
    return any(word in text for word in ("size", "big", "large", "diameter", "axis", "dimension"))
