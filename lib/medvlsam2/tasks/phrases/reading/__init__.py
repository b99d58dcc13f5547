"""From a free phrase to an object expression: "the larger kidney" is ``largest kidneys``.

A phrase is read in three ways, the surest first: as the language's own text; by :mod:`.controlled`, which knows the
words of relations, choices and parts and reads a phrase only if it knows every word; and by a language model that
writes under the grammar. What a model wrote is compared with the words again (:mod:`.agreement`).
"""
