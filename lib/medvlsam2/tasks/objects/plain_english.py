"""An object expression in plain English, so that annotators see how their phrase was understood."""

from __future__ import annotations

from medvlsam2.data import vocabulary
from medvlsam2.data.language import anatomy
from medvlsam2.data.query.objects import Item, ObjectExpression, OfSize, OnSide, Place, Where
from medvlsam2.tasks.measure.lesions import is_countable
from medvlsam2.tasks.phrases.wholes import is_row


def in_english(expression: ObjectExpression) -> str:
    """What an expression means.

    Example:
        >>> from medvlsam2.data.query.reading import read_object
        >>> in_english(read_object("largest kidneys"))
        'the largest kidney'
        >>> in_english(read_object("kidney cyst in left kidney nearest to liver"))
        'the kidney cyst in the left kidney nearest to the liver'
        >>> in_english(read_object("lungs without left lung lower lobe"))
        'the lungs without the left lung lower lobe'
        >>> in_english(read_object("vertebrae next below T12 vertebra"))
        'the vertebra next below the T12 vertebra'
    """
    kept = " and ".join(_item(item) for item in expression.items)
    left_out = " and ".join(_item(item).replace("every ", "any ", 1) for item in expression.without)
    return f"{kept} without {left_out}" if left_out else kept


def singular(key: str) -> str:
    """The noun for one of the objects of a name.

    Example:
        >>> singular("kidneys"), singular("lumbar_spine"), singular("ribs_left"), singular("liver_cyst")
        ('kidney', 'vertebra', 'left rib', 'liver cyst')
    """
    known = vocabulary.STRUCTURES[key]
    if is_row(key):
        side = "" if known.side is None else f"{known.side} "
        return f"{side}rib" if key.startswith("rib") else "vertebra"
    if anatomy.is_pair(key):
        side, _, name = vocabulary.STRUCTURES[known.parts[0]].name.partition(" ")
        return name if side == "left" else known.name
    return known.name


def _item(item: Item) -> str:
    conditions = "".join(f" {_condition(each)}" for each in item.conditions)
    part = "" if item.part is None else f"the {item.part} of "
    if item.pick is not None:
        of_part = "" if item.part is None else f"{item.part} of "
        noun = singular(item.key)
        return f"the {item.pick} {of_part}{f'the {noun}' if of_part else noun}{conditions}"
    if _is_one(item):
        return f"{part}the {singular(item.key)}{conditions}"
    return f"{part}{_all(item.key)}{conditions}"


def _is_one(item: Item) -> bool:
    """Whether a condition chooses one of several objects."""
    relations = [each.relation for each in item.conditions if isinstance(each, Where)]
    return any(one in ("nearest to", "farthest from", "next above", "next below") for one in relations)


def _all(key: str) -> str:
    if not vocabulary.STRUCTURES[key].is_finding:
        return anatomy.the(key)
    name = vocabulary.STRUCTURES[key].name
    return f"every {name}" if is_countable(key) else f"the {name}"


def _condition(condition: Where | OnSide | OfSize) -> str:
    if isinstance(condition, Where):
        return f"{condition.relation} {_place(condition.place)}"
    if isinstance(condition, OnSide):
        return f"on the patient's {condition.side} side"
    return str(condition)


def _place(place: Place) -> str:
    if place.pick is None:
        return anatomy.the(place.key)
    return f"the {place.pick} {singular(place.key)}"
