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
from label_tasks.http.clients import client_of, name_in
from label_tasks.http.json_text import json_body
from label_tasks.logs.short_ids import anonymous, short_id
from label_tasks.pacs.datastore import PacsDatastore
from medvlsam2.data.scan_download import cache_name
from medvlsam2.errors import MedVLSAM2Error

logger = logging.getLogger(__name__)

router = APIRouter(tags=["ActiveLearning"])

_LEFT_OUT: Final = ("checksum",)
"""Of which bytes the scan is on the server: clients download it by its id, perhaps as another file."""
NOWHERE: Final = "…"
"""In place of the folder where a scan lies on the server: no folder has this name, so that clients download the scan by
its id, and none takes a file of the same name for it."""


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
    name = _file_name(datastore, image_id)
    told = {**found, **datastore.get_image_info(image_id), "name": name, "path": f"{NOWHERE}/{name}"}
    return {key: value for key, value in told.items() if key not in _LEFT_OUT}


def _file_name(datastore: Datastore, image_id: str) -> str:
    """Under which 3D Slicer keeps what it downloads; by its ending it chooses the reader."""
    here = (
        datastore.path_if_here(image_id) if isinstance(datastore, PacsDatastore) else datastore.get_image_uri(image_id)
    )
    return cache_name(Path(here or ""), image_id)
