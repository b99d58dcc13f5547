"""Which scan to label next, over HTTP."""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.utils.app import app_instance

from label_tasks.http.beside import while_connected
from label_tasks.http.bodies.json_text import json_body
from label_tasks.http.middleware.clients import client_of, name_in
from label_tasks.logs.short_ids import anonymous, short_id
from label_tasks.pacs.datastore import PacsDatastore
from label_tasks.store.scan_folder import ScanFolder
from label_tasks.store.sent_scans import checksum, sent_file
from medvlsam2.data.scan_download import download_name
from medvlsam2.errors import MedVLSAM2Error

logger = logging.getLogger(__name__)

router = APIRouter(tags=["ActiveLearning"])

NOWHERE: Final = "…"
"""Sent in place of the folder where a scan lies on the server. No folder has this name, so clients download the scan by
its id, and never take a local file of the same name for it."""


@router.post("/activelearning/{strategy}", summary="Name the scan to label next")
async def next_sample(request: Request, strategy: str, params: Annotated[dict[str, Any], Depends(json_body)]) -> Any:
    """The scan that a strategy names, with what the datastore knows of it."""
    owner = client_of(request).owner(params.get("client_id") or name_in(request))
    return await while_connected(request, threading.Event(), partial(_sample, strategy, owner))


def _sample(strategy: str, owner: str) -> dict[str, Any]:
    app = app_instance()
    found = app.next_sample({"strategy": strategy, "client_id": owner})
    if not found:
        return {}
    image_id, datastore = found["id"], app.datastore()
    info = dict(datastore.get_image_info(image_id))
    before = info.get("strategy")
    offered = dict(before) if isinstance(before, dict) else {}
    offered[strategy] = {"ts": int(time.time()), "client_id": owner}
    try:
        datastore.update_image_info(image_id, {"strategy": offered})
    except (OSError, MedVLSAM2Error) as error:
        why = anonymous(str(error), image_id)
        logger.warning("Who was offered image %s cannot be noted: %s", short_id(image_id), why)
    logger.info("Next sample by %s: image %s", strategy, short_id(image_id))
    told = {**found, **datastore.get_image_info(image_id), **_download(datastore, image_id)}
    return {key: value for key, value in told.items() if value is not None}


def _download(datastore: Datastore, image_id: str) -> dict[str, Any]:
    """Under which name and checksum 3D Slicer keeps what it downloads; by the name's ending it chooses the reader.

    A series that is not fetched yet has no checksum: its id is a UID, which no other scan has.
    """
    is_pacs = isinstance(datastore, PacsDatastore)
    source = Path((datastore.path_if_here(image_id) if is_pacs else datastore.get_image_uri(image_id)) or "")
    name = download_name(source, image_id)
    told: dict[str, Any] = {"name": name, "path": f"{NOWHERE}/{name}", "checksum": None}
    if isinstance(datastore, ScanFolder) and source.exists():
        try:
            told["checksum"] = checksum(sent_file(datastore, source, image_id))
        except (OSError, MedVLSAM2Error) as error:
            why = anonymous(str(error), image_id)
            logger.warning("Image %s was offered, and cannot be sent: %s", short_id(image_id), why)
    return told
