"""The causal language model: LoRA adapter, new tokens, and conversion of a parent's weights."""
