"""The log names no image, and logs of servers that are gone go, too."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import time
from collections.abc import Iterator
from pathlib import Path

import monailabel
import pytest

from label_tasks.logs import private_log
from label_tasks.logs.private_log import KEPT_DAYS, ServerLog
from label_tasks.logs.short_ids import MAX_CHARACTERS, anonymous
from medvlsam2.errors import UnknownImage

PATIENT = "Müller^Anna 1950 - it's hers"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """A logger's file with the settings that a server starts with."""
    path = tmp_path / "app.log"
    config = json.loads(private_log.log_config(Path(monailabel.__file__).with_name("logging.json"), path))
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    logging.config.dictConfig({**config, "disable_existing_loggers": False})
    yield path
    for handler in set(root.handlers) - set(before):
        handler.close()
    root.handlers[:], root.level = before, level


def test_no_entry_names_an_image_whoever_writes_it(log: Path) -> None:
    name = "Anna Mueller"
    logger = logging.getLogger("some.host")
    logger.info("Running inference for image id %s", name)
    logger.info("%d => %s => cpu => 1 / 3", 12, name)
    logger.warning("Left out: %s", UnknownImage(f"Image '{name}' is not there. Did you mean {name}, {name}2? Look."))
    logger.warning("The label of image %r under tag 'final' cannot be used: value 7.", PATIENT)
    logger.error("PUT /datastore/label?image=%s&tag=final failed", name.replace(" ", "+"))
    try:
        raise OSError(5, "Input/output error", f"/srv/studies/{name}.nii.gz")
    except OSError:
        logger.exception("PUT /datastore/label failed")
    logger.info("label 7 of %s is not in the vocabulary", name)
    logging.getLogger("task_batch_infer").info("INFO x: Running inference for image id %s", name)
    text = log.read_text(encoding="utf-8")
    assert "Anna" not in text
    assert "Mueller" not in text
    assert "Müller" not in text
    for kept in ("=> cpu => 1 / 3", "tag 'final' cannot be used: value 7.", "PUT /datastore/label", "test_logs.py"):
        assert kept in text
    assert len([line for line in text.splitlines() if "INFO" in line]) == 4


def test_the_length_of_a_log_entry_is_bounded(log: Path) -> None:
    logging.getLogger("some").info("%s the end", "x" * 10**6)
    text = log.read_text(encoding="utf-8")
    assert len(text) < MAX_CHARACTERS + 200
    assert text.endswith(" the end\n")


@pytest.mark.parametrize(
    "line",
    [
        "Next sample by random",
        "The index 'datastore_v2.json' is damaged (JSONDecodeError: Expecting value)",
        "Is that so? yes=no",
    ],
)
def test_other_lines_stay(line: str) -> None:
    assert anonymous(line) == line


def test_logs_of_servers_that_are_gone_go_after_some_weeks(tmp_path: Path) -> None:
    logs = tmp_path / "logs"

    def aged(path: Path, days: float) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        for each in (*path.parent.iterdir(), path.parent):
            os.utime(each, (time.time() - days * 86_400,) * 2)
        return path

    running = ServerLog(logs, "studies", "127.0.0.1", 1)
    aged(running.path, KEPT_DAYS + 5)
    gone = aged(logs / ("0" * 16) / "app.log", KEPT_DAYS + 1)
    recent = aged(logs / ("1" * 16) / "app.log", KEPT_DAYS - 1)
    foreign = aged(logs / "of-somebody" / "app.log", 1000)
    mine = ServerLog(logs, "studies", "127.0.0.1", 2)
    assert not gone.parent.exists()
    assert all(path.exists() for path in (running.path, recent, foreign, mine.path.parent))
    running.close()
    aged(running.path, KEPT_DAYS + 5)
    ServerLog(logs, "studies", "127.0.0.1", 3).close()
    assert not running.path.parent.exists()
    assert mine.path.parent.exists()
