"""The causal language model: image tokens in, text and the state at [SEG] out, with a LoRA adapter.

The decoder is ``transformers``' own Qwen2 or Llama, wrapped by ``peft``, whose parameter names are kept
(``decoder.base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight``). Tokens that the base has
never seen, [SEG] above all, get small trainable offsets of their own, so that the base's large embedding can
stay frozen. Prompts are token ids here: text, chat templates and vocabularies are handled elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from medvlsam2.config import LanguageConfig
from medvlsam2.data.language.tokenizer import IGNORED_LABEL
from medvlsam2.errors import InvalidRequest
from medvlsam2.model.language.new_tokens import NewTokens
from medvlsam2.model.language.weights import fit_base_weights

LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
# Both parents, Qwen2.5 and InternLM2.5, use this base of the rotary embedding.
ROPE_THETA = 1_000_000.0
RMS_NORM_EPS = {"qwen2": 1e-6, "llama": 1e-5}


@dataclass(frozen=True, kw_only=True)
class SpecialTokens:
    """Ids that the model itself must know."""

    image_context: int
    """Placeholder of one image token."""
    seg: int
    """[SEG]: its state becomes the mask prompt."""
    eos: int
    """End of a turn; generation stops before it."""
    pad: int
    """Fills shorter rows on the right."""
    new: tuple[int, ...] = ()
    """Ids besides [SEG] that the base has never seen and that are trained while it is frozen."""


@dataclass(frozen=True, kw_only=True)
class LanguageOutput:
    """One pass over sequences. With labels there is a loss, without them there are logits."""

    loss: Float[Tensor, ""] | None
    """Mean cross-entropy over the labelled tokens (0 when there is none)."""
    logits: Float[Tensor, "b s vocab"] | None
    """Next-token logits; not kept with labels, where they would fill the memory."""
    hidden_states_last: Float[Tensor, "b s hidden"]
    """Last layer's states, after the last norm."""


@dataclass(frozen=True, kw_only=True)
class PrefixCache:
    """Keys and values of one prefix or several, to be read by any number of turns and written by none."""

    keys: tuple[Float[Tensor, "v kv_heads prefix head_dim"], ...]
    """One tensor per layer."""
    values: tuple[Float[Tensor, "v kv_heads prefix head_dim"], ...]
    """One tensor per layer."""
    attention_mask: Int[Tensor, "v prefix"]
    """1 for a token, 0 for the padding on the right of shorter prefixes."""

    @property
    def length(self) -> int:
        """Number of tokens in the longest prefix."""
        return self.keys[0].shape[2]

    @property
    def size_bytes(self) -> int:
        """Memory that it holds."""
        return sum(tensor.nbytes for tensor in (*self.keys, *self.values))


