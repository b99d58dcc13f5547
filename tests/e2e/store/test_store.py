"""Labels over HTTP: a server that is killed, two processes on one folder, a disk that is full."""

from __future__ import annotations

import json
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import requests

from label_tasks.store.scan_folder import ScanFolder

SHAPE = (24, 20, 16)
AFFINE = np.diag([-4.0, -4.0, 5.0, 1.0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small scans."""
    studies = tmp_path_factory.mktemp("kept") / "studies"
    studies.mkdir()
    hu = np.random.default_rng(0).integers(-900, 300, SHAPE).astype(np.int16)
    for name in ("one", "two", "three"):
        nib.save(nib.Nifti1Image(hu, AFFINE), studies / f"{name}.nii.gz")
    return studies


def label(folder: Path, number: int) -> bytes:
    """Write a label map with as many painted planes as the number of the submission."""
    values = np.zeros(SHAPE, np.uint8)
    values[: number % SHAPE[0] + 1, : number // SHAPE[0] + 1] = 1
    path = folder.parent / f"label{number}.nii"
    nib.save(nib.Nifti1Image(values, AFFINE), path)
    return path.read_bytes()


def submit(url: str, image: str, content: bytes, name: str) -> requests.Response:
    form = {"params": json.dumps({"label_info": [{"name": name, "idx": 1}]})}
    files = {"label": ("label.nii", content)}
    return requests.put(f"{url}/datastore/label", params={"image": image}, data=form, files=files, timeout=60)


def stored(url: str, image: str) -> tuple[bytes, str]:
    address = {"label": image, "tag": "final"}
    content = requests.get(f"{url}/datastore/label", params=address, timeout=60).content
    info = requests.get(f"{url}/datastore/label/info", params=address, timeout=60).json()
    return content, info["label_info"][0]["name"]


@pytest.fixture(scope="module")
def killed(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, start: Callable[..., Any], tiny_model_dir: Path
) -> list[tuple[bytes, str]]:
    """The labels that a server had acknowledged when it was killed during a submission; its index is then damaged."""
    acknowledged: list[tuple[bytes, str]] = []
    contents = {number: label(folder, number) for number in range(1, 60)}
    with start(tmp_path_factory.mktemp("first"), str(folder), tiny_model_dir) as live:
        assert submit(live.url, "two", label(folder, 99), "spleen").ok

        def work() -> None:
            for number, content in contents.items():
                try:
                    assert submit(live.url, "one", content, f"n{number}").ok
                except requests.RequestException:
                    return
                acknowledged.append((content, f"n{number}"))

        busy = threading.Thread(target=work)
        busy.start()
        while len(acknowledged) < 3 and busy.is_alive():
            busy.join(0.02)
        os.kill(live.process_id, signal.SIGKILL)
        busy.join()
    (folder / "datastore_v2.json").write_bytes(b'{"objects": {"o')
    return acknowledged


@pytest.fixture(scope="module")
def restarted(
    killed: Any, folder: Path, tmp_path_factory: pytest.TempPathFactory, start: Callable[..., Any], tiny_model_dir: Path
) -> Iterator[Any]:
    """A server on the folder that the killed one left behind, with a damaged index."""
    with start(tmp_path_factory.mktemp("second"), str(folder), tiny_model_dir) as live:
        yield live


def test_a_killed_server_lost_nothing_that_it_acknowledged(
    killed: list[tuple[bytes, str]], restarted: Any, folder: Path
) -> None:
    url = restarted.url
    content, name = stored(url, "one")
    assert int(name[1:]) - len(killed) in {0, 1}
    assert content == label(folder, int(name[1:]))
    assert stored(url, "two")[1] == "spleen"
    listed = requests.get(f"{url}/datastore/label/versions?label=one&tag=final", timeout=60).json()["versions"]
    assert [item["info"]["label_info"][0]["name"] for item in listed][: len(killed)] == [name for _, name in killed]
    for number, (before, _) in enumerate(killed, start=1):
        address = {"label": "one", "tag": "final", "version": number}
        assert requests.get(f"{url}/datastore/label/version", params=address, timeout=60).content == before
    assert "rebuilt from the files, 3 images and 2 labels, of which 2 have their names" in restarted.log.read_text(
        encoding="utf-8"
    )


def test_two_servers_keep_what_the_other_stored(restarted: Any, folder: Path, tmp_path: Path) -> None:
    """The other one is this process."""
    other = ScanFolder(folder)
    replies: list[requests.Response] = []

    def over_http() -> None:
        replies.extend(submit(restarted.url, "two", label(folder, number), f"a {number}") for number in range(6))

    busy = threading.Thread(target=over_http)
    busy.start()
    for number in range(6):
        (tmp_path / "label.nii").write_bytes(label(folder, number))
        other.save_label(
            "three", str(tmp_path / "label.nii"), "final", {"label_info": [{"name": f"b {number}", "idx": 1}]}
        )
    busy.join()
    assert [reply.status_code for reply in replies] == [200] * 6
    assert requests.get(f"{restarted.url}/datastore/", timeout=60).json()["completed"] == 3
    assert [stored(restarted.url, image)[1] for image in ("two", "three")] == ["a 5", "b 5"]
    assert len(other.get_labeled_images()) == 3
    assert other.get_label_info("two", "final")["label_info"][0]["name"] == "a 5"
    objects = json.loads((folder / "datastore_v2.json").read_text(encoding="utf-8"))["objects"]
    names = {image: item["labels"]["final"]["info"]["label_info"][0]["name"] for image, item in objects.items()}
    assert (names["two"], names["three"]) == ("a 5", "b 5")


def test_a_full_disk_is_told_and_changes_nothing(restarted: Any, folder: Path) -> None:
    """The limit of file size of the running server stands for a full disk: writes end in the middle."""
    before = stored(restarted.url, "two")
    index = (folder / "datastore_v2.json").read_bytes()
    limits = resource.prlimit(restarted.process_id, resource.RLIMIT_FSIZE)
    resource.prlimit(restarted.process_id, resource.RLIMIT_FSIZE, (4000, limits[1]))
    try:
        reply = submit(restarted.url, "two", label(folder, 7), "liver")
        change = requests.put(
            f"{restarted.url}/datastore/image/info?image=two",
            data={"info": json.dumps({"note": "x" * 9000})},
            timeout=60,
        )
    finally:
        resource.prlimit(restarted.process_id, resource.RLIMIT_FSIZE, limits)
    for refused in (reply, change):
        assert (refused.status_code, "Nothing was changed" in refused.text) == (507, True), refused.text
    assert stored(restarted.url, "two") == before
    assert (folder / "datastore_v2.json").read_bytes() == index
    assert submit(restarted.url, "two", label(folder, 7), "liver").ok
    assert stored(restarted.url, "two")[1] == "liver"
