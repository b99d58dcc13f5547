"""Questions that people asked about CT images, with their answers, and captions of CT figures; text without images.

For the language model's pretraining, beside the generated ``corpus``: SLAKE and VQA-Med-2019 give the wording of
questions, ROCO that of descriptions. Only English and only CT is taken. What speaks of the sides of the picture is
left out, since everything else speaks of the sides of the patient.

Reference: SLAKE arXiv:2102.09542; VQA-Med at ImageCLEF 2019; ROCO, LABELS 2018.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from medvlsam2.data.language import chat
from medvlsam2.data.language.asking.drafts import QuestionAnswer
from medvlsam2.data.language.grammar import capital, count_word, pick, sentence, shuffled
from medvlsam2.errors import DatasetError

Split = Literal["train", "val"]

_SLAKE: dict[Split, str] = {"train": "slake/train.json.gz", "val": "slake/validate.json.gz"}
_VQA_MED: dict[Split, str] = {"train": "vqamed2019/trainset.json.gz", "val": "vqamed2019/testset.json.gz"}
_ROCO = "roco/roco_ccby_captions.jsonl.gz"
_ROCO_SPLITS: dict[Split, str] = {"train": "validation", "val": "test"}
"""ROCO's own training split is not used."""

MIN_WORDS = 5
MAX_WORDS = 45
_LEAST_ASCII = 0.98
_DESCRIBE = (
    "Please describe this CT image.",
    "What does this CT show?",
    "Describe the finding in this CT image.",
    "What is seen on this CT scan?",
)

_PICTURE_SIDE = re.compile(r"\b(?:left|right|leftmost|rightmost|corner|top|bottom|upper|lower)\b", re.IGNORECASE)
_PLACE_OF_PICTURE = re.compile(
    r"\b(?:upper|lower|top|bottom|corner)\b|^(?:center|middle)$|\b(?:left|right)\b(?! \w)", re.IGNORECASE
)
"""A place in the picture: an end of it, or a side without the organ whose side it is."""
_POINTERS = re.compile(
    r"\s*[(\[][^()\[\]]*(?:arrow|asterisk|star|circle|\bbox|line|panel|case|figure|fig\b|marked|colou?r)"
    r"[^()\[\]]*[)\]]|\s*[(\[]\s*[a-z0-9]{1,2}\s*[)\]]",
    re.IGNORECASE,
)
_NO_CT_ALONE = re.compile(
    r"\b(?:PET|SPECT|MRI?|MRA|magnetic|ultraso\w*|sonogra\w*|radiograph\w*|x-ray|scintigra\w*|arrows?|arrowheads?"
    r"|fig|figure)\b",
    re.IGNORECASE,
)
_SYMBOLS = str.maketrans(
    {
        "\u00d7": "x",
        "\u2013": "-",
        "\u2014": "-",
        "\u2018": "'",
        "\u2019": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u00a0": " ",
    }
)
_SAME_ANSWER = {"transverse plane": "axial", "coronal plane": "coronal", "sagittal plane": "sagittal"}
_ABBREVIATION = re.compile(r"\b(?:cta?|iv|gi|mri|avm)\b")


def real_questions(folder: Path, split: Split = "train") -> Iterator[QuestionAnswer]:
    """Every different question with its answer, and every caption as the answer to a request for a description.

    Args:
        folder: Holds ``slake/``, ``vqamed2019/`` and ``roco/`` as they are distributed, compressed by gzip.
        split: "train" or "val"; SLAKE's own test split is never read.

    Raises:
        DatasetError: A file is missing or is not what its name says.
    """
    seen: set[tuple[str, str]] = set()
    for found in (*_slake(folder, split), *_vqa_med(folder, split), *_roco(folder, split)):
        if found.answer and (found.question, found.answer) not in seen:
            seen.add((found.question, found.answer))
            yield found


def real_sentences(folder: Path, seed: int, split: Split = "train") -> Iterator[str]:
    """The same as whole conversations without an image, each once, in random order.

    Args:
        folder: As for ``real_questions``.
        seed: The same seed gives the same order.
        split: As for ``real_questions``.
    """
    rng = np.random.default_rng(seed)
    for found in shuffled(rng, list(real_questions(folder, split))):
        yield chat.conversation(chat.answer_question(found.question, (), found.kind), found.answer, 0)


