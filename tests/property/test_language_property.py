"""Texts about scans, for any text and any drawn scan."""

from __future__ import annotations

import re
from functools import cache
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medvlsam2.data.language import chat, clinical, corpus, questions, report
from medvlsam2.data.language import tokenizer as tokenizers
from medvlsam2.errors import InvalidPrompt


@cache
def small_tokenizer() -> tokenizers.PreTrainedTokenizerFast:
    return tokenizers.train_tokenizer(corpus.sentences(seed=1, count=300), 800)


@settings(deadline=None)
@given(st.text())
def test_any_text_survives_the_tokenizer(text: str) -> None:
    tokenizer = small_tokenizer()
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@settings(deadline=None)
@given(st.text(), st.integers(0, 8))
def test_the_prefix_is_shared_by_any_question(question: str, num_image_tokens: int) -> None:
    tokenizer = small_tokenizer()
    start = chat.prefix(num_image_tokens)
    try:
        whole = chat.prompt(question, num_image_tokens)
    except InvalidPrompt:
        assert not question.strip() or any(token in question for token in chat.SPECIAL_TOKENS)
        return
    assert whole == start + chat.turn(question)
    first = tokenizer(start)["input_ids"]
    ids = tokenizer(whole)["input_ids"]
    assert ids[: len(first)] == first
    assert ids.count(tokenizer.convert_tokens_to_ids(chat.IMAGE_CONTEXT)) == num_image_tokens


@settings(deadline=None)
@given(st.text(min_size=1, max_size=60))
def test_normalising_a_phrase_is_idempotent(phrase: str) -> None:
    try:
        once = chat.normalise_phrase(phrase)
    except InvalidPrompt:
        return
    assert chat.normalise_phrase(once) == once
    assert chat.normalise_phrase(f"the {once}.") == once


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_report_of_any_drawn_scan_is_true(seed: int) -> None:
    rng = np.random.default_rng(seed)
    facts = corpus.random_facts(rng)
    assert not set(facts.volumes_ml) & set(facts.absent)
    for style in get_args(chat.ReportStyle):
        text = report(facts, rng, style).text
        found = {each for each in clinical.parse_findings(text) if each[0] not in ("normal", "absent")}
        assert found == clinical.stated_findings(facts), text
        assert "  " not in text
        assert not re.search(r"[{}▪⟨]|\.\.|\b([Aa]n? ){2}", text), text
    for asked in questions(facts, rng):
        assert chat.answer_question(asked.question, asked.choices, asked.kind)


@pytest.mark.parametrize("token", chat.SPECIAL_TOKENS)
@settings(deadline=None, max_examples=30)
@given(before=st.text(), after=st.text())
def test_special_tokens_are_single_tokens_at_any_place(token: str, before: str, after: str) -> None:
    tokenizer = small_tokenizer()
    ids = tokenizer(before + token + after)["input_ids"]
    assert tokenizer.convert_tokens_to_ids(token) in ids
    assert tokenizer.decode(ids) == before + token + after
