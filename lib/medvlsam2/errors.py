"""The errors of this package that a user can cause and correct.

Every message says what was given (the value), what is allowed, and what to do. The command line turns such an error
into one sentence and exit code 2. The server turns it into JSON with an HTTP error status. Any other exception is
a bug. Messages never hold patient data: they may hold an ``image_id``, a file name or a number, but never the value of
a DICOM tag.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class MedVLSAM2Error(Exception):
    """Base of every error that a user can cause and correct."""


class UnreadableVolume(MedVLSAM2Error):
    """A file or folder that does not hold one readable 3-D CT volume."""


class VolumeTooLarge(UnreadableVolume):
    """A scan that would take more memory than the budget for one scan."""


class GeometryMismatch(MedVLSAM2Error):
    """Two arrays that should lie on the same grid, but do not."""


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
    """A configuration value outside the allowed range, or an unknown configuration key."""


class MissingCheckpoint(MedVLSAM2Error):
    """A model folder without the files that a model needs."""


class CheckpointMismatch(MedVLSAM2Error):
    """Weights that do not fit the model: missing, unexpected or misshapen keys."""


class Superseded(MedVLSAM2Error):
    """A request that a newer one for the same object has replaced."""


class Cancelled(MedVLSAM2Error):
    """A request whose client has disconnected or has cancelled the request."""


class NotAllowed(MedVLSAM2Error):
    """A request from a web page of another origin, or to a host name that is not the server's."""


class TooLarge(MedVLSAM2Error):
    """A request body, an upload or an archive that exceeds its limit."""


class TooMany(MedVLSAM2Error):
    """More requests, jobs or sessions at once than the server accepts; try again later."""


class DeviceFull(MedVLSAM2Error):
    """A device without enough memory for the request."""


class PacsUnavailable(MedVLSAM2Error):
    """A PACS that does not answer, or that answers with an error."""


class StorageFull(MedVLSAM2Error):
    """A disk, quota or limit without room for a file, or a disk that accepts no writes; nothing was changed."""


class FolderBusy(MedVLSAM2Error):
    """A folder that another process keeps locked, or that does not exist any more; nothing was changed."""


class AlreadyThere(MedVLSAM2Error):
    """A name that exists already: the existing file or folder is never replaced."""


class DatasetError(MedVLSAM2Error):
    """Training or export data that is absent or inconsistent."""


def nearest_hint(given: str, allowed: Iterable[str], *, count: int = 3) -> str:
    """Return a question with the allowed names that are most similar to a wrong name; empty if none is similar.

    Example:
        >>> nearest_hint("livr", ["liver", "spleen"])
        'Did you mean liver?'
    """
    close = get_close_matches(given, list(allowed), n=count, cutoff=0.5)
    return f"Did you mean {', '.join(close)}?" if close else ""
