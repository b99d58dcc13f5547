"""Model folders are read as they were written; versions; one clear sentence for each kind of damage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import medvlsam2
from medvlsam2.errors import CheckpointMismatch, InvalidConfig, MissingCheckpoint
from medvlsam2.model import builders, checkpoint, version_folders
from medvlsam2.model.checkpoint import LoadedModel

SEG_BIAS = "seg_projector.2.bias"
SEG_WEIGHT = "seg_projector.2.weight"


def test_a_saved_model_gives_the_same_outputs(tiny_loaded: LoadedModel, tmp_path: Path) -> None:
    model = builders.build(tiny_loaded.config, checkpoint.special_tokens(tiny_loaded.tokenizer), seed=3).eval()
    checkpoint.save(tmp_path / "model", model, tiny_loaded.tokenizer, {"note": "kept"})
    loaded = checkpoint.load(tmp_path / "model")
    assert loaded.metadata == {"note": "kept"}
    assert loaded.version == "base"
    assert loaded.config == model.config
    assert loaded.tokenizer.get_vocab() == tiny_loaded.tokenizer.get_vocab()
    assert not loaded.model.training
    volume, slices = torch.rand(1, 1, *model.config.vit.image_size_dhw), torch.randn(2, 3, 64, 64)
    ids = torch.arange(12)[None] + 20
    with torch.no_grad():
        for one, other in (
            (model.encode_volume(volume), loaded.model.encode_volume(volume)),
            (model.sam2.encode_slices(slices).embedding, loaded.model.sam2.encode_slices(slices).embedding),
            (
                model.language(ids, torch.ones_like(ids), None).hidden_states_last,
                loaded.model.language(ids, torch.ones_like(ids), None).hidden_states_last,
            ),
        ):
            torch.testing.assert_close(one, other, atol=2e-2, rtol=2e-2)
            assert one.std() > 0.05, "a constant would say nothing"
    weights = load_file(str(tmp_path / "model" / version_folders.WEIGHTS))
    assert {tensor.dtype for tensor in weights.values()} <= {torch.float16, torch.int64}


@pytest.mark.parametrize("name", ["config.yaml", "metadata.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(model_dir: Path, name: str) -> None:
    (model_dir / name).unlink()
    with pytest.raises(MissingCheckpoint, match=f"no {name}"):
        checkpoint.load(model_dir)


@pytest.mark.parametrize(("needed", "fits"), [("0.0.1", True), (medvlsam2.__version__, True), ("9.10.0", False)])
def test_a_model_says_which_code_it_needs(model_dir: Path, needed: str, fits: bool) -> None:
    path = model_dir / version_folders.METADATA
    metadata = json.loads(path.read_text(encoding="utf-8")) | {"minimum_code_version": needed}
    path.write_text(json.dumps(metadata), encoding="utf-8")
    if fits:
        assert checkpoint.load(model_dir).metadata == metadata
        return
    with pytest.raises(
        CheckpointMismatch, match=rf"needs medvlsam2 9\.10\.0 or newer; this is .*{medvlsam2.__version__}"
    ):
        checkpoint.load(model_dir)


def test_wrong_keys_are_one_error_that_names_them_all(model_dir: Path) -> None:
    path = model_dir / version_folders.WEIGHTS
    weights = load_file(str(path))
    del weights[SEG_BIAS]
    weights["vit.unheard_of"] = torch.zeros(2)
    weights[SEG_WEIGHT] = torch.zeros(3, 4)
    save_file(weights, str(path))
    with pytest.raises(CheckpointMismatch) as raised:
        checkpoint.load(model_dir)
    message = str(raised.value)
    assert f"1 missing ({SEG_BIAS})" in message
    assert "1 unexpected (vit.unheard_of)" in message
    assert f"1 misshapen ({SEG_WEIGHT} (3, 4) instead of (32, 32))" in message


def test_many_wrong_keys_are_counted_and_the_first_ten_named(model_dir: Path) -> None:
    path = model_dir / version_folders.WEIGHTS
    kept = {key: value for key, value in load_file(str(path)).items() if not key.startswith("vit.")}
    save_file(kept, str(path))
    with pytest.raises(CheckpointMismatch) as raised:
        checkpoint.load(model_dir)
    message = str(raised.value)
    assert message.count("vit.") == 10
    assert "…" in message


@pytest.mark.parametrize("damage", ["cut", "noise", "empty"])
def test_a_damaged_file_is_said_to_be_damaged(model_dir: Path, damage: str) -> None:
    path = model_dir / version_folders.WEIGHTS
    content = path.read_bytes()
    path.write_bytes({"cut": content[: len(content) // 2], "noise": b"\xff" * 500, "empty": b""}[damage])
    with pytest.raises(CheckpointMismatch, match=r"model\.safetensors' cannot be read .* Copy the file again"):
        checkpoint.load(model_dir)


def test_an_unknown_key_of_the_configuration_names_the_nearest(model_dir: Path) -> None:
    path = model_dir / version_folders.CONFIG
    record = yaml.safe_load(path.read_text(encoding="utf-8"))
    record["sam2"]["hiden_dim"] = record["sam2"].pop("hidden_dim")
    path.write_text(yaml.safe_dump(record), encoding="utf-8")
    with pytest.raises(InvalidConfig, match=r"'sam2\.hiden_dim'.*Did you mean hidden_dim"):
        checkpoint.load(model_dir)


class TestVersions:
    def publish(self, folder: Path, version: str, value: float, *, use: bool = True) -> None:
        tensors = {SEG_BIAS: torch.full((32,), value)}
        checkpoint.publish(folder, version, tensors, {"parent_version": "base", "note": version}, use=use)

    def test_a_version_is_published_used_and_rolled_back(self, model_dir: Path) -> None:
        base = checkpoint.load(model_dir).model.seg_projector[2].bias.clone()
        assert version_folders.versions(model_dir) == ["base"]
        self.publish(model_dir, "v0001", 1.0)
        self.publish(model_dir, "v0002", 2.0)
        self.publish(model_dir, "v0003", 3.0, use=False)
        assert version_folders.versions(model_dir) == ["base", "v0001", "v0002", "v0003"]
        loaded = checkpoint.load(model_dir)
        assert (loaded.version, loaded.metadata["note"]) == ("v0002", "v0002")
        assert "structures" in loaded.metadata, "what the base says stays where the version says nothing"
        assert (loaded.model.seg_projector[2].bias == 2).all()
        version_folders.set_current(model_dir, "v0001")
        assert (checkpoint.load(model_dir).model.seg_projector[2].bias == 1).all()
        version_folders.set_current(model_dir, "base")
        assert torch.equal(checkpoint.load(model_dir).model.seg_projector[2].bias, base)

    def test_a_version_is_never_changed(self, model_dir: Path) -> None:
        self.publish(model_dir, "v0001", 1.0)
        folder = version_folders.version_folder(model_dir, "v0001")
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        with pytest.raises(CheckpointMismatch, match="'v0001' exists"):
            self.publish(model_dir, "v0001", 9.0)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    def test_a_version_appears_whole_or_not_at_all(self, model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full_disk(tensors: object, path: str) -> None:
            Path(path).write_bytes(b"half")
            raise OSError("No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, "save_file", full_disk)
            with pytest.raises(OSError, match="No space"):
                self.publish(model_dir, "v0001", 1.0)
        assert version_folders.versions(model_dir) == ["base"]
        assert version_folders.current_version(model_dir) == "base"
        self.publish(model_dir, "v0001", 1.0)
        assert checkpoint.load(model_dir).version == "v0001"

    def test_the_pointer_is_swapped_in_one_move(self, model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.publish(model_dir, "v0001", 1.0)
        self.publish(model_dir, "v0002", 2.0, use=False)
        seen = []
        replace = Path.replace

        def watched(source: Path, target: Path) -> Path:
            seen.append((source.read_text(encoding="utf-8"), version_folders.current_version(model_dir)))
            return replace(source, target)

        monkeypatch.setattr(Path, "replace", watched)
        version_folders.set_current(model_dir, "v0002")
        assert seen == [("v0002", "v0001")]
        assert version_folders.current_version(model_dir) == "v0002"
        assert sorted(p.name for p in model_dir.iterdir() if p.name.startswith(".")) == []

    def test_an_unknown_version_is_refused(self, model_dir: Path) -> None:
        self.publish(model_dir, "v0001", 1.0)
        with pytest.raises(MissingCheckpoint, match=r"no version 'v0009'.*\['base', 'v0001'\]"):
            version_folders.set_current(model_dir, "v0009")
        assert version_folders.current_version(model_dir) == "v0001"

    def test_tensors_that_the_base_lacks_are_refused(self, model_dir: Path) -> None:
        checkpoint.publish(model_dir, "v0001", {"sam2.other": torch.zeros(1)}, {}, use=True)
        with pytest.raises(CheckpointMismatch, match=r"v0001/adapter\.safetensors.*1 unexpected \(sam2\.other\)"):
            checkpoint.load(model_dir)

    def test_a_damaged_version_is_named(self, model_dir: Path) -> None:
        self.publish(model_dir, "v0001", 1.0)
        (version_folders.version_folder(model_dir, "v0001") / version_folders.ADAPTER).write_bytes(b"torn")
        with pytest.raises(CheckpointMismatch, match=r"v0001/adapter\.safetensors' cannot be read"):
            checkpoint.load(model_dir)

    def test_a_pointer_to_a_missing_version_raises_our_error(self, model_dir: Path) -> None:
        (model_dir / version_folders.CURRENT).write_text("v0042", encoding="utf-8")
        with pytest.raises((CheckpointMismatch, MissingCheckpoint), match="v0042"):
            checkpoint.load(model_dir)


@pytest.mark.parametrize("name", ["config.yaml", "metadata.json"])
@pytest.mark.parametrize("content", [b'{"structu', b"", b"[1, 2]", b"\xff\xfe\x00"])
def test_a_damaged_record_is_named(model_dir: Path, name: str, content: bytes) -> None:
    (model_dir / name).write_bytes(content)
    with pytest.raises(CheckpointMismatch, match=name):
        checkpoint.load(model_dir)
