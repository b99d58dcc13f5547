"""A pretrained base of some kilobytes in a package of its own, as GGUF: what the real one is, but small."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import gguf
import numpy as np
import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

if TYPE_CHECKING:
    from medvlsam2.config import ModelConfig

HIDDEN, MLP, LAYERS, HEADS, KV_HEADS, THETA = 64, 96, 2, 4, 2, 100_000.0
MERGES = ("l i", "v e", "li ve", "live r", "Ġ liver", "Ġ Ġ")
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
QUANTISED = gguf.GGMLQuantizationType.Q4_1


@dataclass(frozen=True)
class TinyBase:
    """A package with a base, on the import path, and its cache in a folder of the test's own."""

    name: str
    file: Path
    cache: Path
    truth: LlamaForCausalLM
    """A model with the weights that the file holds."""
    config: ModelConfig
    """A whole model around it."""


def vocabulary() -> list[str]:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    return [*SPECIAL, *alphabet, *("".join(merge.split()) for merge in MERGES)]


def as_llama_cpp(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of queries and keys in the order of llama.cpp, which turns neighbours where transformers turns halves."""
    rows = weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1])
    return rows.swapaxes(1, 2).reshape(weight.shape)


def as_transformers(weight: np.ndarray, heads: int) -> np.ndarray:
    rows = weight.reshape(heads, weight.shape[0] // heads // 2, 2, weight.shape[1])
    return rows.swapaxes(1, 2).reshape(weight.shape)


def add_tensors(writer: gguf.GGUFWriter, model: LlamaForCausalLM) -> None:
    """Write a model's weights, most of them in 4 bits, and round the model's own in the same way."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, LAYERS)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name == "lm_head.weight":
                continue
            told = names.get_name(name.removesuffix(".weight")) + ".weight"
            heads = {"q_proj": HEADS, "k_proj": KV_HEADS}.get(name.split(".")[-2])
            values = tensor.numpy().copy()
            if tensor.ndim == 1:
                writer.add_tensor(told, values)
                continue
            stored = as_llama_cpp(values, heads) if heads else values
            packed = gguf.quants.quantize(stored, QUANTISED)
            writer.add_tensor(told, packed, raw_dtype=QUANTISED)
            rounded = gguf.quants.dequantize(packed, QUANTISED)
            tensor.copy_(torch.from_numpy(as_transformers(rounded, heads) if heads else rounded))


def write_gguf(path: Path) -> LlamaForCausalLM:
    """Write a random Llama with a byte-level tokenizer; gives the model with the very weights of the file."""
    tokens = vocabulary()
    sizes = {
        "vocab_size": len(tokens),
        "hidden_size": HIDDEN,
        "intermediate_size": MLP,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
    }
    torch.manual_seed(2)
    model = LlamaForCausalLM(
        LlamaConfig(
            **sizes,
            tie_word_embeddings=True,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": THETA},
        )
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(512)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(MLP)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(THETA)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL)))
    writer.add_token_merges(list(MERGES))
    for add in (writer.add_unk_token_id, writer.add_bos_token_id, writer.add_eos_token_id, writer.add_pad_token_id):
        add(0)
    add_tensors(writer, model)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LlamaForCausalLM]:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    return path, write_gguf(path)


@pytest.fixture
def tiny_base(tiny_gguf: tuple[Path, LlamaForCausalLM], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyBase:
    """The base as an installed package that must not be imported; the tests may damage its file and its cache."""
    from medvlsam2.config import LanguageConfig
    from medvlsam2.model import builders
    from medvlsam2.model.language import base_file

    source, truth = tiny_gguf
    package = tmp_path / "site" / "tiny_llm"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('its dependencies are not installed')", encoding="utf-8")
    file = package / source.name
    file.write_bytes(source.read_bytes())
    base = base_file.PretrainedBase(
        name="Tiny",
        distribution="tiny-llm==1.0",
        module="tiny_llm",
        file=source.name,
        size_bytes=source.stat().st_size,
        sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
        vocab_size=truth.config.vocab_size,
    )
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setitem(base_file.BASES, "tiny", base)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    language = LanguageConfig(
        architecture="llama",
        base="tiny",
        vocab_size=truth.config.vocab_size + 4,
        hidden_size=HIDDEN,
        intermediate_size=MLP,
        num_layers=LAYERS,
        num_heads=HEADS,
        num_kv_heads=KV_HEADS,
        max_position_embeddings=512,
        rope_theta=THETA,
        lora_rank=2,
        lora_alpha=4,
        lora_dropout=0.0,
    )
    config = replace(builders.TINY_RANDOM, model_id="medvlsam2-small", language=language)
    return TinyBase("tiny", file, tmp_path / "cache", truth, config)
