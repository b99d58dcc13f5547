"""Training pairs of the text tasks: what people type, each with its text of the query language.

``pairs`` draws a query or an object expression at random and then words it. So the right text is known, whatever the
wording. The wordings stand in ``wordings/``; about a tenth of them is held out, to measure the model on wordings
that it never saw.
"""
