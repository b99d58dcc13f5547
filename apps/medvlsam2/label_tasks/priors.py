"""Which earlier scan a report compares with: the one that the request names, or else one that the datastore holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from monailabel.interfaces.datastore import Datastore

from label_tasks.images import KnownImage, require_image_id
from label_tasks.infer.prior_scan import PriorScan
from label_tasks.pacs.datastore import PacsDatastore
from label_tasks.store.scan_folder import ScanFolder
from medvlsam2.data.studies.earlier_scans import EarlierScans, ListedScan
from medvlsam2.tasks.reporting.earlier import prior_dates

NO_PRIOR: Final = "off"
"""The value of the option ``prior`` with which a report compares with no scan."""


class Priors:
    """Chooses the earlier scan of a report."""

    def __init__(self) -> None:
        self._earlier = EarlierScans()

    def of(self, scan: KnownImage, path: str, named: str, store: Datastore) -> PriorScan | None:
        """Return the scan to compare with; None without one.

        Args:
            scan: that is reported.
            path: of this scan.
            named: the option ``prior``: an id, "off", or empty for the latest earlier scan of the same patient.
            store: the datastore. Of a PACS only series that are here already are looked at.

        Raises:
            UnknownImage: if the datastore does not hold the named scan.
            InvalidRequest: if the named scan is not known to be an earlier one of the same patient.
            UnreadableVolume: if its header is damaged.
        """
        if named and (named != NO_PRIOR or named in store.list_images()):
            require_image_id(named, store)
            infos = ({} if scan.file is not None else store.get_image_info(scan.name), store.get_image_info(named))
            earlier = Path(store.get_image_uri(named))
            return PriorScan(named, earlier, prior_dates(Path(path), earlier, infos), is_named=True)
        if named == NO_PRIOR or not scan.is_stored:
            return None
        own = ListedScan(scan.name, Path(path), store.get_image_info(scan.name))
        found = self._earlier.latest(own, _listed(store))
        return (
            None
            if found is None
            else PriorScan(found.scan.image_id, found.scan.path, (found.date, found.now), is_named=False)
        )


def _listed(store: Datastore) -> Iterator[ListedScan]:
    """Yield the scans of a datastore that are here."""
    for image_id in store.list_images() if isinstance(store, ScanFolder) else ():
        path = store.path_if_here(image_id) if isinstance(store, PacsDatastore) else store.get_image_uri(image_id)
        if path:
            yield ListedScan(image_id, Path(path), store.get_image_info(image_id))
