"""Answers that share one prefix: with or without an image; short answers are weighted apart from reports."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.training.data.conversation_samples import ConversationSample
from medvlsam2.training.steps.turns import LONG_ANSWER, answers_loss, read_turns
from medvlsam2.transforms.text import Conversation

SHORT = [Conversation("Is the liver visible?", "Yes"), Conversation("Which phase is it?", "portal venous")]
REPORT = Conversation("Please write a report.", "The liver is normal. " * (LONG_ANSWER // 20 + 1))
MEASURED = "Measured: region abdomen. Volumes in mL: liver 1480."


def loss_of(loaded: LoadedModel, conversations: list[Conversation], measured: str | None = MEASURED) -> torch.Tensor:
    with torch.no_grad():
        return answers_loss(loaded.model, loaded.tokenizer, None, [ConversationSample(tuple(conversations), measured)])


def test_a_report_counts_as_much_as_all_short_answers(tiny_loaded: LoadedModel) -> None:
    opinionated = replace(tiny_loaded, model=copy.deepcopy(tiny_loaded.model))
    with torch.no_grad():
        for parameter in opinionated.model.language.parameters():
            parameter.mul_(10)
    both = loss_of(opinionated, [*SHORT, REPORT])
    parts = torch.stack([loss_of(opinionated, SHORT), loss_of(opinionated, [REPORT])])
    assert torch.allclose(both, parts.mean(), rtol=1e-5)
    assert abs(float(parts[0] - parts[1])) > 0.01 * float(both)


def test_short_answers_without_a_report_have_the_usual_loss(tiny_loaded: LoadedModel) -> None:
    with torch.no_grad():
        turns = read_turns(tiny_loaded.model, tiny_loaded.tokenizer, None, [ConversationSample(tuple(SHORT), MEASURED)])
    assert torch.allclose(loss_of(tiny_loaded, SHORT), turns.loss)


def test_the_measured_text_changes_the_answer(tiny_loaded: LoadedModel) -> None:
    assert not torch.allclose(loss_of(tiny_loaded, SHORT), loss_of(tiny_loaded, SHORT, None))


def test_the_measured_text_of_one_volume_does_not_reach_another(tiny_loaded: LoadedModel) -> None:
    """In one batch with prefixes of different lengths, each answer has the same states as alone."""
    told = [ConversationSample((SHORT[0],), MEASURED), ConversationSample((SHORT[1],), None)]
    with torch.no_grad():
        both = read_turns(tiny_loaded.model, tiny_loaded.tokenizer, None, told)
        for row in range(2):
            alone = read_turns(tiny_loaded.model, tiny_loaded.tokenizer, None, [told[row]])
            length = alone.input_ids.shape[1]
            torch.testing.assert_close(
                both.hidden_states_last[row, :length], alone.hidden_states_last[0], rtol=1e-4, atol=1e-5
            )
