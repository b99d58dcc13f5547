"""How the language model reads: whole sequences, or a prefix once and then any number of turns after it.

Prompts are token ids and image tokens here; texts, chat templates and vocabularies are handled elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DynamicCache, LlamaForCausalLM, Qwen2ForCausalLM

from medvlsam2.config import LanguageConfig
from medvlsam2.data.language.tokenizer import IGNORED_LABEL
from medvlsam2.errors import InvalidRequest
from medvlsam2.model.language.decoder import Base, build_decoder
from medvlsam2.model.language.new_tokens import NewTokens
from medvlsam2.model.language.prefix_cache import PrefixCache
from medvlsam2.model.language.special_tokens import SpecialTokens

FEW_TOKENS: Final = 8
"""Up to one in so many tokens, their rows of the output layer are gathered; more than that are slower than all rows."""


@dataclass(frozen=True, kw_only=True)
class LanguageOutput:
    """One pass over sequences. With labels there is a loss, without them there are logits."""

    loss: Float[Tensor, ""] | None
    """Mean cross-entropy over the labelled tokens (0 when there is none)."""
    logits: Float[Tensor, "b s vocab"] | None
    """Next-token logits; not kept with labels, where they would fill the memory."""
    hidden_states_last: Float[Tensor, "b s hidden"]
    """Last layer's states, after the last norm."""


