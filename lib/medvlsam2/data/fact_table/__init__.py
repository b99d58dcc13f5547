"""Facts: what is known of one scan, each with an id, a state, its measurements and the mask they were made on.

Text never gets a number, a side or a structure from anywhere else: questions are answered from facts, and the slots of
report sentences name facts by their ids. ``tasks.measure`` makes the facts; this room only says what a fact is.
"""

from medvlsam2.data.fact_table.fact import Fact, FactKind, FactState
from medvlsam2.data.fact_table.table import FactTable

__all__ = ["Fact", "FactKind", "FactState", "FactTable"]
