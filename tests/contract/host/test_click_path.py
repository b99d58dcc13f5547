"""A request goes down once: its image is checked once, its scan is read once, each flag means one thing."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from label_tasks.infer import base
from medvlsam2.data.label_maps import write_label_map

from .conftest import SHAPE

INFO = [{"name": "foreground_scribbles", "id": 1}]
READ_S = 0.2


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the scans that were read from files, each of which takes a while."""
    ids: list[str] = []
    read = base.read_volume

    def slowly(path: str, image_id: str) -> Any:
        ids.append(image_id)
        time.sleep(READ_S)
        return read(path, image_id)

    monkeypatch.setattr(base, "read_volume", slowly)
    return ids


def send(server: TestClient, task: str, image: str = "alpha", label: Any = None, **params: Any) -> Any:
    files = {} if label is None else {"label": label}
    form = {"params": json.dumps(params)}
    return server.post(f"/infer/medvlsam2_{task}?image={image}&output=json", data=form, files=files)


def test_the_id_of_an_image_is_looked_up_once(server: TestClient, app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[None] = []
    store = app.datastore()
    listed = store.list_images

    def count() -> Any:
        asked.append(None)
        return listed()

    monkeypatch.setattr(store, "list_images", count)
    reply = send(server, "interactive", foreground=[[1, 1, 1]])
    assert (reply.status_code, len(asked)) == (200, 1), reply.text


@pytest.mark.parametrize("suffix", [".nrrd", ".bin"])
def test_strokes_wait_for_their_scan_once_and_the_stopwatch_runs(
    server: TestClient, reads: list[str], tmp_path: Path, affine: np.ndarray, suffix: str
) -> None:
    drawn = np.zeros(SHAPE, dtype=np.uint8)
    drawn[2, 3, 4] = 1
    path = tmp_path / f"strokes{suffix}"
    if suffix == ".bin":
        path.write_bytes(drawn.tobytes(order="F"))
    else:
        write_label_map(path, drawn, affine, {})
    reply = send(server, "scribbles", label=(path.name, path.read_bytes()), label_info=INFO)
    assert reply.status_code == 200, reply.text
    assert reads == ["alpha"]
    told = reply.json()["latencies"]
    assert READ_S <= told["read"] <= told["total"]


def test_bare_strokes_lie_where_they_were_drawn(server: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from label_tasks.infer import mask_task

    seen: list[Any] = []
    fake = mask_task.segment

    def note(engine: Any, volume: Any, prompts: Any, **owner: Any) -> Any:
        seen.extend(prompts)
        return fake(engine, volume, prompts, **owner)

    monkeypatch.setattr(mask_task, "segment", note)
    drawn = np.zeros(SHAPE, dtype=np.uint8)
    drawn[2, 3, 4], drawn[4, 0, 8] = 1, 2
    info = [*INFO, {"name": "background_scribbles", "id": 2}]
    reply = send(server, "scribbles", label=("strokes.bin", drawn.tobytes(order="F")), label_info=info)
    assert reply.status_code == 200, reply.text
    np.testing.assert_array_equal(seen[0].scribbles, drawn)


@pytest.mark.parametrize(("said", "is_stored"), [(True, True), ("true", True), (1, True), ("false", False), (0, False)])
def test_save_label_means_one_thing(server: TestClient, app: Any, said: object, is_stored: bool) -> None:
    """ "false" numbered the values as for a program, and yet the result was stored."""
    reply = send(server, "prompts", label_prompt=[3], save_label=said)
    assert reply.status_code == 200, reply.text
    assert reply.json()["label_names"] == {"left kidney": 1 if is_stored else 3}
    assert (app.datastore().get_labels_by_image_id("alpha") != {}) == is_stored


def test_save_label_of_another_kind_is_refused(server: TestClient, app: Any) -> None:
    reply = send(server, "report", save_label="perhaps")
    assert (reply.status_code, "'save_label' is 'perhaps'" in reply.json()["detail"]) == (400, True)
    assert app.datastore().get_labels_by_image_id("alpha") == {}


def test_a_client_cannot_say_that_its_image_is_checked(server: TestClient, app: Any) -> None:
    told = {"name": "alpha", "file": "/etc/passwd"}
    assert send(server, "report", checked_image=told).status_code == 200
    with pytest.raises(Exception, match="names no image"):
        app.infer({"model": "medvlsam2_report", "checked_image": told})