class LanguageReader(nn.Module):
    """A decoder that reads image tokens among tokens of text.

    Args:
        config: sizes and adapter.
        token_ids: ids of the special tokens.
    """

    def __init__(self, config: LanguageConfig, token_ids: SpecialTokens) -> None:
        super().__init__()
        self.config = config
        self.token_ids = token_ids
        self.decoder = build_decoder(config)
        self.new_tokens = NewTokens(
            sorted({token_ids.seg, *token_ids.new}), config.hidden_size, tied=config.tie_word_embeddings
        )

    @property
    def base(self) -> Base:
        """The decoder without the wrapper of its adapter."""
        base = self.decoder.get_base_model()
        assert isinstance(base, Qwen2ForCausalLM | LlamaForCausalLM)
        return base

    def embed_prompt(
        self, input_ids: Int[Tensor, "b s"], image_embeddings: Float[Tensor, "volumes tokens hidden"] | None
    ) -> Float[Tensor, "b s hidden"]:
        """Embed tokens and put the volumes' image tokens, in batch order, where the placeholders are.

        Raises:
            InvalidRequest: when placeholders and image tokens differ in number.
        """
        # -> [b, s, hidden]
        embeddings = self.base.get_input_embeddings()(input_ids)
        embeddings = self.new_tokens.add_to_embeddings(embeddings, input_ids)
        is_image = input_ids == self.token_ids.image_context
        given = 0 if image_embeddings is None else image_embeddings.shape[0] * image_embeddings.shape[1]
        placeholders = int(is_image.sum())
        if placeholders != given:
            raise InvalidRequest(
                f"The prompt has {placeholders} image placeholders, but {given} image tokens were given. "
                "Both must be equal: check the number of volumes and of placeholders per volume."
            )
        if image_embeddings is None:
            return embeddings
        return embeddings.masked_scatter(is_image[..., None], image_embeddings.to(embeddings.dtype))

    def forward(
        self,
        input_ids: Int[Tensor, "b s"],
        attention_mask: Int[Tensor, "b s"],
        image_embeddings: Float[Tensor, "volumes tokens hidden"] | None,
        labels: Int[Tensor, "b s"] | None = None,
    ) -> LanguageOutput:
        """Read whole sequences, padded on the right.

        Args:
            input_ids: token ids.
            attention_mask: 1 for a token, 0 for padding.
            image_embeddings: the volumes' image tokens in batch order.
            labels: ids to predict, not shifted; ``IGNORED_LABEL`` is ignored.

        Raises:
            InvalidRequest: when image tokens do not fit, or a sequence is too long.
        """
        return self._output(self.read(self.embed_prompt(input_ids, image_embeddings), attention_mask, None), labels)

    def prefill(
        self,
        prefix_ids: Int[Tensor, " s"],
        image_embeddings: Float[Tensor, "volumes tokens hidden"] | None,
    ) -> PrefixCache:
        """Read a prefix once, for many turns; in training their gradients meet in it.

        Raises:
            InvalidRequest: when image tokens do not fit, or the prefix is too long.
        """
        return self.prefill_each(prefix_ids[None], torch.ones_like(prefix_ids)[None], image_embeddings)

    def prefill_each(
        self,
        prefix_ids: Int[Tensor, "v s"],
        attention_mask: Int[Tensor, "v s"],
        image_embeddings: Float[Tensor, "volumes tokens hidden"] | None,
    ) -> PrefixCache:
        """Read several prefixes at once, padded on the right.

        Raises:
            InvalidRequest: when image tokens do not fit, or a prefix is too long.
        """
        cache = DynamicCache(config=self.base.config)
        # -> [v, s, hidden]
        embeddings = self.embed_prompt(prefix_ids, image_embeddings)
        self.read(embeddings, attention_mask, cache)
        # A cache iterates over (keys, values, sliding window) of its layers.
        layers = list(cache)
        return PrefixCache(
            keys=tuple(layer[0] for layer in layers),
            values=tuple(layer[1] for layer in layers),
            attention_mask=attention_mask,
        )

    def extend(
        self,
        prefix_cache: PrefixCache,
        turn_ids: Int[Tensor, "k t"],
        attention_mask: Int[Tensor, "k t"],
        labels: Int[Tensor, "k t"] | None = None,
        rows: Int[Tensor, " k"] | None = None,
    ) -> LanguageOutput:
        """Read k turns, each as if it alone followed its prefix.

        Args:
            prefix_cache: the prefixes, left as they are.
            turn_ids: token ids, padded on the right.
            attention_mask: 1 for a token, 0 for padding.
            labels: ids to predict, not shifted; ``IGNORED_LABEL`` is ignored.
            rows: number of the prefix that each turn follows; by default the first.

        Raises:
            InvalidRequest: when a turn holds image placeholders, or prefix and turn are too long.
        """
        return self._output(self.read_turns(prefix_cache, turn_ids, attention_mask, rows), labels)

    def read_turns(
        self,
        prefix_cache: PrefixCache,
        turn_ids: Int[Tensor, "k t"],
        attention_mask: Int[Tensor, "k t"],
        rows: Int[Tensor, " k"] | None = None,
    ) -> Float[Tensor, "k t hidden"]:
        """The states alone of what :meth:`extend` reads, without logits."""
        rows = turn_ids.new_zeros(len(turn_ids)) if rows is None else rows
        # -> [k, prefix]
        prefix_mask = prefix_cache.attention_mask[rows]
        whole_mask = torch.cat([prefix_mask, attention_mask], dim=1)
        # Padding between a prefix and its turn takes no position.
        position_ids = prefix_mask.sum(dim=1, keepdim=True) + torch.arange(turn_ids.shape[1], device=turn_ids.device)
        cache = prefix_cache.expand(rows, self.base.config)
        return self.read(self.embed_prompt(turn_ids, None), whole_mask, cache, position_ids)

    def read(
        self,
        embeddings: Float[Tensor, "b s hidden"],
        attention_mask: Int[Tensor, "b total"],
        cache: DynamicCache | None,
        position_ids: Int[Tensor, "b s"] | None = None,
    ) -> Float[Tensor, "b s hidden"]:
        """Last layer's states over embedded tokens.

        Args:
            embeddings: of the new tokens.
            attention_mask: of what the cache holds and of the new tokens: 1 for a token, 0 for padding.
            cache: keys and values before the new tokens, to which theirs are added; None: nothing comes before.
            position_ids: of the new tokens; None: they count on from the cache.

        Raises:
            InvalidRequest: when a sequence is too long.
        """
        total = attention_mask.shape[1]
        if total > self.config.max_position_embeddings:
            total = int(attention_mask.sum(dim=1).max())  # Padding takes no position.
        if total > self.config.max_position_embeddings:
            raise InvalidRequest(
                f"A sequence of {total} tokens given; the model reads at most "
                f"{self.config.max_position_embeddings}. Shorten the text."
            )
        output = self.base.model(
            inputs_embeds=embeddings,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return output.last_hidden_state

    def logits(self, hidden: Float[Tensor, "*n hidden"]) -> Float[Tensor, "*n vocab"]:
        """Next-token logits of last-layer states."""
        return self.new_tokens.add_to_logits(self.base.lm_head(hidden), hidden)

    def logits_among(self, hidden: Float[Tensor, " hidden"], token_ids: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Next-token logits of a few tokens after one state; where the vocabulary is wide, the others cost most."""
        if FEW_TOKENS * len(token_ids) > self.config.vocab_size:
            return self.logits(hidden)[token_ids].float()
        # -> [n, hidden]
        rows = self.new_tokens.add_to_output_rows(self.base.lm_head.weight[token_ids], token_ids)
        return (rows @ hidden.to(rows.dtype)).float()

    def _output(self, hidden: Float[Tensor, "b s hidden"], labels: Int[Tensor, "b s"] | None) -> LanguageOutput:
        if labels is None:
            return LanguageOutput(loss=None, logits=self.logits(hidden), hidden_states_last=hidden)
        return LanguageOutput(loss=self._loss(hidden, labels), logits=None, hidden_states_last=hidden)

    def _loss(self, hidden: Float[Tensor, "b s hidden"], labels: Int[Tensor, "b s"]) -> Float[Tensor, ""]:
        """Logits are computed at labelled tokens alone: image and prompt tokens outnumber them by far."""
        targets = labels[:, 1:]
        labelled = targets != IGNORED_LABEL
        # [n, hidden] -> [n, vocab]
        logits = self.logits(hidden[:, :-1][labelled]).float()
        total = F.cross_entropy(logits, targets[labelled], reduction="sum")
        return total / max(int(labelled.sum()), 1)
