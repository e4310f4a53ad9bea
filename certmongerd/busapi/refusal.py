"""Refused calls: the errors of the D-Bus interface as exceptions that carry name and body."""

from certmongerd.api import (
    ERROR_ACCESS_DENIED,
    ERROR_BAD_ARG,
    ERROR_DUPLICATE,
    ERROR_INVALID_ARGS,
    ERROR_MISSING_ARG,
    ERROR_NO_SUCH_ENTRY,
    ERROR_PROPERTY_READ_ONLY,
    ERROR_QUERY_REFUSED,
    ERROR_REQUEST_BAD_ARG,
    ERROR_UNKNOWN_METHOD,
    ERROR_UNKNOWN_PROPERTY,
)
from certmongerd.busapi.transport import WireMessage
from certmongerd.core.errors import CertmongerError


class CallRefused(CertmongerError):
    """A call that is answered with an error."""

    def __init__(self, error_name: str, signature: str, body: tuple[object, ...]) -> None:
        self.error_name = error_name
        self.signature = signature
        self.body = body
        super().__init__(f"{error_name}: {body[0] if body else ''}")


def access_denied(text: str) -> CallRefused:
    """The caller is somebody who may not do this."""
    return CallRefused(ERROR_ACCESS_DENIED, "s", (text,))


def missing_arg(text: str, key: str) -> CallRefused:
    """A required dictionary key is absent or of the wrong type."""
    return CallRefused(ERROR_MISSING_ARG, "ss", (text, key))


def bad_arg(text: str, key: str) -> CallRefused:
    """A value cannot be used."""
    return CallRefused(ERROR_BAD_ARG, "ss", (text, key))


def request_bad_arg(text: str, key: str) -> CallRefused:
    """An unknown key of `modify`, or an unknown property in `Get`."""
    return CallRefused(ERROR_REQUEST_BAD_ARG, "ss", (text, key))


def duplicate(text: str, keys: tuple[str, ...]) -> CallRefused:
    """A nickname or location is in use."""
    return CallRefused(ERROR_DUPLICATE, "sas", (text, keys))


def query_refused(text: str) -> CallRefused:
    """A SCEP server could not be asked, or did not answer."""
    return CallRefused(ERROR_QUERY_REFUSED, "s", (text,))


def no_such_entry() -> CallRefused:
    """A path given to `remove_*` matches nothing; clients know the newline."""
    return CallRefused(ERROR_NO_SUCH_ENTRY, "s", ("No matching entry found.\n",))


def invalid_args(text: str) -> CallRefused:
    """Arguments whose types do not fit."""
    return CallRefused(ERROR_INVALID_ARGS, "s", (text,))


def unknown_property(interface: str, name: str) -> CallRefused:
    """A property that does not exist, for `Set`."""
    return CallRefused(ERROR_UNKNOWN_PROPERTY, "s", (f'There is no property "{name}" on interface "{interface}".',))


def property_read_only(name: str) -> CallRefused:
    """A property that cannot be set."""
    return CallRefused(ERROR_PROPERTY_READ_ONLY, "s", (f'Property "{name}" is read-only.',))


def unknown_method(call: WireMessage) -> CallRefused:
    """No such object, interface or member, in libdbus's words, newline included."""
    interface = call.interface if call.interface is not None else "(null)"
    text = f'Method "{call.member}" with signature "{call.signature}" on interface "{interface}" doesn\'t exist\n'
    return CallRefused(ERROR_UNKNOWN_METHOD, "s", (text,))