class LanguageModel(nn.Module):
    """Qwen2 or Llama with LoRA, image tokens and a reusable prefix.

    Args:
        config: sizes and adapter.
        token_ids: ids of the special tokens.

    Reference:
        arXiv:2501.04001 (Sa2VA: the state AT [SEG]); arXiv:2106.09685 (LoRA).
    """

    def __init__(self, config: LanguageConfig, token_ids: SpecialTokens) -> None:
        super().__init__()
        self.config = config
        self.token_ids = token_ids
        lora = LoraConfig(
            r=config.lora_rank,
            lora_alpha=config.lora_alpha,
            lora_dropout=config.lora_dropout,
            target_modules=list(LORA_TARGETS),
            task_type="CAUSAL_LM",
        )
        self.decoder = get_peft_model(_build_base(config), lora)
        self.new_tokens = NewTokens(
            sorted({token_ids.seg, *token_ids.new}), config.hidden_size, tied=config.tie_word_embeddings
        )
        self.set_trainable(base=False, lora=True, new_tokens=True)

    def set_trainable(self, *, base: bool, lora: bool, new_tokens: bool) -> None:
        """Choose which parameters are trained.

        Args:
            base: the language model itself (stage 0 of a model without a parent).
            lora: the adapter.
            new_tokens: the offsets of [SEG] and the other new tokens.
        """
        for name, parameter in self.decoder.named_parameters():
            parameter.requires_grad_(lora if ".lora_" in name else base)
        self.new_tokens.requires_grad_(new_tokens)

    @contextmanager
    def adapter_disabled(self) -> Iterator[None]:
        """Within this context the model is its base: no adapter, no new-token offsets."""
        self.new_tokens.enabled = False
        try:
            with self.decoder.disable_adapter():
                yield
        finally:
            self.new_tokens.enabled = True

    def embed_prompt(
        self, input_ids: Int[Tensor, "b s"], image_embeddings: Float[Tensor, "volumes tokens hidden"] | None
    ) -> Float[Tensor, "b s hidden"]:
        """Embed tokens and put the volumes' image tokens, in batch order, where the placeholders are.

        Raises:
            InvalidRequest: when placeholders and image tokens differ in number.
        """
        # -> [b, s, hidden]
        embeddings = self._base.get_input_embeddings()(input_ids)
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
        return self._output(self._read(self.embed_prompt(input_ids, image_embeddings), attention_mask, None), labels)

    def seg_hidden(
        self, hidden: Float[Tensor, "b s hidden"], input_ids: Int[Tensor, "b s"]
    ) -> Float[Tensor, "n hidden"]:
        """States at the [SEG] tokens themselves, row by row in order of appearance."""
        return hidden[input_ids == self.token_ids.seg]

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
        cache = DynamicCache(config=self._base.config)
        # -> [v, s, hidden]
        embeddings = self.embed_prompt(prefix_ids, image_embeddings)
        self._read(embeddings, attention_mask, cache)
        # a cache iterates over (keys, values, sliding window) of its layers
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
        return self._output(self._read_turns(prefix_cache, turn_ids, attention_mask, rows), labels)

    @torch.no_grad()
    def generate(
        self,
        prefix_cache: PrefixCache,
        turn_ids: Int[Tensor, " t"],
        max_new_tokens: int,
        between: Callable[[], None] | None = None,
    ) -> list[int]:
        """Continue a turn with the likeliest token, again and again.

        Args:
            prefix_cache: the prefix, left as it is.
            turn_ids: the turn so far.
            max_new_tokens: at most so many tokens.
            between: called after each token; others may use the device meanwhile.

        Returns:
            New ids up to, and without, the end token. For states and entropies read them with ``extend``.

        Raises:
            InvalidRequest: when prefix and turn are too long.
        """
        cache = self._expand(prefix_cache, turn_ids.new_zeros(1))
        room = self.config.max_position_embeddings - prefix_cache.length - len(turn_ids)
        step_ids, generated = turn_ids[None], list[int]()
        for _ in range(min(max_new_tokens, max(room, 0) + 1)):
            total = cache.get_seq_length() + step_ids.shape[1]
            hidden = self._read(self.embed_prompt(step_ids, None), step_ids.new_ones(1, total), cache)
            # -> [1, 1]
            step_ids = self._logits(hidden[:, -1:]).argmax(dim=-1)
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
        hidden = self._read_turns(prefix_cache, ids, attention_mask)
        start = len(turn_ids)
        # [choices, longest, vocab]: the state before a token predicts it
        log_probabilities = self._logits(hidden[:, start - 1 : -1]).float().log_softmax(dim=-1)
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
            if ".lora_" not in key
        }
        weights = fit_base_weights(state_dict, {name: tuple(value.shape) for name, value in own.items()}, self.config)
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(weights[name])

    @property
    def _base(self) -> Qwen2ForCausalLM | LlamaForCausalLM:
        base = self.decoder.get_base_model()
        assert isinstance(base, Qwen2ForCausalLM | LlamaForCausalLM)
        return base

    def _read(
        self,
        embeddings: Float[Tensor, "b s hidden"],
        attention_mask: Int[Tensor, "b total"],
        cache: DynamicCache | None,
        position_ids: Int[Tensor, "b s"] | None = None,
    ) -> Float[Tensor, "b s hidden"]:
        total = attention_mask.shape[1]
        if total > self.config.max_position_embeddings:
            total = int(attention_mask.sum(dim=1).max())  # padding takes no position
        if total > self.config.max_position_embeddings:
            raise InvalidRequest(
                f"A sequence of {total} tokens given; the model reads at most "
                f"{self.config.max_position_embeddings}. Shorten the text."
            )
        output = self._base.model(
            inputs_embeds=embeddings,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return output.last_hidden_state

    def _read_turns(
        self,
        prefix_cache: PrefixCache,
        turn_ids: Int[Tensor, "k t"],
        attention_mask: Int[Tensor, "k t"],
        rows: Int[Tensor, " k"] | None = None,
    ) -> Float[Tensor, "k t hidden"]:
        rows = turn_ids.new_zeros(len(turn_ids)) if rows is None else rows
        # -> [k, prefix]
        prefix_mask = prefix_cache.attention_mask[rows]
        whole_mask = torch.cat([prefix_mask, attention_mask], dim=1)
        # padding between a prefix and its turn takes no position
        position_ids = prefix_mask.sum(dim=1, keepdim=True) + torch.arange(turn_ids.shape[1], device=turn_ids.device)
        return self._read(self.embed_prompt(turn_ids, None), whole_mask, self._expand(prefix_cache, rows), position_ids)

    def _expand(self, prefix_cache: PrefixCache, rows: Int[Tensor, " k"]) -> DynamicCache:
        """A cache of the prefixes of ``rows``; it concatenates into new tensors, so none of them is ever written."""
        if len(prefix_cache.attention_mask) == 1:
            layers = [
                (key.expand(len(rows), -1, -1, -1), value.expand(len(rows), -1, -1, -1))
                for key, value in zip(prefix_cache.keys, prefix_cache.values, strict=True)
            ]
        else:
            pairs = zip(prefix_cache.keys, prefix_cache.values, strict=True)
            layers = [(key[rows], value[rows]) for key, value in pairs]
        return DynamicCache(layers, config=self._base.config)

    def _output(self, hidden: Float[Tensor, "b s hidden"], labels: Int[Tensor, "b s"] | None) -> LanguageOutput:
        if labels is None:
            return LanguageOutput(loss=None, logits=self._logits(hidden), hidden_states_last=hidden)
        return LanguageOutput(loss=self._loss(hidden, labels), logits=None, hidden_states_last=hidden)

    def _logits(self, hidden: Float[Tensor, "*n hidden"]) -> Float[Tensor, "*n vocab"]:
        return self.new_tokens.add_to_logits(self._base.lm_head(hidden), hidden)

    def _loss(self, hidden: Float[Tensor, "b s hidden"], labels: Int[Tensor, "b s"]) -> Float[Tensor, ""]:
        """Logits are computed at labelled tokens alone: image and prompt tokens outnumber them by far."""
        targets = labels[:, 1:]
        labelled = targets != IGNORED_LABEL
        # [n, hidden] -> [n, vocab]
        logits = self._logits(hidden[:, :-1][labelled]).float()
        total = F.cross_entropy(logits, targets[labelled], reduction="sum")
        return total / max(int(labelled.sum()), 1)


def mean_token_entropy(logits: Float[Tensor, "b s vocab"], attention_mask: Int[Tensor, "b s"]) -> Float[Tensor, " b"]:
    """Mean entropy of the next-token distributions of each row, in nats, padding left out."""
    log_probabilities = logits.float().log_softmax(dim=-1)
    entropy = -(log_probabilities.exp() * log_probabilities).sum(dim=-1)
    return (entropy * attention_mask).sum(dim=1) / attention_mask.sum(dim=1).clamp(min=1)


def _build_base(config: LanguageConfig) -> Qwen2ForCausalLM | LlamaForCausalLM:
    sizes: dict[str, Any] = {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "max_position_embeddings": config.max_position_embeddings,
        "tie_word_embeddings": config.tie_word_embeddings,
        "rms_norm_eps": RMS_NORM_EPS[config.architecture],
        "rope_parameters": {"rope_type": "default", "rope_theta": ROPE_THETA},
    }
    if config.architecture == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**sizes))
    return LlamaForCausalLM(LlamaConfig(**sizes))
