"""`pkcs11:` URIs (RFC 7512): which module, which token, which object."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from certmongerd.core.errors import InvalidValue

SCHEME: Final = "pkcs11:"
_PATH_ATTRIBUTES: Final = frozenset({"token", "manufacturer", "serial", "model", "slot-id", "object", "id", "type"})
_UNSUPPORTED: Final = frozenset(
    {
        "library-manufacturer",
        "library-description",
        "library-version",
        "slot-description",
        "slot-manufacturer",
    }
)
_QUERY_ATTRIBUTES: Final = frozenset({"module-path", "module-name", "pin-source", "pin-value"})
_NAME: Final = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pkcs11Uri:
    """Where a key is. Texts that are empty were not given, and match everything."""

    token: str = ""
    manufacturer: str = ""
    serial: str = ""
    model: str = ""
    slot_id: int | None = None
    object: str = ""
    """Label of the key, CKA_LABEL."""
    id: bytes = b""
    """CKA_ID."""
    module_path: str = ""
    module_name: str = ""
    """As in `softhsm2`: a library of the system."""
    pin_file: str = ""
    """From `pin-source`; an absolute file name."""


def is_pkcs11(location: str) -> bool:
    """Whether *location* is a `pkcs11:` URI."""
    return location[: len(SCHEME)].lower() == SCHEME


def parse_uri(text: str) -> Pkcs11Uri:
    """Read a URI that names one key. Raises `InvalidValue` for a malformed one, and one that names no key.

    `pin-value` is refused: locations are shown and logged.
    """
    if not is_pkcs11(text):
        raise _invalid("it does not begin with pkcs11:")
    path, _, query = text[len(SCHEME) :].partition("?")
    values = {**_attributes(path, ";", _PATH_ATTRIBUTES), **_attributes(query, "&", _QUERY_ATTRIBUTES)}
    if "pin-value" in values:
        raise _invalid("pin-value would be shown with the location; give the PIN by itself, or name a pin-source")
    if values.get("type", b"private") != b"private":
        raise _invalid("type has to be private")
    if not values.get("object") and not values.get("id"):
        raise _invalid("it names no key: object or id is needed")
    texts = {name: _text(name, value) for name, value in values.items() if name != "id"}
    return Pkcs11Uri(
        token=texts.get("token", ""),
        manufacturer=texts.get("manufacturer", ""),
        serial=texts.get("serial", ""),
        model=texts.get("model", ""),
        slot_id=_number(texts.get("slot-id")),
        object=texts.get("object", ""),
        id=values.get("id", b""),
        module_path=_absolute("module-path", texts.get("module-path", "")),
        module_name=_module_name(texts.get("module-name", "")),
        pin_file=_pin_file(texts.get("pin-source", "")),
    )


def _attributes(text: str, separator: str, known: frozenset[str]) -> Mapping[str, bytes]:
    """Attributes by name, decoded."""
    values: dict[str, bytes] = {}
    for attribute in text.split(separator) if text else ():
        name, equals, value = attribute.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise _invalid(f'"{attribute}" is not of the form name=value')
        if name in values:
            raise _invalid(f"{name} is there twice")  # RFC 7512, section 2.3
        if name in _UNSUPPORTED:
            raise _invalid(f"{name} is not supported")
        if name not in known:
            raise _invalid(f"{name} is not known")
        if re.search("%(?![0-9A-Fa-f]{2})", value):
            raise _invalid(f"{name} has a % that no two hexadecimal digits follow")
        encoded = value.encode("utf-8", "surrogateescape")
        values[name] = re.sub(rb"%(..)", lambda match: bytes.fromhex(match[1].decode("ascii")), encoded)
    return values


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise _invalid(f"{name} is not UTF-8") from None


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,19}", text):
        raise _invalid("slot-id is not a number")
    return int(text)


def _absolute(name: str, path: str) -> str:
    if path and not path.startswith("/"):
        raise _invalid(f"{name} is not an absolute path")
    return path


def _module_name(name: str) -> str:
    if name and not re.fullmatch(r"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*", name):
        raise _invalid("module-name is not the name of a library without path and suffix")
    return name


def _pin_file(source: str) -> str:
    """The file of a `pin-source`: a path, or a `file:` URI (RFC 7512, section 2.4)."""
    return _absolute("pin-source", source.removeprefix("file://").removeprefix("file:"))


def _invalid(reason: str) -> InvalidValue:
    return InvalidValue("pkcs11 URI", f"The pkcs11: URI cannot be used: {reason}.")
