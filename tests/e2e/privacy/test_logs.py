"""An image's id may be a patient's name: no log holds it, for any request and any error."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import requests

from label_tasks.logs.private_log import log_config
from label_tasks.logs.short_ids import AnonymousFormatter, anonymous, short_id

NAME = "DOE_JOHN_1950"
SHAPE = (24, 20, 16)
AFFINE = np.diag([-8.0, -8.0, 6.0, 1.0])


@pytest.fixture(scope="module")
def server(start: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path) -> Iterator[Any]:
    """Scans of one patient: a good one, a damaged one, one in four dimensions, and one without sides."""
    folder = tmp_path_factory.mktemp("private")
    studies = folder / "studies"
    studies.mkdir()
    hu = np.full(SHAPE, -1000, np.int16)
    hu[4:20, 4:16] = 40
    nib.save(nib.Nifti1Image(hu, AFFINE), studies / f"{NAME}.nii.gz")
    (studies / f"{NAME}_damaged.nii.gz").write_bytes((studies / f"{NAME}.nii.gz").read_bytes()[:700])
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 8, 2), np.int16), AFFINE), studies / f"{NAME}_4d.nii.gz")
    (studies / f"{NAME}_text.nii.gz").write_bytes(b"no image")
    with start(folder / "server", str(studies), tiny_model_dir) as live:
        yield live


def label_file(folder: Path, value: int = 1) -> Path:
    values = np.zeros(SHAPE, np.uint8)
    values[6:9, 6:9, 3:6] = value
    path = folder / f"{NAME}.nii.gz"
    nib.save(nib.Nifti1Image(values, AFFINE), path)
    return path


def submit(server: Any, image: str, path: Path, info: Any, tag: str = "") -> int:
    with path.open("rb") as file:
        return requests.put(
            f"{server.url}/datastore/label",
            params={"image": image, **({"tag": tag} if tag else {})},
            data={"params": json.dumps({"label_info": info})},
            files={"label": (path.name, file)},
            timeout=60,
        ).status_code


def test_no_flow_tells_an_id_in_the_log(server: Any, tmp_path: Path) -> None:
    url = server.url
    names = [{"name": "liver", "idx": 1}]
    for task in ("medvlsam2_report", "medvlsam2_prompts", "medvlsam2_semantic"):
        server.infer(task, NAME, {"label": "liver"})
    for image in (NAME, f"{NAME}_damaged", f"{NAME}_4d", f"{NAME}_text", f"{NAME}_unknown", f"../{NAME}"):
        server.infer("medvlsam2_referring", image, {"prompt": "liver"})
        for path in ("image", "image/info", "image/slice"):
            requests.get(f"{url}/datastore/{path}", params={"image": image}, timeout=60)
        submit(server, image, label_file(tmp_path), names)
        submit(server, image, label_file(tmp_path, 7), names)
        (tmp_path / f"{NAME}.nrrd").write_bytes(b"junk")
        submit(server, image, tmp_path / f"{NAME}.nrrd", names)
        for path in ("label", "label/info", "label/versions"):
            requests.get(f"{url}/datastore/{path}", params={"label": image, "tag": "final"}, timeout=60)
        form = {"info": json.dumps({"label_info": [{"name": "spleen", "idx": 1}]})}
        requests.put(f"{url}/datastore/label/info", params={"label": image, "tag": "final"}, data=form, timeout=60)
        requests.put(f"{url}/datastore/image/info", params={"image": image}, data={"info": "[]"}, timeout=60)
        address = {"label": image, "tag": "final", "version": "1"}
        requests.post(f"{url}/datastore/label/restore", params=address, timeout=60)
        requests.get(f"{url}/pages/picture", params={"image": image}, timeout=60)
    assert submit(server, NAME, label_file(tmp_path), names) == 200
    for strategy in ("medvlsam2_value", "uniform_random", NAME):
        requests.post(f"{url}/activelearning/{strategy}", json={}, timeout=120)
    with label_file(tmp_path).open("rb") as file:
        requests.put(
            f"{url}/datastore/image", params={"image": NAME}, files={"file": (f"{NAME}.nii.gz", file)}, timeout=60
        )
        file.seek(0)
        requests.put(f"{url}/session/", files={"files": (f"{NAME}.nii.gz", file)}, timeout=60)
    requests.get(f"{url}/datastore/dataset", timeout=60)
    requests.post(f"{url}/batch/infer/medvlsam2_semantic", json={}, timeout=60)
    end_s = time.monotonic() + 120
    while "RUNNING" in requests.get(f"{url}/batch/infer/?all=true", timeout=60).text and time.monotonic() < end_s:
        time.sleep(0.3)
    requests.delete(f"{url}/datastore/label", params={"id": NAME, "tag": "final"}, timeout=60)
    requests.delete(f"{url}/datastore/image", params={"id": NAME}, timeout=60)
    shown = requests.get(f"{url}/logs/?text=true&lines=20000", timeout=60).text
    kept = "".join(path.read_text(encoding="utf-8") for path in (server.folder / "logs").rglob("*.log"))
    told = [line for text in (server.log.read_text(encoding="utf-8"), shown, kept) for line in text.splitlines()]
    assert len(told) > 50
    assert [line for line in told if "DOE" in line.upper()] == []
    assert any("A label of image #" in line for line in told)


def test_the_formatter_leaves_nothing_of_a_patient(tmp_path: Path) -> None:
    """Log entries of other code: error texts, tracebacks, UIDs."""
    uid = "1.2.840.113619.2.55.3.604688119.971.1448892390"
    try:
        raise ValueError(f"Image '{NAME}' is of {uid}")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "", 0, f"{uid}.dcm: '{NAME}' has 2 slices", None, None)
        record.exc_info = (type(error), error, error.__traceback__)
    line = AnonymousFormatter("[%(process)s] - %(message)s").format(record)
    assert NAME not in line
    assert uid not in line
    assert line.count(short_id(NAME)) == 2
    assert f"{short_id(uid)}.dcm" in line
    for host in (
        f"INFO monailabel.interfaces.tasks.batch_infer: Running inference for image id {NAME}",
        f"0 => {NAME} 2 => cpu => 1 / 4",
        f"WARNING x: Failed to finish Infer Task: 0 => {NAME}",
    ):
        assert NAME not in AnonymousFormatter("x: %(message)s").format(
            logging.LogRecord("x", logging.INFO, "", 0, host, None, None)
        ), host
    plain = "127.0.0.1:8000 answered 'final' with medvlsam2 0.4.1.2 in 3.2 s, tag 'original' of 10.0 mm"
    assert anonymous(plain) == plain
    host = tmp_path / "logging.json"
    host.write_text(json.dumps({"formatters": {"a": {"format": "%(message)s"}}, "handlers": {}}), encoding="utf-8")
    config = json.loads(log_config(host, tmp_path / "app.log"))
    assert config["formatters"]["a"]["class"].endswith("AnonymousFormatter")
