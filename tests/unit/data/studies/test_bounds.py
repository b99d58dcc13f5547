"""The number of stored model results is bounded; the work of annotators is never removed."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest

from medvlsam2 import errors
from medvlsam2.data.studies.bounds import MAX_RESULTS, OF_MODEL
from medvlsam2.data.studies.local_scans import require_listed


def kept_files(root: Path, tag: str, image_id: str = "p1") -> list[str]:
    return sorted(path.name for path in (root / "labels" / tag / ".versions" / image_id).glob("*.label*"))


def test_results_of_the_model_are_bounded_and_submissions_are_not(opened: Any, label: Any, root: Path) -> None:
    folder = opened()
    many = MAX_RESULTS + 7
    folder.put_label("p1", "original", label("by hand"), ".nii.gz", {})
    for number in range(many):
        folder.put_label("p1", "original", label(f"result {number}"), ".nii.gz", {OF_MODEL: True})
        folder.put_label("p1", "final", label(f"submission {number}"), ".nii.gz", {})
    place = folder.shelf.place("p1", "original")
    found = {
        version.number: place.version_file(version.number)[0].read_text(encoding="utf-8")
        for version in place.versions()
    }
    assert found[1] == "by hand"
    assert list(found.values())[1:] == [f"result {number}" for number in range(7, many)]
    assert len(kept_files(root, "original")) == MAX_RESULTS
    final = folder.shelf.place("p1", "final")
    assert [final.version_file(v.number)[0].read_text(encoding="utf-8") for v in final.versions()] == [
        f"submission {number}" for number in range(many)
    ]


def test_a_result_that_a_person_named_or_restored_counts_as_a_submission(opened: Any, label: Any) -> None:
    folder = opened()
    folder.put_label("p1", "original", label("named"), ".nii.gz", {OF_MODEL: True})
    folder.update_label_info("p1", "original", {"comment": "by ann"})
    folder.put_label("p1", "original", label("chosen"), ".nii.gz", {OF_MODEL: True})
    folder.put_label("p1", "original", label("other"), ".nii.gz", {OF_MODEL: True})
    folder.restore_label("p1", "original", 3)
    for number in range(MAX_RESULTS + 5):
        folder.put_label("p1", "original", label(f"result {number}"), ".nii.gz", {OF_MODEL: True})
    place = folder.shelf.place("p1", "original")
    texts = [place.version_file(version.number)[0].read_text(encoding="utf-8") for version in place.versions()]
    assert "named" in texts
    assert "chosen" in texts
    assert "other" not in texts
    assert len([text for text in texts if text.startswith("result")]) == MAX_RESULTS


def test_a_label_of_one_image_never_takes_the_file_of_another(opened: Any, label: Any, root: Path) -> None:
    """The file "p1.seg.nrrd" is the label of "p1"; an image "p1.seg" with a label ".nrrd" must not become it."""
    (root / "p1.seg.nii.gz").write_bytes(b"a scan of its own")
    folder = opened()
    folder.put_label("p1", "final", label("of p1", ".seg.nrrd"), ".seg.nrrd", {"comment": "p1"})
    folder.put_label("p1.seg", "final", label("of p1.seg", ".nrrd"), ".nrrd", {"comment": "p1.seg"})
    for each in (folder, opened()):
        assert each.label("p1", "final").path.read_text(encoding="utf-8") == "of p1"
        assert each.label("p1.seg", "final").path.read_text(encoding="utf-8") == "of p1.seg"
        assert each.label_info("p1", "final")["comment"] == "p1"
        assert each.label_info("p1.seg", "final")["comment"] == "p1.seg"


@pytest.mark.parametrize("other", ["P1", unicodedata.normalize("NFD", "Müller"), "MÜLLER", "STRASSE"])
def test_an_id_that_is_equal_to_another_on_some_disks_is_refused(
    opened: Any, root: Path, tmp_path: Path, other: str
) -> None:
    for name in ("Müller", "straße"):
        (root / f"{name}.nii.gz").write_bytes(b"a scan")
    folder = opened()
    arrived = tmp_path / "scan.nii.gz"
    arrived.write_bytes(b"another")
    with pytest.raises(errors.AlreadyThere, match="nearly the id"):
        folder.add_image(other, arrived, ".nii.gz", {})
    assert arrived.read_bytes() == b"another"
    assert len(folder.index().objects) == 5
    folder.add_image("p11", arrived, ".nii.gz", {})


@pytest.mark.parametrize(
    ("image_id", "ext"),
    [("datastore_v2", ".nii.gz"), ("Datastore_v2.x", ".nrrd"), ("medvlsam2_x", ".nii"), ("p.seg", ".nrrd")],
)
def test_an_id_under_which_nothing_would_be_listed_is_refused(image_id: str, ext: str) -> None:
    with pytest.raises(errors.InvalidRequest, match="would not be listed"):
        require_listed(image_id, ext)
    require_listed("scan.1", ext)
