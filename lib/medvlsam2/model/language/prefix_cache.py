"""Keys and values of prompts' common beginnings, which are computed once for all turns after them."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache, PretrainedConfig


@dataclass(frozen=True, kw_only=True)
class PrefixCache:
    """Keys and values of one prefix or several; any number of turns reads them, and no turn changes them."""

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
        """Memory of all keys and values."""
        return sum(tensor.nbytes for tensor in (*self.keys, *self.values))

    def expand(self, rows: Int[Tensor, " k"], config: PretrainedConfig) -> DynamicCache:
        """A cache of one prefix for each of k turns.

        What a turn adds is concatenated into new tensors, so the prefixes themselves are never written.

        Args:
            rows: number of each turn's prefix.
            config: the decoder's.
        """
        pairs = zip(self.keys, self.values, strict=True)
        if len(self.attention_mask) == 1:
            layers = [(key.expand(len(rows), -1, -1, -1), value.expand(len(rows), -1, -1, -1)) for key, value in pairs]
        else:
            layers = [(key[rows], value[rows]) for key, value in pairs]
        return DynamicCache(layers, config=config)
