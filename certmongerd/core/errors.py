"""Error types, one per reaction a caller can have. Messages are for people: what, which object, why."""

from collections.abc import Callable
from enum import Enum


class CertmongerError(Exception):
    """Base of everything this project raises on purpose."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...], dict[str, object]]:
        """For pickle, which would call the constructor with `args`; the constructors here take something else."""
        return _without_constructor, (type(self), self.args), self.__dict__


def _without_constructor(cls: type[CertmongerError], args: tuple[object, ...]) -> CertmongerError:
    return cls.__new__(cls, *args)


class FailureKind(Enum):
    """What somebody has to do about a key or certificate store that refused."""

    PERMS = "permissions"
    TOKEN = "token"
    PIN = "pin"
    OTHER = "other"


class KeyStoreError(CertmongerError):
    """A key or certificate could not be read or written at its location."""

    def __init__(self, kind: FailureKind, location: str, reason: str) -> None:
        self.kind = kind
        self.location = location
        self.reason = reason
        super().__init__(f"{location}: {reason}" if location else reason)


class KeyMissing(KeyStoreError):
    """There is no key at a location where one was expected."""

    def __init__(self, location: str) -> None:
        super().__init__(FailureKind.OTHER, location, "There is no private key.")


class StateStoreError(CertmongerError):
    """A state file could not be read or written."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"State file {path}: {reason}")


class NameTaken(StateStoreError):
    """A new state file's name belongs to another file."""


class InvalidValue(CertmongerError):
    """A value given from outside (bus, file, command line) cannot be used."""

    def __init__(self, what: str, reason: str) -> None:
        self.what = what
        """Name of the offending key, property or field."""
        self.reason = reason
        super().__init__(reason)


class QueryRefused(CertmongerError):
    """A CA could not be asked, or did not give, what a client wanted to know."""


class LaunchError(CertmongerError):
    """A program could not be started."""

    def __init__(self, program: str, reason: str) -> None:
        self.program = program
        self.reason = reason
        super().__init__(f'Program "{program}" could not be started: {reason}')


class RemoteProtocolError(CertmongerError):
    """A peer (CA, helper, bus client) sent something that cannot be understood."""
