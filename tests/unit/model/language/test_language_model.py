"""The language model: image tokens, the state at [SEG], loss, shared prefixes, generation, choices, weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from medvlsam2.config import LanguageConfig
from medvlsam2.errors import CheckpointMismatch, InvalidRequest
from medvlsam2.model.language.model import LanguageModel
from medvlsam2.model.language.special_tokens import SpecialTokens

IMAGE, SEG, EOS, PAD = 290, 291, 292, 293
TOKENS = SpecialTokens(image_context=IMAGE, seg=SEG, eos=EOS, pad=PAD)


def build(**changes) -> LanguageModel:
    torch.manual_seed(5)
    sizes = {
        "vocab_size": 300,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_layers": 2,
        "num_heads": 4,
        "num_kv_heads": 2,
        "max_position_embeddings": 64,
        "lora_rank": 4,
        "lora_alpha": 8,
    }
    model = LanguageModel(LanguageConfig(**(sizes | changes)), TOKENS).eval()
    with torch.no_grad():
        # Larger weights than at initialisation, so that differences are visible, also of the adapter and of [SEG].
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return model


@pytest.fixture(params=["qwen2", "llama"])
def model(request) -> LanguageModel:
    return build(architecture=request.param, tie_word_embeddings=request.param == "qwen2")


@pytest.fixture
def prefix_ids() -> Tensor:
    return torch.tensor([1, 2, IMAGE, IMAGE, IMAGE, IMAGE, 3, 4])


@pytest.fixture
def image() -> Tensor:
    return torch.randn(1, 4, 64, generator=torch.Generator().manual_seed(6))


def run(model: LanguageModel, ids: Tensor, image: Tensor | None) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        output = model(ids, torch.ones_like(ids), image)
    return output.logits, output.hidden_states_last


# ------------------------------------------------------------------------------------------ image tokens


def test_image_tokens_take_the_placeholders_in_batch_order(model):
    ids = torch.tensor([[1, IMAGE, IMAGE, 2], [IMAGE, 3, 4, IMAGE]])
    images = torch.arange(4.0)[:, None].expand(4, 64).reshape(2, 2, 64)
    embeddings = model.embed_prompt(ids, images)
    assert embeddings[ids == IMAGE][:, 0].tolist() == [0, 1, 2, 3]
    text = ids != IMAGE
    torch.testing.assert_close(embeddings[text], model.embed_prompt(ids[text][None], None)[0])


@pytest.mark.parametrize("volumes", [0, 2])
def test_placeholders_and_image_tokens_must_agree(model, volumes, prefix_ids, image):
    given = image.expand(volumes, -1, -1) if volumes else None
    with pytest.raises(InvalidRequest, match=rf"has 4 image placeholders, but {4 * volumes} image tokens"):
        model.embed_prompt(prefix_ids[None], given)


def test_the_image_reaches_the_logits_and_gets_a_gradient(model, prefix_ids, image):
    image.requires_grad_()
    ids = prefix_ids[None]
    model(ids, torch.ones_like(ids), image).logits[0, -1].square().sum().backward()
    assert (image.grad.abs().sum(dim=-1) > 0).all()


# ------------------------------------------------------------------------------------- loss, states and padding


def test_loss_is_the_mean_over_labelled_next_tokens(model):
    ids = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 8, 9, PAD]])
    attention_mask = (ids != PAD).long()
    labels = torch.tensor([[-100, -100, 3, 4, 5], [-100, 7, 8, 9, -100]])
    output = model(ids, attention_mask, None, labels=labels)
    log_probabilities = model(ids, attention_mask, None).logits.log_softmax(dim=-1)
    chosen = [log_probabilities[row, column - 1, labels[row, column]] for row, column in (labels >= 0).nonzero()]
    torch.testing.assert_close(output.loss, -torch.stack(chosen).mean())
    assert output.logits is None


def test_loss_without_labels_in_any_row_is_zero_and_still_differentiable(model):
    ids = torch.tensor([[1, 2, 3]])
    loss = model(ids, torch.ones_like(ids), None, labels=torch.full_like(ids, -100)).loss
    loss.backward()
    assert loss.item() == 0


def test_seg_states_are_those_at_the_token_itself_row_by_row(model):
    ids = torch.tensor([[1, SEG, 3, SEG], [4, 5, 6, 7], [SEG, 8, 9, 1]])
    _, hidden = run(model, ids, None)
    expected = torch.stack([hidden[0, 1], hidden[0, 3], hidden[2, 0]])
    torch.testing.assert_close(model.seg_hidden(hidden, ids), expected, rtol=0, atol=0)
    assert model.seg_hidden(hidden[1:2], ids[1:2]).shape == (0, 64)


def test_padding_on_the_right_changes_nothing(model):
    ids = torch.tensor([[1, 2, 3, 4, 5, 6], [7, 8, 9, PAD, PAD, PAD]])
    with torch.no_grad():
        padded = model(ids, (ids != PAD).long(), None).logits
    alone, _ = run(model, ids[1:, :3], None)
    torch.testing.assert_close(padded[1:, :3], alone, rtol=1e-5, atol=1e-5)


def test_too_long_a_sequence_is_refused(model):
    ids = torch.ones(1, 65, dtype=torch.long)
    with pytest.raises(InvalidRequest, match="65 tokens given; the model reads at most 64"):
        model(ids, torch.ones_like(ids), None)


# --------------------------------------------------------------------------------------- shared prefix


def test_turns_after_a_shared_prefix_equal_full_passes(model, prefix_ids, image):
    turns = [torch.tensor([5, 6, SEG, 7, 8]), torch.tensor([9, SEG]), torch.tensor([10, 11, 12])]
    prefix = model.prefill(prefix_ids, image)
    padded = torch.nn.utils.rnn.pad_sequence(turns, batch_first=True, padding_value=PAD)
    output = model.extend(prefix, padded, (padded != PAD).long())
    for row, turn in enumerate(turns):
        logits, hidden = run(model, torch.cat([prefix_ids, turn])[None], image)
        torch.testing.assert_close(output.logits[row, : len(turn)], logits[0, 8:], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(output.hidden_states_last[row, : len(turn)], hidden[0, 8:], rtol=1e-5, atol=1e-5)


def test_turns_after_several_prefixes_equal_turns_after_each(model, prefix_ids, image):
    """Prefixes of different lengths are padded, which moves no token."""
    short, images = prefix_ids[1:], torch.cat([image, image + 1])
    ids = torch.nn.utils.rnn.pad_sequence([prefix_ids, short], batch_first=True, padding_value=PAD)
    mask = torch.tensor([[1] * 8, [1] * 7 + [0]])
    prefixes = model.prefill_each(ids, mask, images)
    turns = [torch.tensor([9, SEG]), torch.tensor([5, 6, SEG, 7]), torch.tensor([10, 11, 12])]
    padded = torch.nn.utils.rnn.pad_sequence(turns, batch_first=True, padding_value=PAD)
    rows = torch.tensor([1, 0, 1])
    together = model.extend(prefixes, padded, (padded != PAD).long(), rows=rows).hidden_states_last
    for row, turn in enumerate(turns):
        alone = model.prefill((prefix_ids, short)[rows[row]], images[rows[row]][None])
        expected = model.extend(alone, turn[None], torch.ones_like(turn)[None]).hidden_states_last
        torch.testing.assert_close(together[row, : len(turn)], expected[0], rtol=1e-5, atol=1e-5)


def test_padding_between_a_prefix_and_its_turn_is_no_length(model):
    """60 tokens and 3, 3 and 60: padded to 120, and each fits into 64."""
    ids = torch.ones(2, 60, dtype=torch.long)
    mask = torch.ones(2, 60, dtype=torch.long)
    mask[1, 3:] = 0
    prefixes = model.prefill_each(ids, mask, None)
    turns, turn_mask = ids.clone(), mask.flip(0)
    hidden = model.extend(prefixes, turns, turn_mask, rows=torch.tensor([0, 1])).hidden_states_last
    alone = model.extend(model.prefill(ids[0, :3], None), turns[1:], turn_mask[1:]).hidden_states_last
    torch.testing.assert_close(hidden[1], alone[0], rtol=1e-5, atol=1e-5)
    with pytest.raises(InvalidRequest, match="120 tokens given"):
        model.extend(prefixes, turns[:1], torch.ones_like(turns[:1]), rows=torch.tensor([0]))


def test_a_prefix_is_never_written(model, prefix_ids, image):
    prefix = model.prefill(prefix_ids, image)
    assert (prefix.length, prefix.size_bytes) == (8, 2 * 2 * (2 * 8 * 16) * 4)
    before = [tensor.clone() for tensor in (*prefix.keys, *prefix.values)]
    turn = torch.tensor([[5, 6, 7]])
    first = model.extend(prefix, turn, torch.ones_like(turn)).logits
    model.generate(prefix, turn[0], max_new_tokens=4)
    model.score_choices(prefix, turn[0], [[1], [2, 3]])
    torch.testing.assert_close(model.extend(prefix, turn, torch.ones_like(turn)).logits, first, rtol=0, atol=0)
    assert prefix.length == 8
    for tensor, copy in zip((*prefix.keys, *prefix.values), before, strict=True):
        torch.testing.assert_close(tensor, copy, rtol=0, atol=0)


def test_a_turn_with_image_placeholders_is_refused(model, prefix_ids, image):
    prefix = model.prefill(prefix_ids, image)
    turn = torch.tensor([[5, IMAGE]])
    with pytest.raises(InvalidRequest, match="has 1 image placeholders, but 0"):
        model.extend(prefix, turn, torch.ones_like(turn))


# ---------------------------------------------------------------------------------- generation, choices


def greedy(model: LanguageModel, ids: Tensor, image: Tensor, count: int) -> list[int]:
    """The slow way: read everything again for every token."""
    start = len(ids)
    for _ in range(count):
        ids = torch.cat([ids, run(model, ids[None], image)[0][0, -1].argmax()[None]])
    return ids[start:].tolist()


def test_generation_is_greedy(model, prefix_ids, image):
    turn = torch.tensor([5, 6])
    prefix = model.prefill(prefix_ids, image)
    expected = greedy(model, torch.cat([prefix_ids, turn]), image, 8)
    assert len(set(expected)) > 1
    assert model.generate(prefix, turn, max_new_tokens=8) == expected


def test_generation_stops_before_the_end_token(model, prefix_ids, image):
    turn = torch.tensor([5, 6])
    prefix = model.prefill(prefix_ids, image)
    free = model.generate(prefix, turn, max_new_tokens=8)
    end = free[5]
    model.token_ids = SpecialTokens(image_context=IMAGE, seg=SEG, eos=end, pad=PAD)
    assert model.generate(prefix, turn, max_new_tokens=8) == free[: free.index(end)]


def test_generation_stops_at_the_longest_sequence(model, prefix_ids, image):
    prefix = model.prefill(prefix_ids, image)
    model.token_ids = SpecialTokens(image_context=IMAGE, seg=SEG, eos=-1, pad=PAD)
    # 8 + 2 tokens given; the last of 64 positions still predicts one more.
    assert len(model.generate(prefix, torch.tensor([5, 6]), max_new_tokens=500)) == 64 - 10 + 1


def test_choices_are_scored_as_whole_continuations(model, prefix_ids, image):
    turn = torch.tensor([5, 6])
    choices = [[20, 21, 22], [30], [20, 40]]
    scores = model.score_choices(model.prefill(prefix_ids, image), turn, choices)
    for score, choice in zip(scores, choices, strict=True):
        ids = torch.cat([prefix_ids, turn, torch.tensor(choice)])
        log_probabilities = run(model, ids[None], image)[0][0].log_softmax(dim=-1)
        expected = sum(log_probabilities[9 + n, token].item() for n, token in enumerate(choice))
        assert score.item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("choices", [[], [[1], []]])
def test_an_empty_choice_is_refused(model, prefix_ids, image, choices):
    prefix = model.prefill(prefix_ids, image)
    with pytest.raises(InvalidRequest, match="Each needs at least one token"):
        model.score_choices(prefix, torch.tensor([5]), choices)


# ------------------------------------------------------------------------------- what trains, weights


@pytest.mark.parametrize(
    ("base", "lora", "new_tokens"), [(True, False, False), (False, True, True), (False, False, False)]
)
def test_set_trainable_chooses_by_part(model, base, lora, new_tokens):
    model.set_trainable(base=base, lora=lora, new_tokens=new_tokens)
    for name, parameter in model.named_parameters():
        expected = lora if ".lora_" in name else new_tokens if name.startswith("new_tokens.") else base
        assert parameter.requires_grad is expected, name


def plain_weights(model: LanguageModel, *, lm_head: bool) -> dict[str, Tensor]:
    plain = {
        name.removeprefix("base_model.model.").replace(".base_layer.", "."): value.clone()
        for name, value in model.decoder.state_dict().items()
        if ".lora_" not in name
    }
    if not lm_head:
        del plain["lm_head.weight"]
    return plain


def as_internvl(name: str) -> str:
    return f"language_model.{name}"


def as_native_internvl(name: str) -> str:
    return name.replace("model.", "model.language_model.", 1) if name.startswith("model.") else name


@pytest.mark.parametrize("rename", [str, as_internvl, as_native_internvl])
@pytest.mark.parametrize("tied", [True, False])
def test_base_weights_load_from_every_layout(rename, tied):
    source = build(tie_word_embeddings=tied)
    weights = {rename(name): value for name, value in plain_weights(source, lm_head=not tied).items()}
    weights |= {
        "vision_model.encoder.layers.0.attn.qkv.weight": torch.zeros(1),
        "mlp1.0.weight": torch.zeros(1),
    }
    target = build(tie_word_embeddings=tied)
    with torch.no_grad():
        for name, parameter in target.decoder.named_parameters():
            if ".lora_" not in name:
                parameter.zero_()
    target.load_base_weights(weights)
    for name, value in source.state_dict().items():
        torch.testing.assert_close(target.state_dict()[name], value, rtol=0, atol=0, msg=name)


def test_rows_that_the_parent_lacks_become_its_mean():
    source = build()
    weights = plain_weights(source, lm_head=False)
    weights["model.embed_tokens.weight"] = weights["model.embed_tokens.weight"][:291]
    source.load_base_weights(weights)
    loaded = source.decoder.state_dict()["base_model.model.model.embed_tokens.weight"]
    torch.testing.assert_close(loaded[:291], weights["model.embed_tokens.weight"])
    torch.testing.assert_close(loaded[291:], loaded[:291].mean(dim=0).expand(9, -1))


def test_weights_that_do_not_fit_are_listed():
    model = build()
    weights = plain_weights(model, lm_head=False)
    del weights["model.norm.weight"]
    weights["model.extra"] = torch.zeros(1)
    weights["model.layers.0.mlp.up_proj.weight"] = torch.zeros(3, 64)
    with pytest.raises(CheckpointMismatch) as caught:
        model.load_base_weights(weights)
    sentence = str(caught.value)
    assert "1 missing: model.norm.weight" in sentence
    assert "1 unexpected: model.extra" in sentence
    assert "1 misshapen: model.layers.0.mlp.up_proj.weight (3, 64) instead of (128, 64)" in sentence


def test_an_output_layer_of_its_own_needs_an_untied_configuration():
    model = build(tie_word_embeddings=True)
    weights = plain_weights(model, lm_head=True)
    weights["lm_head.weight"] += 1.0
    with pytest.raises(CheckpointMismatch, match="Set tie_word_embeddings to false"):
        model.load_base_weights(weights)
