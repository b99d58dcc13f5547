"""From words to token ids, the same way in training and in serving."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from medvlsam2.data.language import chat
from medvlsam2.data.language.tokenizer import IGNORED_LABEL


@dataclass(frozen=True)
class Conversation:
    """One question about one volume, and its answer."""

    question: str
    answer: str


@dataclass(frozen=True)
class TokenBatch:
    """Conversations padded on the right."""

    input_ids: Int[Tensor, "b s"]
    attention_mask: Int[Tensor, "b s"]
    labels: Int[Tensor, "b s"]


@dataclass(frozen=True)
class TokenPair:
    """A prompt and its answer in token ids."""

    prompt: Sequence[int]
    answer: Sequence[int]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a text that holds its own special tokens."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def prefix_ids(
    tokenizer: PreTrainedTokenizerBase, num_image_tokens: int, measured: str | None = None
) -> Int[Tensor, " s"]:
    """The part of every prompt that holds the image and, for reports and answers, what masks of it measure."""
    facts = "" if measured is None else f"{measured}\n"
    return torch.tensor(encode(tokenizer, chat.prefix(num_image_tokens) + facts))


def turn_ids(tokenizer: PreTrainedTokenizerBase, question: str) -> Int[Tensor, " t"]:
    """A question, up to where the answer begins."""
    return torch.tensor(encode(tokenizer, chat.turn(question)))


def segmentation_turns(
    tokenizer: PreTrainedTokenizerBase, phrases: Sequence[str]
) -> tuple[Int[Tensor, "k t"], Int[Tensor, "k t"]]:
    """Requests for masks with their teacher-forced answers, [SEG] included, as one batch, and its attention mask."""
    return request_turns(tokenizer, [chat.segmentation_question(phrase) for phrase in phrases])


def request_turns(
    tokenizer: PreTrainedTokenizerBase, questions: Sequence[str]
) -> tuple[Int[Tensor, "k t"], Int[Tensor, "k t"]]:
    """As :func:`segmentation_turns`, for requests in any wording."""
    assert isinstance(tokenizer.pad_token_id, int)
    rows = [torch.tensor(encode(tokenizer, chat.turn(each) + chat.SEGMENTATION_ANSWER)) for each in questions]
    return pad(rows, tokenizer.pad_token_id)


def encode_pairs(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[tuple[str, str]]) -> list[TokenPair]:
    """Whole prompts of text tasks with their answers, for training; each answer gets the token that ends it."""
    prompts = _encode_all(tokenizer, [prompt for prompt, _ in pairs])
    answers = _encode_all(tokenizer, [answer + chat.TURN_END for _, answer in pairs])
    return [TokenPair(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]


def batch_of(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[TokenPair]) -> TokenBatch:
    """Prompts and answers as rows; the labels are those of the answers alone."""
    assert isinstance(tokenizer.pad_token_id, int)
    rows = [torch.tensor([*pair.prompt, *pair.answer]) for pair in pairs]
    labels = [torch.tensor([IGNORED_LABEL] * len(pair.prompt) + list(pair.answer)) for pair in pairs]
    input_ids, attention_mask = pad(rows, tokenizer.pad_token_id)
    return TokenBatch(input_ids, attention_mask, pad(labels, IGNORED_LABEL)[0])


def pad(rows: Sequence[Int[Tensor, " _"]], padding_value: int) -> tuple[Int[Tensor, "b t"], Int[Tensor, "b t"]]:
    """Rows of different length as one batch, and its attention mask."""
    ids = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=padding_value)
    lengths = torch.tensor([len(row) for row in rows])
    return ids, (torch.arange(ids.shape[1]) < lengths[:, None]).long()


def encode_turns(tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Conversation]) -> TokenBatch:
    """Questions and answers as turns after a prefix, for training: the loss sees the answers alone."""
    questions = _encode_all(tokenizer, [chat.turn(each.question) for each in conversations])
    answers = _encode_all(tokenizer, [each.answer + chat.TURN_END for each in conversations])
    return batch_of(tokenizer, [TokenPair(*pair) for pair in zip(questions, answers, strict=True)])


def _encode_all(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """Many texts in one call, which takes a tenth of the time of as many calls."""
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return ids
