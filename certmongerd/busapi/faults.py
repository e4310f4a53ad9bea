"""What can go wrong with a bus, as seen from either end."""

from certmongerd.busapi.transport import WireMessage
from certmongerd.core.errors import CertmongerError


class BusUnavailable(CertmongerError):
    """No connection to the address could be made, or it broke."""

    def __init__(self, address: str, reason: str) -> None:
        self.address = address
        self.reason = reason
        super().__init__(f'No D-Bus connection to "{address}": {reason}')


class BusError(CertmongerError):
    """The called side answered with an error."""

    def __init__(self, name: str, message: str, body: tuple[object, ...] = ()) -> None:
        self.name = name
        self.message = message
        """First body argument when it is a string, else empty."""
        self.body = body
        super().__init__(f"{name}: {message}" if message else name)


class NameTaken(CertmongerError):
    """Another process owns the name the daemon needs."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        super().__init__(f'Bus name "{name}" on "{address}" belongs to another process; is certmonger running already?')


class ListenFailed(CertmongerError):
    """The private socket could not be set up."""

    def __init__(self, address: str, reason: str) -> None:
        self.address = address
        self.reason = reason
        super().__init__(f'Cannot listen on "{address}": {reason}')


def error_of(message: WireMessage) -> BusError:
    """The exception for an ERROR message."""
    text = message.body[0] if message.body and isinstance(message.body[0], str) else ""
    return BusError(message.error_name or "", text, message.body)
