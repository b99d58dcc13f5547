"""Values with units as text: one rounding for answers, reports, comparisons, tables and pictures.

A reader who sees one value in two places must see one text. So whoever shows a measured value asks ``told``, and
whoever reads a text back asks ``heard`` or ``is_told``. Values are rounded from the number that JSON shows, and not
from the full precision, so that a text and the JSON beside it never disagree.
"""

from medvlsam2.data.quantities.heard import Heard, heard, is_told
from medvlsam2.data.quantities.told import as_in_json, number, told, told_apart, told_exactly, told_pair
from medvlsam2.data.quantities.units import SHOWN, unit_of

__all__ = [
    "SHOWN",
    "Heard",
    "as_in_json",
    "heard",
    "is_told",
    "number",
    "told",
    "told_apart",
    "told_exactly",
    "told_pair",
    "unit_of",
]
