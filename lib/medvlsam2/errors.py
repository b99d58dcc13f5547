"""The one error family.

Every message says what was given (the value), what is allowed, and what to do. The command line turns these
into one sentence and exit code 2, the server into JSON with a 4xx status. Anything else is a bug. Messages
never hold patient data: an ``image_id``, a file name or a number, never a DICOM tag's value.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class MedVLSAM2Error(Exception):
    """Base of every error that a user can cause and mend."""


class UnreadableVolume(MedVLSAM2Error):
    """A file or folder that does not hold one readable 3-D CT volume."""


class VolumeTooLarge(UnreadableVolume):
    """A scan that would take more memory than one scan may."""


class GeometryMismatch(MedVLSAM2Error):
    """Two arrays that should lie on one grid do not."""


class InvalidPrompt(MedVLSAM2Error):
    """A click, box, phrase or question that cannot be answered as given."""


class UnknownStructure(InvalidPrompt):
    """A structure name that the vocabulary does not hold."""


class InvalidRequest(MedVLSAM2Error):
    """A request whose form is wrong: bad JSON, a missing field, an unknown option."""


class UnknownImage(MedVLSAM2Error):
    """An image id that the datastore does not hold."""


class UnknownLabel(MedVLSAM2Error):
    """A label, or a version of one, that the datastore does not hold."""


class InvalidConfig(MedVLSAM2Error):
    """A configuration value outside what is allowed."""


class MissingCheckpoint(MedVLSAM2Error):
    """A model folder without the files that a model needs."""


class CheckpointMismatch(MedVLSAM2Error):
    """Weights that do not fit the model: missing, unexpected or misshapen keys."""


class Superseded(MedVLSAM2Error):
    """A request that a newer one for the same object has replaced."""


class Cancelled(MedVLSAM2Error):
    """A request whose client has left or has cancelled it."""


class NotAllowed(MedVLSAM2Error):
    """A request from a web page of another origin, or to a host name that is not the server's."""


class TooLarge(MedVLSAM2Error):
    """A body, an upload or an archive beyond its limit."""


class TooMany(MedVLSAM2Error):
    """More at once than the server takes; try again later."""


class DeviceFull(MedVLSAM2Error):
    """A device whose memory does not suffice."""


class PacsUnavailable(MedVLSAM2Error):
    """A PACS that does not answer, or answers with an error of its own."""


class StorageFull(MedVLSAM2Error):
    """A disk, quota or limit without room for what had to be written, or that takes no writes; nothing was changed."""


class FolderBusy(MedVLSAM2Error):
    """A folder that another process keeps locked, or that is not there any more; nothing was changed."""


class AlreadyThere(MedVLSAM2Error):
    """A name that is taken: what has it is never replaced."""


class DatasetError(MedVLSAM2Error):
    """Training or export data that is absent or inconsistent."""


def nearest_hint(given: str, allowed: Iterable[str], *, count: int = 3) -> str:
    """Say which allowed names are nearest to a wrong one.

    Example:
        >>> nearest_hint("livr", ["liver", "spleen"])
        'Did you mean liver?'
    """
    close = get_close_matches(given, list(allowed), n=count, cutoff=0.5)
    return f"Did you mean {', '.join(close)}?" if close else ""
