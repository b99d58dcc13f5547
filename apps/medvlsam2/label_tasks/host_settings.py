"""Settings of the host that the server needs otherwise than by default, and checks before the host starts."""

from __future__ import annotations

import os
from typing import Final

from medvlsam2.errors import InvalidConfig

HOST_ENVIRONMENT: Final = {
    "MONAI_LABEL_AUTO_UPDATE_SCORING": "false",  # else each scoring starts a process that builds the app again
    "FORWARDED_ALLOW_IPS": "",  # else any program on this machine could claim another address
    "MONAI_LABEL_TRACKING_ENABLED": "false",  # current MLflow refuses the host's file store
    "MONAI_LABEL_DICOMWEB_CACHE_EXPIRY": "30",  # seconds; by default a new study stays unseen for two hours
    "MONAI_LABEL_DICOMWEB_READ_TIMEOUT": "20",  # seconds of silence; archives on slow disks need more than 5
}
"""Defaults for the host's variables. The host reads them when it is imported; variables that the user has set stay."""

LOGIN: Final = "MONAI_LABEL_AUTH_ENABLE"


def prepare_environment() -> None:
    """Set the host's defaults for this process and its children; call it before the host is imported."""
    for key, value in HOST_ENVIRONMENT.items():
        os.environ.setdefault(key, value)


def refuse_login() -> None:
    """Refuse to start where an operator believes that a login protects the server.

    Raises:
        InvalidConfig: if the host's login is switched on, by an environment variable or a file ``.env``.
    """
    from monailabel.config import settings

    if settings.MONAI_LABEL_AUTH_ENABLE:
        raise InvalidConfig(
            f"{LOGIN} is set, but this server has no login and would answer without a token: unset it, and "
            "keep the server on 127.0.0.1 or behind something that has a login."
        )


def require_pacs_settings(studies: str) -> None:
    """Check the settings of a PACS before the host is started, which shows the address of the studies.

    Raises:
        InvalidConfig: if the address holds a login.
    """
    from label_tasks.pacs.address import require_plain_address

    require_plain_address(studies)
