"""Steps of text tasks: rows of similar length, answers alone in the loss, and what counts as exactly right."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from medvlsam2.data.language.task_prompts import PREFIX, query_prompt
from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.training.config import TrainConfig
from medvlsam2.training.steps.base import Source
from medvlsam2.training.steps.tasks import TaskStep, answer
from medvlsam2.transforms.text import TokenPair, encode_pairs

TOKENS = 600


@pytest.fixture
def source(tiny_loaded: LoadedModel) -> Source:
    config = TrainConfig(tokens_per_step=TOKENS)
    return Source(tiny_loaded.tokenizer, [], config, tiny_loaded.config.sam2, 1024)


def test_rows_of_a_step_have_similar_length_and_few_tokens_in_all(source: Source) -> None:
    steps = [TaskStep.draw(source, np.random.default_rng(seed)) for seed in range(8)]
    lengths = [np.array([len(pair) for pair in step.pairs]) for step in steps]
    padding = [1 - each.mean() / each.max() for each in lengths]
    together = np.concatenate(lengths)
    assert np.mean(padding) < 0.3 * (1 - together.mean() / together.max())
    assert all(len(each) == 1 or each.max() * len(each) <= TOKENS for each in lengths)
    assert all(step.num_samples == len(step.pairs) >= 1 for step in steps)


def test_a_step_asks_for_queries_objects_and_reports(source: Source) -> None:
    steps = [TaskStep.draw(source, np.random.default_rng(seed)) for seed in range(40)]
    prompts = [source.tokenizer.decode(pair.prompt) for step in steps for pair in step.pairs]
    kinds = {prompt.removeprefix(PREFIX).partition(":")[0] for prompt in prompts}
    assert kinds == {"Query", "Object", "Report"}


def test_an_answer_is_exact_where_a_greedy_writer_gives_it(tiny_loaded: LoadedModel) -> None:
    model, tokenizer = tiny_loaded.model, tiny_loaded.tokenizer
    prompt = encode_pairs(tokenizer, [(query_prompt("How big is the liver?", ["liver"]), "")])[0].prompt
    with torch.no_grad():
        empty = model.language.prefill(torch.tensor(prompt[:1]), None)
        written = model.language.generate(empty, torch.tensor(prompt[1:]), max_new_tokens=5)
        other = [*written[:-1], (written[-1] + 1) % 300]
        pairs = [TokenPair(prompt, written), TokenPair(prompt, other), TokenPair(prompt[5:], other[:2])]
        answered = answer(model, tokenizer, pairs[:2])
        assert answered.exact.tolist() == [True, False]
        assert answer(model, tokenizer, pairs).exact.tolist()[:2] == [True, False], "padding changes nothing"


def test_the_loss_is_that_of_the_answers_alone(tiny_loaded: LoadedModel) -> None:
    model, tokenizer = tiny_loaded.model, tiny_loaded.tokenizer
    pairs = encode_pairs(
        tokenizer,
        [
            (query_prompt("How big is the liver?", ["liver"]), "volume of liver"),
            (query_prompt("Which region?"), "region"),
        ],
    )
    with torch.no_grad():
        losses = []
        for pair in pairs:
            ids = torch.tensor([[*pair.prompt, *pair.answer]])
            logits = model.language(ids, torch.ones_like(ids), None).logits[0]
            first = len(pair.prompt)
            losses += F.cross_entropy(logits[first - 1 : -1], ids[0, first:], reduction="none").tolist()
        assert tokenizer.decode(pairs[0].answer).endswith("<|im_end|>")
        assert float(answer(model, tokenizer, pairs).loss) == pytest.approx(np.mean(losses), rel=1e-5)
