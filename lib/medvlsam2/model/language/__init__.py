"""The causal language model with its LoRA adapter, its new tokens and its weights."""
