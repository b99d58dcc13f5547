"""The tokenizer for texts about scans: special tokens, shared prefixes, lengths, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medvlsam2.data.language import chat, corpus, questions, report
from medvlsam2.data.language import tokenizer as tokenizers
from medvlsam2.errors import InvalidConfig, MissingCheckpoint

MAX_REPORT_TOKENS = 115


@pytest.fixture(scope="module")
def tokenizer() -> tokenizers.PreTrainedTokenizerFast:
    return tokenizers.train_tokenizer(corpus.sentences(seed=0, count=1200), 2048)


def test_a_report_has_findings_and_impression_and_is_short(
    tokenizer: tokenizers.PreTrainedTokenizerFast,
) -> None:
    lengths = []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        facts = corpus.random_facts(rng)
        written = report(facts, rng)
        assert written.text.startswith("Findings: ")
        assert written.text.endswith(f" Impression: {written.impression}")
        lengths.append(len(tokenizer(written.text)["input_ids"]))
    assert max(lengths) <= MAX_REPORT_TOKENS
    assert np.median(lengths) < MAX_REPORT_TOKENS / 2


def test_special_tokens_have_the_lowest_ids(tokenizer: tokenizers.PreTrainedTokenizerFast) -> None:
    assert tokenizers.token_ids(tokenizer) == {token: n for n, token in enumerate(chat.SPECIAL_TOKENS)}
    assert tokenizer.eos_token == chat.TURN_END
    assert tokenizer.pad_token == chat.END_OF_TEXT
    assert tokenizer.bos_token is None
    ids = tokenizer(f"{chat.SEG}{chat.IMAGE_CONTEXT * 3}")["input_ids"]
    assert ids == [6, 5, 5, 5]


def test_the_tokenised_prefix_starts_the_tokenised_prompt(
    tokenizer: tokenizers.PreTrainedTokenizerFast,
) -> None:
    start = tokenizer(chat.prefix(4))["input_ids"]
    for seed in range(20):
        rng = np.random.default_rng(seed)
        facts = corpus.random_facts(rng)
        for asked in questions(facts, rng):
            whole = tokenizer(chat.prompt(asked.question, 4))["input_ids"]
            assert whole[: len(start)] == start
            assert whole[len(start) :] == tokenizer(chat.turn(asked.question))["input_ids"]


def test_digits_are_single_tokens(tokenizer: tokenizers.PreTrainedTokenizerFast) -> None:
    assert tokenizer.tokenize("12 mm")[:2] == ["1", "2"]


def test_training_a_tokenizer_is_deterministic() -> None:
    texts = list(corpus.sentences(seed=0, count=300))
    first, second = (tokenizers.train_tokenizer(texts, 800) for _ in range(2))
    assert first.backend_tokenizer.to_str() == second.backend_tokenizer.to_str()


def test_a_tokenizer_is_saved_and_loaded(tokenizer: tokenizers.PreTrainedTokenizerFast, tmp_path: Path) -> None:
    tokenizers.save(tokenizer, tmp_path)
    assert {"tokenizer.json", "tokenizer_config.json"} <= {path.name for path in tmp_path.iterdir()}
    loaded = tokenizers.load(tmp_path)
    text = chat.conversation("Where is it?", "It is [SEG].", 2)
    assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert loaded.decode(loaded(text)["input_ids"]) == text
    assert (loaded.eos_token, loaded.pad_token) == (chat.TURN_END, chat.END_OF_TEXT)
    with pytest.raises(MissingCheckpoint, match=r"tokenizer\.json"):
        tokenizers.load(tmp_path / "nothing")


def test_a_vocabulary_smaller_than_the_bytes_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="200"):
        tokenizers.train_tokenizer(["liver"], 200)


def test_a_parents_tokenizer_gets_the_missing_tokens() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    parent = Tokenizer(models.WordLevel({"<unk>": 0, "liver": 1, chat.TURN_END: 2}, unk_token="<unk>"))
    parent.pre_tokenizer = pre_tokenizers.Whitespace()
    wrapped = tokenizers.PreTrainedTokenizerFast(tokenizer_object=parent, eos_token=chat.TURN_END)
    ids = tokenizers.add_special_tokens(wrapped)
    assert ids[chat.TURN_END] == 2
    assert sorted(ids.values()) == list(range(2, 9))
    assert wrapped(f"liver{chat.SEG}")["input_ids"] == [1, ids[chat.SEG]]
    assert tokenizers.add_special_tokens(wrapped) == ids
