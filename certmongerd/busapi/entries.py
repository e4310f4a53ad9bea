"""Typed reading of the dictionaries and variants callers send."""

from collections.abc import Iterator, Mapping
from typing import Final

from certmongerd.busapi.refusal import invalid_args
from certmongerd.busapi.transport import Variant

_TOLERATED_TYPES: Final = frozenset({"s", "o", "b", "n", "i", "x", "as", "a(ss)", "a{ss}", "a{sv}"})
"""Types that may stand in a dictionary, even where another one is wanted."""


def text_of(variant: Variant) -> str | None:
    """A string or object path; None for any other type."""
    return str(variant.value) if variant.signature in ("s", "o") else None


def number_of(variant: Variant) -> int | None:
    """A signed integer; None for any other type, unsigned ones included."""
    value = variant.value
    return value if variant.signature in ("n", "i", "x") and isinstance(value, int) else None


def flag_of(variant: Variant) -> bool | None:
    """A boolean; None for any other type."""
    return bool(variant.value) if variant.signature == "b" else None


def texts_of(variant: Variant) -> tuple[str, ...] | None:
    """A list of strings; None for any other type. Empty elements, which Ansible sends, are dropped."""
    value = variant.value
    if variant.signature != "as" or not isinstance(value, tuple):
        return None
    return tuple(str(element) for element in value if element)


class Entries:
    """A dictionary of `add_request` or `modify`: keys without regard to case, values of tolerated types."""

    def __init__(self, method: str, argument: object) -> None:
        """Raises CallRefused for an empty dictionary and for values of types that mean nothing here."""
        self._spelled: dict[str, str] = {}
        self._values: dict[str, Variant] = {}
        if not isinstance(argument, Mapping) or not argument:
            raise invalid_args(f'The dictionary passed to "{method}" must not be empty.')
        for key, variant in argument.items():
            if not isinstance(variant, Variant) or variant.signature not in _TOLERATED_TYPES:
                found = variant.signature if isinstance(variant, Variant) else "?"
                raise invalid_args(f'The value of "{key}" must not have type "{found}".')
            self._spelled.setdefault(str(key).lower(), str(key))
            self._values.setdefault(str(key).lower(), variant)

    def __iter__(self) -> Iterator[tuple[str, Variant]]:
        """Lower-case keys with their values, in the order of the message."""
        return iter(self._values.items())

    def spelled(self, key: str) -> str:
        """*key* (lower case) as the caller wrote it."""
        return self._spelled.get(key, key)

    def value(self, key: str) -> Variant | None:
        """The value of *key*, None when absent."""
        return self._values.get(key.lower())

    def text(self, *keys: str) -> str | None:
        """The first of *keys* that is there and a string."""
        for key in keys:
            variant = self.value(key)
            text = text_of(variant) if variant is not None else None
            if text is not None:
                return text
        return None

    def number(self, *keys: str) -> int | None:
        """The first of *keys* that is there and a signed integer."""
        for key in keys:
            variant = self.value(key)
            number = number_of(variant) if variant is not None else None
            if number is not None:
                return number
        return None

    def texts(self, *keys: str) -> tuple[str, ...]:
        """The first of *keys* that is there and a list of strings; else empty."""
        for key in keys:
            variant = self.value(key)
            texts = texts_of(variant) if variant is not None else None
            if texts is not None:
                return texts
        return ()
