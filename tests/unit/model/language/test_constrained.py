"""Writing under a grammar: what is written parses, is what the model likes best, and costs only the choices."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from lark import Lark
from torch import Tensor

from medvlsam2.data.language import chat
from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.model.language.prefix_cache import PrefixCache

QUERIES = """
start: "volume of " name " in " unit | "presence of " name | "compare " name " with " name
name: [side " "] organ
side: "left" | "right"
organ: "kidney" | "lung" | "liver" | "lung lobe"
unit: "mL" | "L"
"""
LISTS = r"""
start: "[" [item ("," item)*] "]"
item: NUMBER | "\"" WORD "\"" | start
NUMBER: /[0-9]{1,3}/
WORD: /[a-z]{1,5}/
"""
ANYTHING = r"start: /(.|\n)*/"
PROMPTS = ("How large is the liver?", "Where?", "Is there a cyst in the left kidney?", "7", "mL mL mL")


@pytest.fixture
def loaded(tiny_loaded: LoadedModel) -> LoadedModel:
    """The tiny model with larger weights, so that it prefers this token here and that one there."""
    model = copy.deepcopy(tiny_loaded.model)
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in model.language.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return replace(tiny_loaded, model=model)


def ids(loaded: LoadedModel, text: str) -> Tensor:
    return torch.tensor(loaded.tokenizer(text, add_special_tokens=False).input_ids)


def prefix(loaded: LoadedModel) -> PrefixCache:
    with torch.no_grad():
        return loaded.model.language.prefill(ids(loaded, f"{chat.TURN_START}system\nText.{chat.TURN_END}\n"), None)


def logits_after(loaded: LoadedModel, text: str) -> Tensor:
    """Of the whole text at once, without any cache."""
    whole = torch.cat([ids(loaded, f"{chat.TURN_START}system\nText.{chat.TURN_END}\n"), ids(loaded, text)])[None]
    with torch.no_grad():
        output = loaded.model.language(whole, torch.ones_like(whole), None)
    assert output.logits is not None
    return output.logits[0, -1]


@pytest.mark.parametrize("grammar", [QUERIES, LISTS])
def test_what_is_written_parses(loaded: LoadedModel, grammar: str) -> None:
    parser, before = Lark(grammar), prefix(loaded)
    texts = set()
    for prompt in PROMPTS:
        written = loaded.write(before, ids(loaded, chat.turn(prompt)), grammar, max_new_tokens=200)
        assert written.is_complete
        parser.parse(written.text)
        texts.add(written.text)
    assert len(texts) > 1, "the model must choose, or the test says little"


def test_forced_tokens_cost_nothing(loaded: LoadedModel) -> None:
    asked = []
    sentence = "The liver measures 1,121 mL."
    turn = ids(loaded, chat.turn("Report."))
    written = loaded.write(
        prefix(loaded), turn, f'start: "{sentence}"', max_new_tokens=100, between=lambda: asked.append(1)
    )
    assert (written.text, written.num_choices, written.log_probability) == (sentence, 0, 0.0)
    assert not asked


def test_the_likelier_of_two_continuations_is_written_with_its_probability(loaded: LoadedModel) -> None:
    turn = chat.turn("Is it seen?")
    first, second = (int(ids(loaded, letter)[0]) for letter in "yn")
    logits = logits_after(loaded, turn)
    expected = "y" if logits[first] > logits[second] else "n"
    written = loaded.write(prefix(loaded), ids(loaded, turn), 'start: "y" | "n"', max_new_tokens=5)
    assert written.text == expected
    assert written.num_choices == 1
    share = torch.stack([logits[first], logits[second]]).log_softmax(0).max()
    assert written.log_probability == pytest.approx(float(share), abs=1e-4)


def test_a_choice_after_forced_tokens_follows_all_of_them(loaded: LoadedModel) -> None:
    turn, told = chat.turn("How large?"), "It measures 5 mL; size="
    small, large = (int(ids(loaded, letter)[0]) for letter in "sl")
    logits = logits_after(loaded, turn + told)
    expected = told + ("s" if logits[small] > logits[large] else "l")
    grammar = f'start: "{told}" ("s" | "l")'
    forced = loaded.write(prefix(loaded), ids(loaded, turn), grammar, max_new_tokens=100)
    assert (forced.text, forced.num_choices) == (expected, 1)
    share = torch.stack([logits[small], logits[large]]).log_softmax(0).max()
    assert forced.log_probability == pytest.approx(float(share), abs=1e-4)


def test_a_grammar_that_allows_everything_changes_nothing(loaded: LoadedModel) -> None:
    # Bytes that are no text on their own, and special tokens, are not allowed by any grammar: here they never win.
    special = set(loaded.tokenizer.all_special_ids) | {loaded.tokenizer.get_vocab()[t] for t in chat.SPECIAL_TOKENS}
    plain = [
        token
        for token in range(len(loaded.tokenizer))
        if token not in special and loaded.tokenizer.decode([token]).isascii()
    ]
    others = torch.ones(loaded.config.language.vocab_size, dtype=torch.bool)
    others[plain] = False
    with torch.no_grad():
        loaded.model.language.base.lm_head.weight[others] = 0
        loaded.model.language.new_tokens.embedding.zero_()
    for prompt in PROMPTS:
        turn, before = ids(loaded, chat.turn(prompt)), prefix(loaded)
        free = loaded.tokenizer.decode(loaded.model.language.generate(before, turn, 12))
        assert loaded.write(before, turn, ANYTHING, max_new_tokens=12).text == free
        assert free


def test_free_text_never_holds_a_special_token(loaded: LoadedModel) -> None:
    language, turn = loaded.model.language, ids(loaded, chat.turn("Say it."))
    before, seg = prefix(loaded), language.token_ids.seg
    with torch.no_grad():
        state = language.read_turns(before, turn[None], torch.ones_like(turn)[None])[0, -1]
        language.new_tokens.embedding[0] += 1000 * state / state.norm() ** 2
    assert language.generate(before, turn, 1) == [seg], "without a grammar the model writes [SEG]"
    written = loaded.write(before, turn, "start: /[^\\n]{1,40}/", max_new_tokens=30)
    assert written.text
    assert not any(token in written.text for token in chat.SPECIAL_TOKENS)


def test_the_end_token_ends_the_text_where_it_may(loaded: LoadedModel) -> None:
    language, turn = loaded.model.language, ids(loaded, "liver")
    with torch.no_grad():
        before = language.prefill(ids(loaded, "The "), None)
        state = language.read_turns(before, turn[None], torch.ones_like(turn)[None])[0, -1]
        language.base.lm_head.weight[language.token_ids.eos] += 1000 * state / state.norm() ** 2
    ended = loaded.write(before, turn, "start: /[a-z]*/", max_new_tokens=30)
    assert (ended.text, ended.num_choices, ended.is_complete) == ("", 1, True)
    assert len(loaded.write(before, turn, "start: /[a-z]{4,9}/", max_new_tokens=30).text) >= 4


def test_a_limit_of_tokens_leaves_the_text_incomplete(loaded: LoadedModel) -> None:
    asked = []
    written = loaded.write(
        prefix(loaded),
        ids(loaded, chat.turn("Go on.")),
        "start: /[a-z]{500}/",
        max_new_tokens=6,
        between=lambda: asked.append(1),
    )
    assert not written.is_complete
    assert 6 <= len(written.text) < 500
    assert len(asked) == written.num_choices == 6


def test_a_prefix_serves_again_as_if_it_were_new(loaded: LoadedModel) -> None:
    before, turn = prefix(loaded), ids(loaded, chat.turn("Where?"))
    length = before.length
    first = loaded.write(before, turn, QUERIES, max_new_tokens=60)
    loaded.write(before, ids(loaded, chat.turn("Something else.")), LISTS, max_new_tokens=60)
    assert before.length == length
    assert loaded.write(before, turn, QUERIES, max_new_tokens=60) == first


@pytest.mark.parametrize("count", [3, 200])
def test_logits_of_some_tokens_are_those_of_all(loaded: LoadedModel, count: int) -> None:
    language = loaded.model.language
    hidden = torch.randn(loaded.config.language.hidden_size)
    seg = language.token_ids.seg
    tokens = torch.tensor(sorted({seg, *range(20, 20 + count)}))
    with torch.no_grad():
        expected = language.logits(hidden)[tokens]
        torch.testing.assert_close(language.logits_among(hidden, tokens), expected)


def test_a_wrong_grammar_says_where(loaded: LoadedModel) -> None:
    with pytest.raises(ValueError, match="nowhere"):
        loaded.write(prefix(loaded), ids(loaded, "x"), 'start: nowhere "a"', max_new_tokens=3)
