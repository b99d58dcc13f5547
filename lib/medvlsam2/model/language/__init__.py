"""The causal language model with its LoRA adapter, its new tokens and its weights.

``decoder`` builds the parent's architecture with LoRA, ``new_tokens`` adds offsets of [SEG] and other new tokens.
``reader`` reads sequences, or turns after a ``prefix_cache``; ``model`` continues them, scores choices and takes a
parent's weights, which ``weights`` and ``convert_internlm2`` bring under our names. ``base_file`` finds a frozen base
in an installed package, and ``pretrained_base`` converts and caches it. ``constrained`` writes under ``grammars``.
"""
