"""Words of a phrase that the model was not trained on.

The model ignores such words and finds what the other words name. The reply lists the ignored words.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import chain
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.language.findings import lesions
from medvlsam2.data.language.findings.lesion_words import LESION_WORDS
from medvlsam2.tasks.phrases.plain import plain

_GRAMMAR: Final = frozenset(
    {
        *("the", "a", "an", "of", "in", "on", "at", "and", "with", "this", "that", "is", "side", "sided", "both"),
        *("all", "any", "every", "patient", "its", "his", "her", "mm", "cm", "x", "largest", "larger", "smallest"),
        *("smaller", "upper", "lower", "find", "show", "segment", "please", "me", "gland", "organ", "structure"),
        *("whole", "entire"),
    }
)
"""Words of grammar in the phrases of the training, and polite words."""


def unheard_words(phrase: str) -> tuple[str, ...]:
    """Return the words that are no names and do not occur in training phrases, in order; none for a known name.

    Example:
        >>> unheard_words("upper pole of the left kidney"), unheard_words("the largest cyst in the liver")
        (('pole',), ())
    """
    words = plain(phrase)
    if vocabulary.lookup(words) is not None:
        return ()
    found = re.findall(r"[^\W\d_]+", words.casefold())
    return tuple(dict.fromkeys(word for word in found if not _is_heard(word)))


def _is_heard(word: str) -> bool:
    single = word.removesuffix("s")
    return word in _GRAMMAR or not _heard().isdisjoint({word, single}) or vocabulary.lookup(word) is not None


@cache
def _heard() -> frozenset[str]:
    """Return the words of all names, synonyms and findings."""
    names = ((each.name, *each.synonyms) for each in vocabulary.STRUCTURES.values())
    nouns = (words.nouns for words in LESION_WORDS.values())
    texts = chain(chain.from_iterable(names), chain.from_iterable(nouns), lesions.KINDS)
    return frozenset(word for text in texts for word in re.findall(r"[^\W\d_]+", text.casefold()))
