"""Random object expressions that make sense: a stone lies where stones can lie, and the aorta has an abdominal part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, cast

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.grammar import pick, shuffled
from medvlsam2.data.language.querying.patterns import content
from medvlsam2.data.query.objects import (
    Condition,
    Item,
    ObjectExpression,
    OfSize,
    OnSide,
    Part,
    Pick,
    Place,
    Relation,
    Where,
)

_USUAL_PICKS: Final[tuple[Pick, ...]] = (
    *("largest", "largest", "largest", "largest", "smallest", "smallest", "second largest"),
    *("highest", "lowest", "leftmost", "rightmost"),
)
_OTHER_PICKS: Final[tuple[Pick, ...]] = ("foremost", "rearmost", "densest", "least dense")
_USUAL_PARTS: Final = (
    *("upper half", "lower half", "upper third", "middle third", "lower third"),
    *("left half", "right half", "front half", "back half"),
)
_RELATIONS: Final[tuple[Relation, ...]] = (
    *("nearest to", "nearest to", "nearest to", "nearest to", "farthest from", "left of", "right of", "in front of"),
    *("behind", "touching", "touching", "at the level of", "at the level of", "above", "above", "below", "below"),
)
_LEVELS: Final = (
    *("vertebrae_L1", "vertebrae_L3", "vertebrae_L3", "vertebrae_T12", "vertebrae_T8", "carina", "vertebrae_L5"),
    *("kidneys", "heart", "diaphragm", "urinary_bladder", "vertebrae_L4", "vertebrae_T10", "pancreas"),
)
_AT_LEVELS: Final = (
    *("aorta", "skeletal_muscle", "lungs", "inferior_vena_cava", "torso_fat", "spinal_cord", "iliopsoas"),
    *("lymph_node", "ribs", "subcutaneous_fat"),
)
_PAIR_PICKS: Final[tuple[Pick, ...]] = (
    "largest",
    "largest",
    "largest",
    "smallest",
    "smallest",
    "smallest",
    "highest",
    "lowest",
    "densest",
    "least dense",
)
_SERIES_PICKS: Final[tuple[Pick, ...]] = (
    "highest",
    "highest",
    "highest",
    "lowest",
    "lowest",
    "lowest",
    "largest",
    "smallest",
    "densest",
    "least dense",
)
_SERIES_PLACES: Final = (
    *(("vertebrae", "vertebrae_L1"), ("vertebrae", "vertebrae_T12"), ("vertebrae", "vertebrae_T6")),
    *(("ribs", "carina"), ("ribs_left", "rib_left_6"), ("ribs_right", "rib_right_9"), ("vertebrae", "diaphragm")),
)


def random_object(rng: np.random.Generator) -> ObjectExpression:
    """Return a random expression; plain names are the most frequent."""
    makers: Sequence[tuple[float, Callable[[np.random.Generator], ObjectExpression]]] = (
        *((4.0, named), (2.0, finding), (1.2, picked_member), (1.0, part), (1.0, next_in_series), (1.2, placed)),
        *((0.8, union), (0.8, without), (0.6, members_by_place)),
    )
    weights = np.array([weight for weight, _ in makers])
    return makers[int(rng.choice(len(makers), p=weights / weights.sum()))][1](rng)


def named(rng: np.random.Generator) -> ObjectExpression:
    """Return one structure or finding by its name; all names are equally likely, but for vertebrae and ribs."""
    return one(Item(_any_key(rng)))


def structure(rng: np.random.Generator) -> ObjectExpression:
    """Return one structure: mostly a usual one."""
    key = pick(rng, keys_of("landmarks") + keys_of("solid")) if rng.random() < 0.45 else _any_key(rng, findings=False)
    return one(Item(key))


def finding(rng: np.random.Generator) -> ObjectExpression:
    """Return a finding: a kind in a structure, on a side, of a size, or the largest of several."""
    key = pick(rng, keys_of("counted_findings"))
    conditions: list[Condition] = []
    if key in _sensible()["hosts"] and rng.random() < 0.75:
        conditions.append(Where("in", _host(key, rng)))
    elif f"{key}_left" not in vocabulary.STRUCTURES and rng.random() < 0.3:
        conditions.append(OnSide(pick(rng, ("left", "right"))))
    chosen: Pick | None = None
    if rng.random() < 0.35:
        chosen = _pick_word(rng)
        if chosen.endswith("most"):
            conditions = [each for each in conditions if not isinstance(each, OnSide)]
    elif rng.random() < 0.2:
        conditions.append(_size(rng))
    return one(Item(key, chosen, None, tuple(conditions)))


def any_finding(rng: np.random.Generator) -> ObjectExpression:
    """Return a finding without a pick: of any kind, in a structure or not."""
    if rng.random() < 0.45:
        return one(Item(pick(rng, _findings())))
    found = finding(rng).items[0]
    return one(Item(found.key, None, None, found.conditions))


def picked_member(rng: np.random.Generator) -> ObjectExpression:
    """Return one of a pair or of a series: the larger kidney, the lowest rib."""
    if rng.random() < 0.6:
        usual = ("kidneys", "lungs", "adrenal_glands", "parotid_glands", "ovaries", "femurs", "hips", "breasts")
        key = pick(rng, usual if rng.random() < 0.6 else pairs())
        return one(Item(key, pick(rng, _PAIR_PICKS)))
    key = pick(rng, ("vertebrae", "vertebrae", "ribs", "ribs_left", "ribs_right", "lumbar_spine", "thoracic_spine"))
    return one(Item(key, pick(rng, _SERIES_PICKS)))


def part(rng: np.random.Generator) -> ObjectExpression:
    """Return a part of a structure."""
    if rng.random() < 0.5:
        key = pick(rng, ("aorta",) * 6 + tuple(_sensible()["parts"]))
        return one(Item(key, None, cast("Part", pick(rng, _sensible()["parts"][key]))))
    return one(Item(pick(rng, keys_of("solid")), None, cast("Part", pick(rng, _USUAL_PARTS))))


def next_in_series(rng: np.random.Generator) -> ObjectExpression:
    """Return the vertebra or rib above or below another."""
    relation: Relation = pick(rng, ("next above", "next below"))
    keys = [key for key in vocabulary.STRUCTURES if anatomy.is_numbered(key) and key[-1].isdigit()]
    key = pick(rng, keys[:25] if rng.random() < 0.7 else keys)
    return one(Item("vertebrae" if key.startswith("vert") else "ribs", None, None, (Where(relation, Place(key)),)))


def placed(rng: np.random.Generator) -> ObjectExpression:
    """Return findings or members of a series by a relation to a landmark."""
    relation = pick(rng, _RELATIONS)
    key = (
        pick(rng, keys_of("counted_findings")[:20])
        if rng.random() < 0.75
        else pick(rng, ("kidneys", "vertebrae", "ribs"))
    )
    if relation == "at the level of":
        place, key = Place(pick(rng, _LEVELS)), pick(rng, _AT_LEVELS)
        return one(Item(key, None, None, (Where(relation, place),)))
    conditions: list[Condition] = []
    if key in _sensible()["hosts"] and rng.random() < 0.35:
        conditions.append(Where("in", _host(key, rng)))
    conditions.append(Where(relation, Place(pick(rng, keys_of("landmarks")))))
    chosen = _pick_word(rng) if relation not in ("nearest to", "farthest from") and rng.random() < 0.25 else None
    return one(Item(key, chosen, None, tuple(conditions)))


def members_by_place(rng: np.random.Generator) -> ObjectExpression:
    """Return members of a series above or below one of them: "vertebrae below L1"."""
    key, place = pick(rng, _SERIES_PLACES)
    relation: Relation = pick(rng, ("above", "below"))
    return one(Item(key, None, None, (Where(relation, Place(place)),)))


def union(rng: np.random.Generator) -> ObjectExpression:
    """Return several structures together."""
    if rng.random() < 0.7:
        return ObjectExpression(tuple(Item(key) for key in pick(rng, _sensible()["unions"]).split()))
    keys = dict.fromkeys(pick(rng, keys_of("landmarks")) for _ in range(pick(rng, (2, 2, 2, 3))))
    return ObjectExpression(tuple(Item(key) for key in keys))


def without(rng: np.random.Generator) -> ObjectExpression:
    """Return a structure without some of its parts, or without the findings in it."""
    key = pick(rng, ("lungs", "lungs", "liver", *_sensible()["without"]))
    left_out = pick(rng, _sensible()["without"][key]).split()
    return ObjectExpression((Item(key),), tuple(map(Item, left_out)))


def several(rng: np.random.Generator) -> list[ObjectExpression]:
    """Return two or three structures to be compared: a pair, parts of one region, or any."""
    if rng.random() < 0.4:
        usual = ("kidneys", "lungs", "adrenal_glands", "parotid_glands", "femurs", "iliopsoas")
        key = pick(rng, usual if rng.random() < 0.6 else pairs())
        return [one(Item(each)) for each in shuffled(rng, vocabulary.STRUCTURES[key].parts)]
    count = pick(rng, (2, 2, 2, 2, 3, 3, 4))
    keys = list(dict.fromkeys([pick(rng, keys_of("landmarks") + keys_of("solid")) for _ in range(count)]))
    return [one(Item(each)) for each in keys] if len(keys) > 1 else several(rng)


@cache
def pairs() -> tuple[str, ...]:
    """Return the keys of all paired structures."""
    return tuple(key for key, each in vocabulary.STRUCTURES.items() if anatomy.is_pair(key) and not each.is_finding)


def one(item: Item) -> ObjectExpression:
    """Return an expression of a single item."""
    return ObjectExpression((item,))


def is_finding(expression: ObjectExpression) -> bool:
    """Return whether the first item is a finding."""
    return vocabulary.STRUCTURES[expression.items[0].key].is_finding


@cache
def _keys(*, findings: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    keys = [key for key, each in vocabulary.STRUCTURES.items() if findings or not each.is_finding]
    numbered = tuple(key for key in keys if anatomy.is_numbered(key) and key[-1].isdigit())
    return tuple(key for key in keys if key not in numbered), numbered


@cache
def _findings() -> tuple[str, ...]:
    return tuple(key for key, each in vocabulary.STRUCTURES.items() if each.is_finding)


def _any_key(rng: np.random.Generator, *, findings: bool = True) -> str:
    plain, numbered = _keys(findings=findings)
    return pick(rng, numbered if rng.random() < 0.15 else plain)


def _host(key: str, rng: np.random.Generator) -> Place:
    host = pick(rng, _sensible()["hosts"][key].split())
    if host in ("kidneys", "lungs") and rng.random() < 0.2:
        return Place(host, pick(rng, ("largest", "smallest")))
    return Place(host)


def _pick_word(rng: np.random.Generator) -> Pick:
    return pick(rng, _USUAL_PICKS if rng.random() < 0.75 else _OTHER_PICKS)


@cache
def keys_of(name: str) -> tuple[str, ...]:
    """Return one list of vocabulary keys of ``wordings/sensible.yaml``."""
    return tuple(_sensible()[name].split())


def _sensible() -> Mapping[str, Any]:
    return content("sensible")


def _size(rng: np.random.Generator) -> OfSize:
    diameter = pick(rng, (3, 4, 5, 6, 8, 10, 10, 12, 15, 20, 20, 25, 30, 40, 50))
    return OfSize(pick(rng, ("larger than", "larger than", "smaller than")), float(diameter))
