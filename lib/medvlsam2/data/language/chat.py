"""Texts of prompts: ChatML in InternVL's form, and the fixed questions of each task.

A prompt is ``prefix`` (system message and image) followed by ``turn`` (the question). The prefix is the same for every
question about a scan, so its key-value cache is computed once. This module handles strings only; it knows no tokenizer
and no tensors.

Reference: InternVL2.5's ChatML template with ``<img>``, ``<IMG_CONTEXT>``, ``</img>``; arXiv:2601.09879 for
[SEG].
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

from medvlsam2.data import vocabulary
from medvlsam2.data.language.grammar import pick
from medvlsam2.data.language.wording import Wording
from medvlsam2.errors import InvalidPrompt

AnswerKind = Literal["short", "long", "multiple_choice"]
ReportStyle = Literal["narrative", "structured", "terse"]

END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
IMAGE_START = "<img>"
IMAGE_END = "</img>"
IMAGE_CONTEXT = "<IMG_CONTEXT>"
SEG = "[SEG]"
SPECIAL_TOKENS = (END_OF_TEXT, TURN_START, TURN_END, IMAGE_START, IMAGE_END, IMAGE_CONTEXT, SEG)

SYSTEM = "You are a radiology assistant. You read one CT scan."
SEGMENTATION_ANSWER = f"It is {SEG}."
ABSENT_ANSWER = "It is not present."

MAX_CHOICES = 26
_SERVING_SHARE = 0.5
SEGMENTATION_FORMS = Wording(
    "Please segment the {it}.",
    (
        *("Segment the {it}{tail}.", "Can you segment the {it}{tail}?", "Where is the {it}{tail}?"),
        *("Show me the {it}{tail}.", "Outline the {it}{tail}.", "Find the {it}{tail}.", "Mark the {it}{tail}."),
        *("Please mark the {it}.", "Delineate the {it}.", "Please outline the {it}.", "The {it}, please."),
        "{it}",
    ),
)
"""Wordings of the question for a mask; serving uses the canonical wording."""
_REPORT_QUESTIONS: dict[ReportStyle, str] = {
    "narrative": "Please write a report of this scan with findings and impression.",
    "structured": "Please write a structured report of this scan with a line for each organ and an impression.",
    "terse": "Please write a short report of this scan with findings and impression.",
}
_STYLE = {
    "short": "Answer in a few words.",
    "long": "Answer in a full sentence.",
    "multiple_choice": "Answer with the letter and the choice.",
}


def prefix(num_image_tokens: int, system: str = SYSTEM) -> str:
    """Return the part of a prompt that all questions about one scan share: system message and image.

    Args:
        num_image_tokens: number of ``<IMG_CONTEXT>`` tokens; 0 for text without an image.
        system: the system message.
    """
    image = IMAGE_START + IMAGE_CONTEXT * num_image_tokens + IMAGE_END
    return f"{TURN_START}system\n{system}{TURN_END}\n{TURN_START}user\n{image}\n"


def turn(question: str, measured: str | None = None) -> str:
    """Return the part of a prompt after the image, up to the start of the answer.

    Args:
        question: the question.
        measured: text of the masks' measurements from ``measurements.measured_text``; it goes before the question.

    Raises:
        InvalidPrompt: if a text is empty or holds one of the special tokens.
    """
    asked = with_measurements(question, measured)
    return f"{asked}{TURN_END}\n{TURN_START}assistant\n"


def with_measurements(question: str, measured: str | None) -> str:
    r"""Return the question with the text of the masks' measurements before it, if there is one.

    Example:
        >>> with_measurements("Is the liver visible?", "Measured: region chest.")
        'Measured: region chest.\nIs the liver visible?'
    """
    return _checked(question) if measured is None else f"{_checked(measured)}\n{_checked(question)}"


def prompt(question: str, num_image_tokens: int, system: str = SYSTEM, measured: str | None = None) -> str:
    """Return the whole prompt: ``prefix`` followed by ``turn``."""
    return prefix(num_image_tokens, system) + turn(question, measured)


def conversation(question: str, answer: str, num_image_tokens: int, measured: str | None = None) -> str:
    """Return one training text: a prompt, its answer, and the token that ends the answer."""
    return f"{prompt(question, num_image_tokens, measured=measured)}{answer}{TURN_END}"


def segmentation_question(phrase: str) -> str:
    """Return the question with which serving asks for a mask; a known name is replaced by its standard name.

    Example:
        >>> segmentation_question("the largest cyst in the liver")
        'Please segment the largest cyst in the liver.'
    """
    return SEGMENTATION_FORMS.canonical.format(it=normalise_phrase(phrase))


def segmentation_questions(phrase: str, rng: np.random.Generator) -> str:
    """Return a random wording of the question for a mask; at least half of the draws are the wording of serving."""
    if rng.random() < _SERVING_SHARE:
        return segmentation_question(phrase)
    wording = _bare_phrase(phrase) if rng.random() < _SERVING_SHARE else normalise_phrase(phrase)
    return pick(rng, SEGMENTATION_FORMS.patterns).format(it=wording)


def report_question(style: ReportStyle = "narrative") -> str:
    """Return the question that asks for a report; it names the style unless the style is narrative."""
    return _REPORT_QUESTIONS[style]


def answer_question(question: str, choices: Sequence[str] = (), kind: AnswerKind | None = None) -> str:
    """Return a question with its choices and the wanted style of the answer in words.

    Args:
        question: the question.
        choices: the choices without letters; they are shown as "A. … B. …".
        kind: style of the answer; None means multiple choice if there are choices, else short.

    Raises:
        InvalidPrompt: if a multiple-choice question has fewer than 2 or more than 26 choices, or if a choice or the
            question is empty.

    Example:
        >>> answer_question("Which organ is larger?", ["liver", "spleen"])
        'Which organ is larger? Choices: A. liver B. spleen Answer with the letter and the choice.'
    """
    text = _checked(question)
    kind = kind or ("multiple_choice" if choices else "short")
    if kind != "multiple_choice":
        return f"{text} {_STYLE[kind]}"
    if not 2 <= len(choices) <= MAX_CHOICES:
        raise InvalidPrompt(
            f"{len(choices)} choices were given; a multiple-choice question takes 2 to {MAX_CHOICES}. "
            "Give more choices, or ask for a short answer."
        )
    listed = " ".join(choice_answer([_checked(each) for each in choices], n) for n in range(len(choices)))
    return f"{text} Choices: {listed} {_STYLE[kind]}"


def letter(index: int) -> str:
    """Return the letter of a choice; 0 is "A"."""
    return chr(ord("A") + index)


def choice_answer(choices: Sequence[str], index: int) -> str:
    """Return a choice in the form of an answer: letter and text.

    Example:
        >>> choice_answer(("left", "right"), 1)
        'B. right'
    """
    return f"{letter(index)}. {choices[index]}"


def normalise_phrase(phrase: str) -> str:
    """Return a phrase in the form that the model was trained on.

    The article and the punctuation at the end are removed, and a known name is replaced by its standard name.

    Example:
        >>> normalise_phrase("The Left Kidney.")
        'left kidney'
    """
    bare = _bare_phrase(phrase)
    known = vocabulary.lookup(bare)
    if known is not None:
        return known.name
    return _checked(" ".join(_lowered(word) for word in bare.split()))


def _bare_phrase(phrase: str) -> str:
    words = " ".join(_checked(phrase).replace("_", " ").split()).rstrip(" .?!;:,").split()
    while words and words[0].lower() in ("the", "a", "an"):
        words = words[1:]
    if not words:
        raise InvalidPrompt(f"The phrase {phrase!r} holds no word. Say what to segment, such as 'liver'.")
    return " ".join(words)


def _lowered(word: str) -> str:
    """Return the word in lower case, except for short abbreviations and codes such as "IVC" or "T12"."""
    return word if re.fullmatch(r"[A-Z]{2,4}|[A-Z]\d+", word) else word.lower()


def _checked(text: str) -> str:
    stripped = text.strip()
    if not stripped:
        raise InvalidPrompt(f"The text {text!r} is empty. Write a phrase or a question.")
    for token in SPECIAL_TOKENS:
        if token in stripped:
            raise InvalidPrompt(
                f"The text holds {token}, which is reserved for the model; plain words are allowed. Leave it out."
            )
    return stripped
