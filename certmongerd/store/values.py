"""How the values of state files are spelled: one codec per type. No I/O.

Reading is lenient where certmonger is, and raises Malformed where it silently
took another value. A codec writes empty text for what is not stored at all; the
codecs of always-present keys never do.
"""

import base64
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar

from certmongerd.core.model import CaType, KeyAlgorithm, StorageType
from certmongerd.core.secret import Secret
from certmongerd.core.states import State, parse_state
from certmongerd.core.usages import object_identifier

T = TypeVar("T")


class Malformed(ValueError):
    """The text of a value cannot be understood; the reason never repeats the text."""

    def __init__(self, reason: str, instead: object = None) -> None:
        super().__init__(reason)
        self.instead: Final = instead
        """What to use; None for the default of the field."""


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """Both directions between a value of the model and the text in a state file."""

    read: Callable[[str], T]
    write: Callable[[T], str]
    is_block: bool = False
    """Whether values have many lines by nature."""


def _same(text: str) -> str:
    return text


_DIGITS: Final = 18
_INTEGER = re.compile(rf"\s*([+-]?[0-9]{{1,{_DIGITS}}})")


def read_integer(text: str) -> int:
    """A decimal number; text after it is ignored."""
    if len(text) <= _DIGITS and text.isdigit() and text.isascii():
        return int(text)
    match = _INTEGER.match(text)
    if match is None:
        raise Malformed("is not a number")
    return int(match[1])


def read_count(text: str) -> int:
    """A number of events; one that cannot be one is brought into the range that it may have on the bus."""
    return min(max(read_integer(text), 0), _HIGHEST_COUNT)


_HIGHEST_COUNT: Final = (1 << 31) - 1


def read_boolean(text: str) -> bool:
    """Any number but 0 is true, -1 included."""
    return read_integer(text) != 0


def _write_boolean(value: bool) -> str:  # noqa: FBT001  # a codec takes its value as it comes
    return "1" if value else "0"


def read_mode(text: str) -> int:
    """Octal permission bits."""
    try:
        mode = int(text, 8)
    except ValueError:
        raise Malformed("is not an octal mode") from None
    if not 0 <= mode <= 0o7777:
        raise Malformed("is not a file mode")
    return mode


_NEVER: Final = "19700101000000"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(r"([0-9]{4}|[0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})[^0-9]?")


def read_time(text: str) -> datetime | None:
    """`YYYYMMDDHHMMSS`, or with a year of two digits; the start of 1970 means never."""
    if not text or text == _NEVER:
        return None
    match = _TIME.fullmatch(text)
    if match is None:
        raise Malformed("is not a time (YYYYMMDDHHMMSS)")
    year, month, day, hour, minute, second = map(int, match.groups())
    if len(match[1]) == 2:
        year += 2000 if year < 50 else 1900
    try:
        time = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise Malformed("is not a possible time") from None
    return time if time != _EPOCH else None


def _write_time_if_any(value: datetime | None) -> str:
    if value is None:
        return ""
    value = value.astimezone(UTC)
    return f"{value.year:04}{value.month:02}{value.day:02}{value.hour:02}{value.minute:02}{value.second:02}"


def _write_time(value: datetime | None) -> str:
    return _write_time_if_any(value) or _NEVER


