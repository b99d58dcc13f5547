"""Open sessions are bounded in number and size: of one client, and of all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from label_tasks.uploads import sessions
from label_tasks.uploads.sessions import PrivateSessions
from medvlsam2.errors import TooMany

Add = Callable[..., str]


@pytest.fixture
def kept(tmp_path: Path) -> PrivateSessions:
    return PrivateSessions(str(tmp_path / "sessions"), 3600)


@pytest.fixture
def add(kept: PrivateSessions, tmp_path: Path) -> Add:
    """Adds a session of a client with a scan of so many bytes."""

    def one(owner: str, size_bytes: int = 10, expiry_s: int = 0) -> str:
        received = tmp_path / "received"
        received.mkdir()
        (received / "000001.nii").write_bytes(bytes(size_bytes))
        try:
            return str(kept.add_scan(received, received / "000001.nii", [owner], expiry_s).name)
        finally:
            if received.exists():
                (received / "000001.nii").unlink()
                received.rmdir()

    return one


def test_the_sessions_of_each_client_are_bounded(
    kept: PrivateSessions, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MAX_OF_ONE", 3)
    made = [add("ann") for _ in range(3)]
    with pytest.raises(TooMany, match=r"You have 3 open sessions.*at most 3 .*DELETE"):
        kept.require_room(["ann"])
    with pytest.raises(TooMany, match="You have 3 open sessions"):
        add("ann")
    add("bob")
    kept.remove_session(made[0])
    add("ann")
    assert kept.get_session(made[1]) is not None


def test_the_sessions_of_all_clients_are_bounded(add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_OF_ALL", 3)
    for owner in ("ann", "bob", "eve"):
        add(owner)
    with pytest.raises(TooMany, match="There are 3 open sessions"):
        add("new")


@pytest.mark.parametrize(("limit", "owner"), [("MAX_BYTES_OF_ONE", "ann"), ("MAX_BYTES_OF_ALL", "bob")])
def test_the_bytes_of_all_session_scans_are_bounded(
    add: Add, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, owner: str
) -> None:
    monkeypatch.setattr(sessions, limit, 5 * 2**20)
    add("ann", 3 * 2**20)
    with pytest.raises(TooMany, match=r"scans of 6 MiB .* 5 MiB are allowed"):
        add(owner, 3 * 2**20)
    add(owner, 2**20)
    assert len(list((tmp_path / "sessions").iterdir())) == 2
