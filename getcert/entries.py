"""Requests and CAs as the daemon describes them: untyped properties behind typed accessors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from certmongerd.api import CA_PATH_PREFIX
from certmongerd.busapi.transport import Variant


@dataclass(frozen=True, slots=True)
class Properties:
    """The properties of one object; what is unset or of another type reads as empty, 0 or false."""

    values: Mapping[str, object]
    asked: frozenset[str] | None = None
    """The names that were asked for; None for all. Reading another one is a mistake of the program."""

    def _value(self, name: str) -> object:
        if self.asked is not None and name not in self.asked:
            raise KeyError(name)
        return self.values.get(name)

    def text(self, name: str) -> str:
        """A string or object path."""
        value = self._value(name)
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        value = self._value(name)
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            return tuple(item for item in value if isinstance(item, str))
        return ()

    def number(self, name: str) -> int:
        """An integer."""
        value = self._value(name)
        return value if isinstance(value, int) else 0

    def flag(self, name: str) -> bool:
        """A boolean."""
        return self._value(name) is True


def properties_of(values: Mapping[str, object], asked: frozenset[str] | None = None) -> Properties:
    """Properties as they come over the bus: all, or those *asked* for."""
    plain = {}
    for name, value in values.items():
        while isinstance(value, Variant):
            value = value.value
        plain[name] = value
    return Properties(plain, asked)


@dataclass(frozen=True, slots=True)
class RequestEntry:
    """One tracked certificate or request."""

    path: str
    properties: Properties
    extended: Properties = Properties({})
    """What certmongerd tells beyond certmonger's interface; nothing from certmonger."""

    @property
    def nickname(self) -> str:
        """What the user calls it."""
        return self.properties.text("nickname")

    @property
    def next_attempt(self) -> int:
        """Unix time at which it goes on by itself; 0 while it is at work, waits for somebody, or nothing is known."""
        return self.extended.number("next-attempt")

    @property
    def attempts(self) -> int:
        """Failures in a row."""
        return self.extended.number("attempts")

    @property
    def has_key_pin(self) -> bool:
        """Whether the daemon was given the PIN of the key as text."""
        return self.extended.flag("has-pin") or bool(self.properties.text("key-pin"))

    @property
    def status(self) -> str:
        """Name of the state."""
        return self.properties.text("status")

    @property
    def is_stuck(self) -> bool:
        """Whether it waits for a person."""
        return self.properties.flag("stuck")

    @property
    def ca_path(self) -> str:
        """Path of its CA, empty without one.

        certmonger 0.79 puts the CA's last element below the wrong node, so only that element is used.
        """
        path = self.properties.text("ca")
        number = path.rpartition("/")[2].removeprefix("CA")
        return CA_PATH_PREFIX + number if path else ""


@dataclass(frozen=True, slots=True)
class CaEntry:
    """One configured CA."""

    path: str
    properties: Properties
    extended: Properties = Properties({})
    """What certmongerd tells as properties and certmonger by methods only; nothing from certmonger."""

    @property
    def nickname(self) -> str:
        """What the user calls it."""
        return self.properties.text("nickname")


def object_number(path: str) -> int:
    """The number at the end of an object path, the order in which the daemon lists its objects."""
    digits = path.rpartition("/")[2].lstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return int(digits) if digits.isdigit() else 0


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One turn in a request's life, in the order of the bus interface; times are Unix times."""

    at: int
    event: str
    """What happened."""
    state: str
    """What state that led to."""
    attempts: int
    """Failures in a row so far."""
    error: str
    """What the CA or the daemon said."""
    due: int
    """When the request was to go on by itself; 0 when it was at work, or waited for somebody."""
