"""The model's own words about a scan, written from the image and from what quick masks measure."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from medvlsam2.data.language import chat
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.engine.session import VolumeSession
from medvlsam2.transforms.text import encode, turn_ids


def generate(engine: Engine, session: VolumeSession, question: str, max_new_tokens: int) -> str:
    """Return what the model writes. The caller holds the device; those who wait go first between tokens.

    Args:
        engine: the model.
        session: of the scan.
        question: with the wanted style in words.
        max_new_tokens: the longest text in tokens.
    """
    loaded = session.loaded
    turn = turn_ids(loaded.tokenizer, question).to(session.device)
    ids = loaded.model.language.generate(
        session.measured_prefix(engine.device_lock.give_way), turn, max_new_tokens, engine.device_lock.give_way
    )
    text = loaded.tokenizer.decode(ids, skip_special_tokens=True)
    assert isinstance(text, str)
    return text.strip()


def choose(engine: Engine, session: VolumeSession, question: str, choices: Sequence[str]) -> int:
    """Return the position of the likeliest choice. The caller holds the device.

    Args:
        engine: the model.
        session: of the scan.
        question: with the choices and the wanted style in words.
        choices: as they stand in the question.
    """
    loaded = session.loaded
    turn = turn_ids(loaded.tokenizer, question).to(session.device)
    # whole answers: a small model knows what is likely better than which letter it has
    continuations = [encode(loaded.tokenizer, chat.choice_answer(choices, n)) for n in range(len(choices))]
    scores = loaded.model.language.score_choices(
        session.measured_prefix(engine.device_lock.give_way), turn, continuations
    )
    return int(torch.argmax(scores))