_ELEMENT = re.compile(r"((?:[^\\,]|\\.|\\\Z)*)(?:,|\Z)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_NEEDS_ESCAPE = re.compile(r"([\\,])")


def unescape(text: str) -> str:
    """Drop the backslashes in front of characters."""
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def escape(text: str) -> str:
    """Put backslashes in front of commas and backslashes."""
    return _NEEDS_ESCAPE.sub(r"\\\1", text) if "\\" in text or "," in text else text


def read_list(text: str) -> tuple[str, ...]:
    """Elements between commas; empty ones vanish."""
    if "\\" not in text:
        return tuple(filter(None, text.split(",")))
    return tuple(_joined(unescape(element)) for element in _ELEMENT.findall(text) if element)


def _joined(text: str) -> str:
    """*text* with bytes that a backslash kept apart, and that are a character when it is gone, as this character."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def write_list(elements: tuple[str, ...]) -> str:
    """The inverse of `read_list`."""
    return ",".join([escape(element) for element in elements if element])


def _read_usages(text: str) -> tuple[str, ...]:
    """Object identifiers; clients of certmonger leave some of them as names. What is neither is kept."""
    return tuple(object_identifier(element) or element for element in read_list(text))


def read_hex(text: str) -> bytes:
    """Hexadecimal digits in either case."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Malformed("is not hexadecimal") from None


def _write_hex(data: bytes) -> str:
    return data.hex().upper()


def read_base64(text: str) -> bytes:
    """Base64; line breaks and blanks are ignored."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        raise Malformed("is not base64") from None


def _write_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


_CARRIAGE_RETURNS = re.compile(r"\r+(?=\n|\Z)")


def read_pem(text: str) -> str:
    """PEM text with LF line ends and exactly one at the end."""
    lines = (_CARRIAGE_RETURNS.sub("", text) if "\r" in text else text).strip("\n")
    return lines + "\n" if lines else ""


def _write_pem(text: str) -> str:
    return read_pem(text)[:-1]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return text.isascii()  # the zone of an IPv6 address may be anything


def _read_address(text: str) -> str:
    """An address that certmonger wrote as it is, or as base64 of its text."""
    if "." in text or ":" in text:  # neither occurs in base64
        return text
    try:
        decoded = base64.b64decode(text, validate=True).decode("ascii")
    except ValueError:
        return text
    return decoded if _is_address(decoded) else text


def _read_addresses(text: str) -> tuple[str, ...]:
    return tuple(map(_read_address, read_list(text)))


def _write_base64_addresses(addresses: tuple[str, ...]) -> str:
    # What is no address stays as it was found: a reader decodes nothing else.
    texts = (_write_base64(text.encode("ascii")) if _is_address(text) else text for text in addresses)
    return write_list(tuple(texts))


def _read_location(text: str) -> str:
    """A file or database location without `//`, `/./` and a final `/`; `..` stays."""
    prefix, _, path = text.rpartition(":") if not text.startswith("/") and ":/" in text else ("", "", text)
    if not path.startswith("/"):
        return text
    plain = "/" + "/".join([part for part in path.split("/") if part not in ("", ".")])
    return f"{prefix}:{plain}" if prefix else plain


def _read_secret(text: str) -> Secret | None:
    return Secret(text) if text else None


def _write_secret(secret: Secret | None) -> str:
    return secret.reveal() if secret is not None else ""


_ALGORITHMS: Final = {item.value.upper(): item for item in KeyAlgorithm} | {"ECDSA": KeyAlgorithm.EC}


def _read_algorithm(text: str) -> KeyAlgorithm | None:
    return _ALGORITHMS.get(text.upper())


def _write_algorithm(value: KeyAlgorithm | None) -> str:
    return value.value if value is not None else "UNSPECIFIED"


def _read_generation_algorithm(text: str) -> KeyAlgorithm:
    return _ALGORITHMS.get(text.upper(), KeyAlgorithm.RSA)


def _read_storage_type(text: str) -> StorageType:
    try:
        return StorageType(text.upper())
    except ValueError:
        raise Malformed("is not a kind of storage (FILE, NSSDB, PKCS11, NONE)") from None


def _read_ca_type(text: str) -> CaType:
    return CaType.INTERNAL_SELF if text.upper() == CaType.INTERNAL_SELF.value else CaType.EXTERNAL


def _read_state(text: str) -> State:
    state = parse_state(text)
    if state is None:
        # Neither guessing a step nor dropping the request is safe: somebody has to look.
        raise Malformed("is not the name of a state", instead=State.NEED_GUIDANCE)
    return state


def _read_issue_time(text: str) -> int | None:
    return read_integer(text) if text else None


def _write_issue_time(value: int | None) -> str:
    return str(value) if value is not None else ""


def _write_default_flag(value: bool) -> str:  # noqa: FBT001  # a codec takes its value as it comes
    """Spell "is the default CA" so that certmonger survives reading it.

    certmonger keeps the number in a one-bit signed field: 1 and -1 become -1 there, which its
    bus code aborts on as soon as a client lists the CAs. From 2 the bit is cut off: certmonger
    sees a CA that is not the default, and every number but 0 is true for us.
    """
    return "2" if value else "0"


STRING: Final = Codec(_same, _same)
INTEGER: Final = Codec(read_integer, str)
COUNT: Final = Codec(read_count, str)
BOOLEAN: Final = Codec(read_boolean, _write_boolean)
DEFAULT_FLAG: Final = Codec(read_boolean, _write_default_flag)
MODE: Final = Codec(read_mode, lambda value: format(value, "o"))
TIME: Final = Codec(read_time, _write_time)
TIME_IF_ANY: Final = Codec(read_time, _write_time_if_any)
EPOCH_SECONDS_IF_ANY: Final = Codec(_read_issue_time, _write_issue_time)
LIST: Final = Codec(read_list, write_list)
USAGES: Final = Codec(_read_usages, write_list)
HEX: Final = Codec(read_hex, _write_hex)
BASE64: Final = Codec(read_base64, _write_base64)
PEM: Final = Codec(read_pem, _write_pem, is_block=True)
ADDRESSES: Final = Codec(_read_addresses, write_list)
BASE64_ADDRESSES: Final = Codec(_read_addresses, _write_base64_addresses)
LOCATION: Final = Codec(_read_location, _same)
SECRET: Final = Codec(_read_secret, _write_secret)
ALGORITHM: Final = Codec(_read_algorithm, _write_algorithm)
GENERATION_ALGORITHM: Final = Codec(_read_generation_algorithm, _write_algorithm)
STORAGE_TYPE: Final[Codec[StorageType]] = Codec(_read_storage_type, lambda value: value.value)
CA_TYPE: Final[Codec[CaType]] = Codec(_read_ca_type, lambda value: value.value)
STATE: Final[Codec[State]] = Codec(_read_state, lambda value: value.value)
