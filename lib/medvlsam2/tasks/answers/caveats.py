"""Warnings about an answer by words alone that the model may not have understood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from medvlsam2.data import vocabulary
from medvlsam2.tasks.phrases.unclear import short
from medvlsam2.tasks.phrases.unheard import unheard_words
from medvlsam2.tasks.phrases.wholes import is_union_of
from medvlsam2.tasks.prompts import ObjectPrompt

SHOWN: Final = 4
"""At most so many words are named in a sentence."""


def caveats(prompt: ObjectPrompt, metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Warnings about words that the model does not know, and about names by which it finds objects unreliably.

    Args:
        prompt: any prompt. With a click, stroke, box or mask the words matter less, and there is no warning.
        metadata: of the model. Its card lists the structures and findings on which it was measured.
    """
    if prompt.text is None or prompt.is_placed:
        return ()
    words = unheard_words(prompt.text)
    if words:
        shown = ", ".join(f"'{short(word)}'" for word in words[:SHOWN]) + (" …" if len(words) > SHOWN else "")
        return (
            f"The model does not know {shown} in '{prompt.shown_name}': what is marked may be all of what the other "
            "words name. Check it.",
        )
    known = vocabulary.lookup(prompt.text)
    measured = {key for part in ("structures", "findings") for key in metadata.get(part, ())}
    if known is None or not measured or _is_among(known, measured):
        return ()
    return (
        f"'{prompt.shown_name}' is not among the structures that this model finds reliably by name: what is marked may "
        "be a neighbour, and 'not present' may be wrong. Check it, or click on it.",
    )


def _is_among(known: vocabulary.Structure, measured: set[str]) -> bool:
    return bool({known.key, known.key.removesuffix(f"_{known.side}")} & measured) or is_union_of(known.key, measured)
