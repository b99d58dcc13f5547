"""Sessions: scans that a client uploads for itself, in private folders with random ids, usable by their owner alone.

The number and the total size of sessions are limited, for each client and for all clients together: the server has no
login, and uploads must not fill the disk.
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
"""Key of a session's record for the owners, who may use the session."""

MAX_OF_ONE: Final = 64
MAX_OF_ALL: Final = 512
"""Most open sessions of one client, and of all. A session ends an hour after its last use; a viewer has one a scan."""
MAX_BYTES_OF_ONE: Final = 16 * 2**30
MAX_BYTES_OF_ALL: Final = 64 * 2**30
"""Most bytes of their scans together. A large CT has half a GiB, and the largest upload is 4 GiB."""

_BYTES: Final = "bytes"
"""Key of a session's record for the size of its scan in bytes."""
_ID: Final = re.compile(r"[0-9a-f]{32}")
_OURS: Final = re.compile(r"[0-9a-f-]{32,36}")
"""Names of session folders; names with dashes come from the host's own server."""


class PrivateSessions(Sessions):  # type: ignore[misc]
    """The host's session store with random ids and folders that only the server's user can open."""

    def __init__(self, store_path: str, expiry: int) -> None:
        super().__init__(store_path, expiry)
        _make_private(Path(self.store_path))
        self._adding = threading.Lock()

    def require_room(self, owners: list[str], more_bytes: int = 0) -> None:
        """Refuse one more session if its client, or all clients together, have reached a limit.

        Args:
            owners: owners of the new session.
            more_bytes: size of its scan, if that is known already.

        Raises:
            TooMany: the text gives the current number or size and the limit.
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
            received: folder of the uploaded files; it is moved into the session.
            scan: the scan in that folder, or the folder itself.
            owners: owners of the session.
            expiry_s: seconds without use after which the session is removed.

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
        """Add a session through the host's interface, but with a random id."""
        session_id = session_id or secrets.token_hex(16)
        _make_private(Path(self.store_path) / session_id)
        added: tuple[str, SessionInfo] = super().add_session(data_file, expiry, uncompress, session_id)
        return added

    def get_session(self, session_id: str, update_ts: bool = True, fetch_cache: bool = True) -> SessionInfo | None:
        """Return the session of that id; None if there is none, also for a text that is no session id."""
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
        """Return a session if one of these owners may use it; else None."""
        info = self.get_session(session_id, update_ts=False)
        if info is None or not owners & set(info.meta.get(OWNERS, ())):
            return None
        return self.get_session(session_id)

    def remove_session(self, session_id: str) -> None:
        """Remove a session and its scan."""
        if _ID.fullmatch(session_id):
            super().remove_session(session_id)

    def remove_expired(self) -> int:
        """Remove sessions that were not used for longer than their expiry, and damaged session folders."""
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
    """Return the information on a session that its client gets: without paths of the server."""
    return {
        "name": info.name,
        "create_ts": info.create_ts,
        "last_access_ts": info.last_access_ts,
        "expiry": info.expiry,
    }


def _has_expired(info: SessionInfo) -> bool:
    """Both times are whole seconds, so a session lives at least as long as its expiry."""
    return bool(info.last_access_ts + info.expiry < int(time.time()))


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chmod(folder, 0o700)
