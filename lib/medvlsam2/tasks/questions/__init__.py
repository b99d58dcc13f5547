"""Answers that are computed: a question is read as a query, the query is executed on facts, the result becomes words.

``reading`` turns a question into a query of :mod:`medvlsam2.data.query`. ``executing`` computes the result of a query
from facts and masks of the scan. ``replying`` writes the result as one sentence, as a few words, or as one of the
choices. The text of a question reaches ``reading`` alone, so nothing that a question says can change a fact.
"""
