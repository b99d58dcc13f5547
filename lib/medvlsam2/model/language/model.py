"""The causal language model: image tokens in; text, and the state at [SEG], out; with a LoRA adapter.

Tokens that the base has never seen, [SEG] above all, get small trainable offsets of their own, so that the base's large
embedding can stay frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from medvlsam2.config import LanguageConfig
from medvlsam2.errors import InvalidRequest
from medvlsam2.model.language.decoder import is_adapter
from medvlsam2.model.language.prefix_cache import PrefixCache
from medvlsam2.model.language.reader import LanguageReader
from medvlsam2.model.language.special_tokens import SpecialTokens
from medvlsam2.model.language.weights import fit_base_weights


class LanguageModel(LanguageReader):
    """Qwen2 or Llama with LoRA, image tokens and a reusable prefix.

    Args:
        config: sizes and adapter.
        token_ids: ids of the special tokens.

    Reference:
        arXiv:2501.04001 (Sa2VA: the state AT [SEG]); arXiv:2106.09685 (LoRA).
    """

    def __init__(self, config: LanguageConfig, token_ids: SpecialTokens) -> None:
        super().__init__(config, token_ids)
        self.set_trainable(base=False, lora=True, new_tokens=True)

    def set_trainable(self, *, base: bool, lora: bool, new_tokens: bool) -> None:
        """Choose which parameters are trained.

        Args:
            base: the language model itself (stage 0 of a model without a parent). A pretrained base that lies outside
                the model folder stays frozen, because the folder could not keep what it learns.
            lora: the adapter.
            new_tokens: the offsets of [SEG] and the other new tokens.
        """
        for name, parameter in self.decoder.named_parameters():
            parameter.requires_grad_(lora if is_adapter(name) else base and not self.config.base)
        self.new_tokens.requires_grad_(new_tokens)

    def hold_base_in(self, dtype: torch.dtype) -> None:
        """Hold a pretrained base in a type of numbers; the adapter and other models' weights stay as they are."""
        if self.config.base:
            for name, parameter in self.decoder.named_parameters():
                if not is_adapter(name):
                    parameter.data = parameter.data.to(dtype)

    def merge_adapter(self) -> None:
        """Add the adapter to a pretrained base's weights: tokens are read sooner, and nothing can be trained any more.

        The sums are rounded as the base itself was. Other models stay as they are: they are small, and their answers
        must not change in the last digit.
        """
        if self.config.base:
            self.decoder.merge_adapter()

    def seg_hidden(
        self, hidden: Float[Tensor, "b s hidden"], input_ids: Int[Tensor, "b s"]
    ) -> Float[Tensor, "n hidden"]:
        """States at the [SEG] tokens themselves, row by row in order of appearance."""
        return hidden[input_ids == self.token_ids.seg]

    @torch.no_grad()
    def generate(
        self,
        prefix_cache: PrefixCache,
        turn_ids: Int[Tensor, " t"],
        max_new_tokens: int,
        between: Callable[[], None] | None = None,
    ) -> list[int]:
        """Continue a turn greedily: each next token is the most likely one.

        Args:
            prefix_cache: the prefix, left as it is.
            turn_ids: the turn so far.
            max_new_tokens: at most so many tokens.
            between: called after each token, when other requests may use the device.

        Returns:
            New ids up to, and without, the end token.

        Raises:
            InvalidRequest: when prefix and turn are too long.
        """
        cache = prefix_cache.expand(turn_ids.new_zeros(1), self.base.config)
        room = self.config.max_position_embeddings - prefix_cache.length - len(turn_ids)
        step_ids, generated = turn_ids[None], list[int]()
        for _ in range(min(max_new_tokens, max(room, 0) + 1)):
            total = cache.get_seq_length() + step_ids.shape[1]
            hidden = self.read(self.embed_prompt(step_ids, None), step_ids.new_ones(1, total), cache)
            # -> [1, 1]
            step_ids = self.logits(hidden[:, -1:]).argmax(dim=-1)
            token = int(step_ids)
            if token == self.token_ids.eos:
                break
            generated.append(token)
            if between is not None:
                between()
        return generated

    @torch.no_grad()
    def score_choices(
        self, prefix_cache: PrefixCache, turn_ids: Int[Tensor, " t"], choices_ids: Sequence[Sequence[int]]
    ) -> Float[Tensor, " choices"]:
        """Log-probability of each whole continuation of a turn.

        Args:
            prefix_cache: the prefix, left as it is.
            turn_ids: the turn that every choice continues, at least one token.
            choices_ids: token ids of each choice.

        Returns:
            Sums over each choice's tokens, in nats; divide by the lengths to compare per token.

        Raises:
            InvalidRequest: on an empty turn or choice, or when the sequence is too long.
        """
        if not len(turn_ids) or not choices_ids or not all(choices_ids):
            raise InvalidRequest(
                f"A turn of {len(turn_ids)} tokens and choices of {[len(c) for c in choices_ids]} given. "
                "Each needs at least one token. Leave out what is empty."
            )
        rows = [torch.cat([turn_ids, turn_ids.new_tensor(list(choice))]) for choice in choices_ids]
        # -> [choices, t + longest]
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=self.token_ids.pad)
        lengths = torch.tensor([len(row) for row in rows], device=ids.device)
        attention_mask = (torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]).long()
        hidden = self.read_turns(prefix_cache, ids, attention_mask)
        start = len(turn_ids)
        # [choices, longest, vocab]: the state before a token predicts it
        log_probabilities = self.logits(hidden[:, start - 1 : -1]).float().log_softmax(dim=-1)
        # -> [choices, longest]
        chosen = log_probabilities.gather(-1, ids[:, start:, None])[..., 0]
        return (chosen * attention_mask[:, start:]).sum(dim=1)

    def load_base_weights(self, state_dict: dict[str, Tensor]) -> None:
        """Load a parent's language weights into the base; adapter and new-token offsets stay.

        Args:
            state_dict: Qwen2's or Llama's own keys, InternVL2.5's (its vision part is left out), or
                InternLM2's. Embedding rows that the parent lacks become the mean of its rows.

        Raises:
            CheckpointMismatch: naming missing, unexpected and misshapen keys.
        """
        own = {
            key.removeprefix("base_model.model.").replace(".base_layer.", "."): value
            for key, value in self.decoder.state_dict().items()
            if not is_adapter(key)
        }
        weights = fit_base_weights(state_dict, {name: tuple(value.shape) for name, value in own.items()}, self.config)
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(weights[name])
