"""What can be asked: not too long, in English, and not about who the patient is or how to treat a disease."""

from __future__ import annotations

import re
from typing import Final

from medvlsam2.data.query.queries import Decline, Refusal
from medvlsam2.errors import InvalidPrompt

MAX_CHARACTERS: Final = 1000
"""Longest question. A spoken question of one minute has about this many; longer texts are pasted by mistake."""
DECLINED: Final[dict[Refusal, str]] = {
    "identity": "Questions about who the patient is are not answered: only what the scan shows is measured.",
    "treatment": "Questions about treatment are not answered: only what the scan shows is measured.",
}
"""The sentence for each kind of question that is declined."""
_IDENTITY: Final = re.compile(
    r"\b(?:patient|person|subject|client|man|woman|his|her|their)(?:['’]?s)?,? (?:full |first |last |family )?"
    r"(?:name|identity|birth\w*|date of birth|address|phone|e-?mail|insurance|id|mrn|age|occupation|race|religion)\b|"
    r"\b(?:name|identity|birth\w*|date of birth|address|phone number|age|id) of (?:the |this )?"
    r"(?:patient|person|man|woman)\b|\bwho(?:['’]?s| is| was| are)? (?:the |this )?(?:patient|person|scan|he|she)\b|"
    r"\bwhose (?:scan|ct|image|body|body is)\b|\bhow old (?:is|was)\b|\bdate of birth\b|\bsocial security\b|"
    r"\bidentify (?:the |this )?(?:patient|person)\b|\bis (?:this|the patient|it) (?:mr|mrs|ms|dr)\b",
    re.IGNORECASE,
)
_TREATMENT: Final = re.compile(
    r"\b(?:what|which|best|recommend\w*|suggest\w*|start|give|prescri\w+|need\w*|require\w*|should|indicated?|plan)\b"
    r".{0,60}\b(?:treat\w*|therap\w+|medications?|medicines?|drugs?|dos(?:e|es|age)|surger\w+|operat(?:e|ed|ion)s?|"
    r"chemo\w*|antibiotic\w*|radiotherap\w*|biops\w+)\b|"
    r"\b(?:should|must|can|may|do|does|shall) (?:i|we|he|she|they|the patient|you) (?:be |get |have |take |need |stop |"
    r"start |undergo )+(?:treated|treatment|operated|surgery|therapy|chemo\w*|medic\w+|drug\w*|antibiotic\w*|biops\w+)|"
    r"\bhow (?:should|would|do|can|to)\b.{0,40}\b(?:treat\w*|cure\w*|manage\w*)\b|\bprescri(?:be|ption)\b",
    re.IGNORECASE,
)
_ENGLISH: Final = frozenset(
    {
        *("a", "an", "and", "any", "are", "at", "by", "can", "compared", "contain", "could", "do", "does"),
        *("for", "from", "give", "had", "has", "have", "how", "in", "is", "it", "its", "large", "list", "long"),
        *("many", "me", "much", "of", "on", "or", "please", "see", "seen", "shown", "side", "size", "tell"),
        *("than", "that", "the", "there", "this", "to", "was", "were", "what", "when", "where", "which", "who"),
        *("why", "with", "you", "left", "right", "larger", "smaller", "bigger"),
    }
)
"""Words of grammar of English questions."""
_FOREIGN: Final = frozenset(
    {
        *("der", "die", "das", "ein", "eine", "einen", "sind", "wie", "gross", "groß", "wo", "welche"),
        *("welcher", "hat", "gibt", "es", "und", "nicht", "wieviel", "viele", "sichtbar", "zeigt"),
        *("le", "la", "les", "un", "une", "est", "sont", "où", "quelle", "quel", "quelles", "combien"),
        *("taille", "du", "des", "il", "elle", "dans", "pas", "avec", "el", "los", "las", "una", "está"),
        *("están", "dónde", "cuál", "cuáles", "cuánto", "cuántos", "tamaño", "del", "qué", "hay", "tiene"),
        *("como", "cómo", "por", "para", "lo", "gli", "uno", "è", "sono", "dove", "quale", "quanto", "quanti"),
        *("dimensione", "della", "dello", "degli", "nel", "um", "uma", "são", "onde", "qual"),
        *("tamanho", "do", "da", "dos", "não", "het", "een", "zijn", "waar", "welk", "welke", "hoe", "groot"),
        *("hoeveel", "jest", "są", "gdzie", "jaki", "jaka", "czy", "ile"),
    }
)
"""Words of grammar of German, French, Spanish, Italian, Portuguese, Dutch and Polish questions. Some are left out
because they stand in English questions: "o" in "r/o", "os" in "os sacrum", "as" in "as % of the lungs"."""
_SHARED: Final = frozenset({"a", "an", "is", "in", "on", "of", "for", "do", "as", "can", "me", "long", "side"})
"""Words of grammar of English that other languages have too."""


def require_short(question: str) -> None:
    """Refuse a question that is too long.

    Raises:
        InvalidPrompt: if it has more than MAX_CHARACTERS characters.
    """
    if len(question) > MAX_CHARACTERS:
        raise InvalidPrompt(
            f"The question has {len(question):,} characters; at most {MAX_CHARACTERS:,} are allowed. Ask one "
            "question at a time."
        )


def require_english(question: str) -> None:
    """Refuse a question that is surely not in English.

    A question is foreign if most of its letters are no Latin ones, or if it has words of grammar of another language
    and fewer that are English alone. A bare name ("Leber?") is let pass: its names may be known.

    Raises:
        InvalidPrompt: if it is foreign.

    Example:
        >>> require_english("How large is the liver?")
    """
    letters = [letter for letter in question if letter.isalpha()]
    strange = sum(ord(letter) > _LATIN_END for letter in letters)
    words = re.findall(r"[^\W\d_]+", question.lower())
    english = sum(word in _ENGLISH and word not in _SHARED for word in words)
    foreign = sum(word in _FOREIGN and word not in _ENGLISH for word in words)
    if strange > len(letters) / 2 or foreign > english:
        raise InvalidPrompt(
            "The question does not seem to be in English, which is the only language that is understood. Ask in "
            "English, e.g. 'How large is the liver in mL?'."
        )


_LATIN_END: Final = 0x24F
"""Last letter of Unicode's extended Latin blocks."""


def declined(question: str) -> Decline | None:
    """Return the refusal of a question about the patient's identity or about treatment; None for other questions.

    Example:
        >>> declined("What is the patient's name?"), declined("What is the name of the largest organ?")
        (Decline(why='identity'), None)
        >>> declined("How should the cyst be treated?")
        Decline(why='treatment')
    """
    text = " ".join(question.split())
    if _IDENTITY.search(text) is not None:
        return Decline("identity")
    return Decline("treatment") if _TREATMENT.search(text) is not None else None
