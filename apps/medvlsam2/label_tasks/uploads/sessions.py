"""Sessions: scans of a client's own, in a private folder, under ids that nobody guesses, for their owner alone.

How many there may be, and how large all of them, is bounded, of one client and of all together: nobody has to log in,
and what is uploaded must not fill the disk.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import shutil
import threading
import time
from pathlib import Path
from typing import Any, Final

from monailabel.utils.sessions import SessionInfo, Sessions

from medvlsam2 import atomic_files
from medvlsam2.errors import TooMany

logger = logging.getLogger(__name__)

OWNERS: Final = "owners"
"""Where a session's own record says who may use it."""

MAX_OF_ONE: Final = 64
MAX_OF_ALL: Final = 512
"""Open sessions of one client, and of all. A session ends an hour after its last use, and a viewer has one per scan."""
MAX_BYTES_OF_ONE: Final = 16 * 2**30
MAX_BYTES_OF_ALL: Final = 64 * 2**30
"""Their scans together; a large CT has half a GiB, and the largest that is taken 4 GiB."""

_BYTES: Final = "bytes"
"""Where a session's own record says how large its scan is."""
_ID: Final = re.compile(r"[0-9a-f]{32}")
_OURS: Final = re.compile(r"[0-9a-f-]{32,36}")
"""Folders of sessions; those with dashes are of the host's."""


class PrivateSessions(Sessions):  # type: ignore[misc]
    """The host's sessions, with random ids and folders that only the server's user can open."""

    def __init__(self, store_path: str, expiry: int) -> None:
        super().__init__(store_path, expiry)
        _make_private(Path(self.store_path))
        self._adding = threading.Lock()

    def require_room(self, owners: list[str], more_bytes: int = 0) -> None:
        """Refuse one more session where its client, or all together, have as much as they may.

        Args:
            owners: who will use it.
            more_bytes: size of its scan, once that is known.

        Raises:
            TooMany: with what there is and what is allowed.
        """
        self.remove_expired()
        others = [info for info in map(self._read, self._folders()) if info is not None]
        own = [info for info in others if set(owners) & set(info.meta.get(OWNERS, ()))]
        limits = (("You have", own, MAX_OF_ONE, MAX_BYTES_OF_ONE), ("There are", others, MAX_OF_ALL, MAX_BYTES_OF_ALL))
        for who, found, most, most_bytes in limits:
            size_bytes = sum(info.meta.get(_BYTES, 0) for info in found) + more_bytes
            if len(found) >= most or size_bytes > most_bytes:
                raise TooMany(
                    f"{who} {len(found)} open sessions, and with this one scans of {size_bytes >> 20} MiB in them; at "
                    f"most {most} and {most_bytes >> 20} MiB are allowed. End one with DELETE /session/ID, or wait "
                    "until one expires."
                )

    def add_scan(self, received: Path, scan: Path, owners: list[str], expiry_s: int) -> SessionInfo:
        """Keep an uploaded scan.

        Args:
            received: folder of what was uploaded; it is moved.
            scan: the scan in it, or the folder itself.
            owners: who may use it.
            expiry_s: seconds without use after which it is removed.

        Raises:
            TooMany: see :meth:`require_room`.
        """
        size_bytes = sum(path.stat().st_size for path in received.rglob("*") if path.is_file())
        with self._adding:
            self.require_room(owners, size_bytes)
            return self._added(received, scan, {OWNERS: owners, _BYTES: size_bytes}, expiry_s)

    def _added(self, received: Path, scan: Path, meta: dict[str, Any], expiry_s: int) -> SessionInfo:
        session_id = secrets.token_hex(16)
        folder = Path(self.store_path) / session_id
        _make_private(folder)
        moved = folder / "scan"
        shutil.move(received, moved)
        now_s = int(time.time())
        info = SessionInfo(
            {
                "name": session_id,
                "path": str(folder),
                "image": str(moved if scan == received else moved / scan.name),
                "meta": meta,
                "create_ts": now_s,
                "last_access_ts": now_s,
                "expiry": min(expiry_s, self.expiry) if expiry_s > 0 else self.expiry,
            }
        )
        self._write_meta_info(session_id, info)
        self[session_id] = info
        return info

    def add_session(
        self, data_file: str, expiry: int = 0, uncompress: bool = False, session_id: str | None = None
    ) -> tuple[str, SessionInfo]:
        """As the host's own server adds one: with an id of ours."""
        session_id = session_id or secrets.token_hex(16)
        _make_private(Path(self.store_path) / session_id)
        added: tuple[str, SessionInfo] = super().add_session(data_file, expiry, uncompress, session_id)
        return added

    def get_session(self, session_id: str, update_ts: bool = True, fetch_cache: bool = True) -> SessionInfo | None:
        """A session that is there; None for any other name, also for one that no session can have."""
        if not _ID.fullmatch(session_id):
            return None
        info = self.get(session_id) if fetch_cache else None
        info = info or self._read(Path(self.store_path) / session_id)
        if info is not None and _has_expired(info):
            self.remove_session(session_id)
            return None
        if info is None or not Path(info.image).exists():
            self.pop(session_id, None)
            return None
        self[session_id] = info
        if update_ts:
            info.last_access_ts = int(time.time())
            self._write_meta_info(session_id, info)
        return info

    def owned(self, session_id: str, owners: set[str]) -> SessionInfo | None:
        """A session that one of these may use."""
        info = self.get_session(session_id, update_ts=False)
        if info is None or not owners & set(info.meta.get(OWNERS, ())):
            return None
        return self.get_session(session_id)

    def remove_session(self, session_id: str) -> None:
        """Remove a session and its scan."""
        if _ID.fullmatch(session_id):
            super().remove_session(session_id)

    def remove_expired(self) -> int:
        """Remove sessions that nobody has used for too long, and folders that are none."""
        count, now_s = 0, time.time()
        for folder in self._folders():
            info = self._read(folder)
            if info is None and now_s - folder.stat().st_mtime < self.expiry:
                continue
            if info is None or _has_expired(info):
                self.pop(folder.name, None)
                shutil.rmtree(folder, ignore_errors=True)
                count += 1
        return count

    def _folders(self) -> list[Path]:
        store = Path(self.store_path)
        found = store.iterdir() if store.is_dir() else ()
        return [folder for folder in found if _OURS.fullmatch(folder.name) and not folder.is_symlink()]

    def _read(self, folder: Path) -> SessionInfo | None:
        try:
            record = json.loads((folder / "meta.info").read_text(encoding="utf-8"))
            return SessionInfo(record) if isinstance(record, dict) else None
        except (OSError, ValueError):
            return None

    def _write_meta_info(self, session_id: str, session_info: SessionInfo) -> None:
        path = Path(self.store_path) / session_id / "meta.info"
        atomic_files.write_text(path, session_info.to_str(), flush=False)  # written again with every use of a session


def public_info(info: SessionInfo) -> dict[str, Any]:
    """What a client is told of its session: no path of the server."""
    return {
        "name": info.name,
        "create_ts": info.create_ts,
        "last_access_ts": info.last_access_ts,
        "expiry": info.expiry,
    }


def _has_expired(info: SessionInfo) -> bool:
    """Both times are whole seconds, so that a session lives for its expiry at least."""
    return bool(info.last_access_ts + info.expiry < int(time.time()))


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chmod(folder, 0o700)
