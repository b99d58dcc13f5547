"""Presets: their sizes, and that a model is what its configuration and seed say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import LlamaForCausalLM

from medvlsam2.config import ModelConfig, ProjectorConfig, Sam2Config, to_dict
from medvlsam2.errors import InvalidConfig
from medvlsam2.model import builders
from medvlsam2.model.checkpoint import LoadedModel
from medvlsam2.model.language.special_tokens import SpecialTokens
from medvlsam2.model.pixel_decoder.build import build_sam2
from medvlsam2.model.volume_encoder.linear_projector import LinearProjector
from medvlsam2.strict_reading import read_strictly

TOKENS = SpecialTokens(image_context=5, seg=6, eos=2, pad=0)


def test_nano_fits_into_twelve_million_parameters() -> None:
    model = builders.build(builders.preset("nano"), TOKENS)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert 5_000_000 < count <= 12_000_000


@pytest.mark.parametrize("name", ["tiny_random", "nano", "small", "base", "large"])
def test_presets_survive_yaml(name: str) -> None:
    config = builders.preset(name)
    assert read_strictly(ModelConfig, to_dict(config), "'config.yaml'") == config
    assert config.model_id == f"medvlsam2-{name.replace('_', '-')}"
    assert config.projector.num_tokens < config.language.max_position_embeddings


def test_full_sizes_are_the_papers() -> None:
    base, large = builders.preset("base"), builders.preset("large")
    for config in (base, large):
        vit = config.vit
        assert (vit.image_size_dhw, vit.patch_size_dhw, vit.num_patches) == ((32, 256, 256), (4, 16, 16), 2048)
        assert (vit.hidden_size, vit.num_layers, vit.num_heads) == (768, 12, 12)
        assert config.projector.num_tokens == 512
        assert config.sam2.hidden_dim == 256
        assert not config.sam2.neighbour_slices
    assert (base.sam2.image_size, large.sam2.image_size) == (512, 1024)
    assert base.language.architecture == "qwen2"
    assert large.language.architecture == "llama"


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(InvalidConfig, match=r"'nanno'.*Did you mean nano.*tiny_random, nano, small, base, large"):
        builders.preset("nanno")


def test_the_seed_determines_the_weights(tiny_model_dir: object) -> None:
    config = builders.preset("tiny_random")
    state = torch.random.get_rng_state()
    first, again, other = (builders.build(config, TOKENS, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state), "the caller's random state is left alone"
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["seg_projector.0.weight"], other["seg_projector.0.weight"])


def test_the_parts_fit_each_other(tiny_loaded: LoadedModel) -> None:
    model, config = tiny_loaded.model, tiny_loaded.config
    with torch.no_grad():
        tokens = model.encode_volume(torch.zeros(2, 1, *config.vit.image_size_dhw))
        ids = torch.tensor([[1, model.language.token_ids.seg, 3], [1, 1, model.language.token_ids.seg]])
        hidden = torch.randn(2, 3, config.language.hidden_size)
        prompts = model.text_tokens(hidden, ids)
        expected = model.seg_projector(torch.stack([hidden[0, 1], hidden[1, 2]]))
    assert tokens.shape == (2, config.projector.num_tokens, config.language.hidden_size)
    torch.testing.assert_close(prompts, expected)
    assert prompts.shape == (2, config.sam2.hidden_dim)


def test_the_choices_of_a_configuration_take_effect() -> None:
    tiny = builders.preset("tiny_random")
    linear = replace(
        tiny,
        projector=ProjectorConfig(kind="linear", num_tokens=8),
        language=replace(tiny.language, architecture="llama", tie_word_embeddings=False),
        sam2=replace(tiny.sam2, text_similarity=False, multimask_output=True),
    )
    model = builders.build(linear, TOKENS)
    assert isinstance(model.projector, LinearProjector)
    assert isinstance(model.language.decoder.base_model.model, LlamaForCausalLM)
    assert model.sam2.text_similarity is None
    assert builders.build(tiny, TOKENS).sam2.text_similarity is not None


def test_an_input_side_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="image_size 500 is not a multiple of 32"):
        build_sam2(Sam2Config(image_size=500))