def _slake(folder: Path, split: Split) -> Iterator[QuestionAnswer]:
    for row in _rows(folder, _SLAKE[split]):
        if row["q_lang"] != "en" or row["modality"] != "CT" or _tells_picture_side(row["question"], row["answer"]):
            continue
        yield _short(row["question"], row["answer"], row["content_type"])


def _tells_picture_side(question: str, answer: str) -> bool:
    """Whether it is about the sides of the picture, which are not those of the patient."""
    return _PICTURE_SIDE.search(question) is not None or _PLACE_OF_PICTURE.search(answer.strip()) is not None


def _vqa_med(folder: Path, split: Split) -> Iterator[QuestionAnswer]:
    """All questions of those images that one of their questions or answers calls a CT."""
    by_image: dict[str, list[dict[str, Any]]] = {}
    for row in _rows(folder, _VQA_MED[split]):
        by_image.setdefault(row["image_name"], []).append(row)
    for rows in by_image.values():
        if any(_is_ct(row["question"], row["answer"]) for row in rows):
            yield from (_short(row["question"], row["answer"], row["question_type"]) for row in rows)


def _is_ct(question: str, answer: str) -> bool:
    """Whether a question and its answer prove that the image is a CT."""
    if re.match(r"cta?\b", answer):
        return True
    asked = re.search(r"\bct\b", question) is not None
    return asked and not (answer == "no" and re.match(r"is this (?:an? )?(?:image )?ct\b|is this a ct", question))


def _short(question: str, answer: str, topic: str) -> QuestionAnswer:
    text = capital(_abbreviated(_spaced(question).rstrip(" ?."))) + "?"
    plain = _spaced(answer).rstrip(".").lower()
    if plain in ("yes", "no"):
        plain = capital(plain)
    elif plain.isdecimal():
        plain = count_word(int(plain)) if int(plain) else "none"
    return QuestionAnswer(text, _abbreviated(_SAME_ANSWER.get(plain, plain)), "short", (), topic.lower())


def _spaced(text: str) -> str:
    return " ".join(text.translate(_SYMBOLS).split())


def _abbreviated(text: str) -> str:
    return _ABBREVIATION.sub(lambda match: match.group().upper(), text)


def _roco(folder: Path, split: Split) -> Iterator[QuestionAnswer]:
    """Captions of one split; the few figures that stand in both belong to "train"."""
    rng = np.random.default_rng(0)
    rows = [row for row in _rows(folder, _ROCO) if row["ct"]]
    captions = {part: [row["caption"] for row in rows if row["split"] == name] for part, name in _ROCO_SPLITS.items()}
    other = set() if split == "train" else set(captions["train"])
    for text in captions[split]:
        caption = None if text in other else _clean_caption(text)
        if caption is not None:
            yield QuestionAnswer(pick(rng, _DESCRIBE), caption, "long", (), "description")


def _clean_caption(caption: str) -> str | None:
    """The caption without its pointers into the figure; None for what is no plain description of a CT."""
    text = _POINTERS.sub("", caption.translate(_SYMBOLS))
    text = re.sub(r"(?<=[a-z])\.(?=[A-Z])", ". ", " ".join(text.split()))
    text = re.sub(r"\s+([.,;:])", r"\1", text).strip(" ,;:-")
    words = len(text.split())
    is_plain = sum(letter.isascii() for letter in text) >= _LEAST_ASCII * len(text)
    if not MIN_WORDS <= words <= MAX_WORDS or not is_plain or _NO_CT_ALONE.search(text):
        return None
    if any(text.count(opening) != text.count(closing) for opening, closing in ("()", "[]")):
        return None
    return sentence(text)


def _rows(folder: Path, name: str) -> Iterable[dict[str, Any]]:
    path = folder / name
    if not path.is_file():
        raise DatasetError(
            f"{folder.name} holds no {name}; real questions are read from SLAKE, VQA-Med-2019 and ROCO. "
            "Put the file there, or train without real questions."
        )
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            text = file.read()
        rows = [json.loads(line) for line in text.splitlines()] if ".jsonl" in name else json.loads(text)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{name} is not JSON compressed by gzip ({error}). Copy it anew.") from error
    return list(rows)
