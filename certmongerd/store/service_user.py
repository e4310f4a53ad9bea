"""The user that enrolment helpers become before they speak to a network: one that owns nothing that matters."""

import pwd
from typing import Final

SERVICE_USER: Final = "certmonger-helper"
"""Made by systemd/sysusers.d/certmongerd.conf."""
_ANYBODY: Final = "nobody"


def service_user() -> pwd.struct_passwd | None:
    """The helpers' user, `nobody` where the host does not have it; None where it has neither."""
    for name in (SERVICE_USER, _ANYBODY):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None
