"""Opens the datastore of a PACS by the host's settings."""

from __future__ import annotations

import logging
from pathlib import Path

from monailabel.config import Settings

from label_tasks.pacs.address import address_of
from label_tasks.pacs.datastore import ModelOf, PacsDatastore

logger = logging.getLogger(__name__)


def open_pacs(studies: str, settings: Settings, model_of: ModelOf, cache_gib: int) -> PacsDatastore:
    """Open the datastore of the PACS that the host's settings describe.

    Args:
        studies: address of its DICOMweb service.
        settings: the host's settings.
        model_of: returns the model for a name that a client gives.
        cache_gib: GiB of the disk that fetched series may take.
    """
    if settings.MONAI_LABEL_DICOMWEB_FETCH_BY_FRAME:
        logger.warning("MONAI_LABEL_DICOMWEB_FETCH_BY_FRAME has no effect: whole instances are fetched")
    cache = settings.MONAI_LABEL_DICOMWEB_CACHE_PATH.strip()
    return PacsDatastore(
        address_of(studies, settings),
        Path(cache) if cache else Path.home() / ".cache" / "monailabel" / "dicom",
        every_s=float(settings.MONAI_LABEL_DICOMWEB_CACHE_EXPIRY),
        model_of=model_of,
        limit_bytes=cache_gib * 2**30,
    )
