"""How a helper can end: its exit statuses, and the errors that lead to them."""

from enum import IntEnum

from certmongerd.core.errors import CertmongerError


class ExitStatus(IntEnum):
    """How a helper ended. Any other number means that something is broken."""

    ISSUED = 0
    """Success; standard output has the certificate or the data asked for."""
    WAIT = 1
    """Ask again later with the cookie on standard output."""
    REJECTED = 2
    """The CA refused; the first line of standard output says why."""
    UNREACHABLE = 3
    """Trying again later can succeed; the first line says why it did not now."""
    UNCONFIGURED = 4
    """Somebody has to change a setting; the first line says which."""
    WAIT_WITH_DELAY = 5
    """As WAIT; the first line is the number of seconds, the cookie follows."""
    OPERATION_NOT_SUPPORTED = 6
    NEED_SCEP_MESSAGES = 16
    NEED_KEY_PAIR = 17


class HelperError(CertmongerError):
    """Ends a helper with *status* and one line on standard output."""

    def __init__(self, status: ExitStatus, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(reason)


class Rejected(HelperError):
    """The CA refused the request."""

    def __init__(self, reason: str) -> None:
        super().__init__(ExitStatus.REJECTED, reason)


class Unreachable(HelperError):
    """The CA could not be asked; trying again later can succeed."""

    def __init__(self, reason: str) -> None:
        super().__init__(ExitStatus.UNREACHABLE, reason)


class Unconfigured(HelperError):
    """A setting is missing or wrong."""

    def __init__(self, reason: str) -> None:
        super().__init__(ExitStatus.UNCONFIGURED, reason)
