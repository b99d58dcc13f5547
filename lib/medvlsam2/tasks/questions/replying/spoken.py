"""Object expressions in plain English."""

from __future__ import annotations

from medvlsam2.data import vocabulary
from medvlsam2.data.language import anatomy
from medvlsam2.data.language.grammar import is_plural, join, plural
from medvlsam2.data.query.objects import Item, ObjectExpression, OfSize, OnSide, Place, Where
from medvlsam2.tasks.objects.plain_english import singular


def spoken(expression: ObjectExpression) -> str:
    """Return an object expression as a noun phrase with its articles.

    Example:
        >>> from medvlsam2.data.query.reading import read_object
        >>> spoken(read_object("left kidney")), spoken(read_object("largest kidneys"))
        ('the left kidney', 'the largest kidney')
        >>> spoken(read_object("abdominal part of aorta and spleen without liver"))
        'the abdominal part of the aorta and the spleen without the liver'
    """
    kept = join([item_spoken(item) for item in expression.items])
    return (
        kept if not expression.without else f"{kept} without {join([item_spoken(one) for one in expression.without])}"
    )


def item_spoken(item: Item) -> str:
    """Return one item as a noun phrase with its articles."""
    name = _name(item)
    if item.part is not None:
        name = f"{item.part} of {anatomy.the(item.key)}"
    if item.pick is not None:
        name = f"{item.pick} {name}"
    has_article = item.pick is not None or item.part is not None or not name[-1].isdigit()
    head = f"the {name}" if has_article else name
    return " ".join([head, *(_condition(each) for each in item.conditions)])


def noun(item: Item, count: int = 1) -> str:
    """Return the noun of an item with its conditions and without an article, in the number of ``count``.

    Example:
        >>> from medvlsam2.data.query.reading import read_object
        >>> noun(read_object("cyst in left kidney").items[0], 2)
        'cysts in the left kidney'
    """
    name = vocabulary.STRUCTURES[item.key].name if item.part is None else f"{item.part} of {anatomy.the(item.key)}"
    if count == 1 and item.part is None:
        name = singular(item.key)
    elif count != 1 and item.part is None and not is_plural(name):
        name = plural(name)
    return " ".join([name, *(_condition(each) for each in item.conditions)])


def _name(item: Item) -> str:
    if item.pick is not None:
        return singular(item.key)
    return vocabulary.STRUCTURES[item.key].name


def _condition(condition: Where | OnSide | OfSize) -> str:
    if isinstance(condition, Where):
        return f"{condition.relation} {place_spoken(condition.place)}"
    return str(condition)


def place_spoken(place: Place) -> str:
    """Return a place with its article."""
    return anatomy.the(place.key) if place.pick is None else f"the {place.pick} {singular(place.key)}"
