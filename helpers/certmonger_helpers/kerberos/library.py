"""The functions of libgssapi_krb5 that an initiator needs, by ctypes (RFC 2744).

There are no wheels of a GSSAPI binding for Linux, so one would have to be compiled on every host; the
library itself is there wherever Kerberos is, with an ABI that has not changed since 2010.
"""

import ctypes
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_size_t, c_uint32, c_void_p
from functools import cache
from typing import Final

from certmonger_helpers.outcome import Unconfigured

LIBRARY: Final = "libgssapi_krb5.so.2"
GSS_C_INITIATE: Final = 1
GSS_C_GSS_CODE: Final = 1
GSS_C_MECH_CODE: Final = 2
GSS_S_CONTINUE_NEEDED: Final = 1
GSS_S_CREDENTIALS_EXPIRED: Final = 11 << 16
GSS_ERROR_MASK: Final = 0xFFFF0000


class Buffer(Structure):
    """`gss_buffer_desc`."""

    _fields_ = (("length", c_size_t), ("value", c_void_p))


class Oid(Structure):
    """`gss_OID_desc`."""

    _fields_ = (("length", c_uint32), ("elements", c_char_p))


class OidSet(Structure):
    """`gss_OID_set_desc`."""

    _fields_ = (("count", c_size_t), ("elements", POINTER(Oid)))


class KeyValue(Structure):
    """`gss_key_value_element_desc`."""

    _fields_ = (("key", c_char_p), ("value", c_char_p))


class KeyValueSet(Structure):
    """`gss_key_value_set_desc`."""

    _fields_ = (("count", c_uint32), ("elements", POINTER(KeyValue)))


def _oid(encoded: str) -> Oid:
    """An OID from the content octets of its DER."""
    octets = bytes.fromhex(encoded)
    return Oid(len(octets), octets)


KRB5: Final = _oid("2a864886f712010202")
SPNEGO: Final = _oid("2b0601050502")
HOSTBASED_SERVICE: Final = _oid("2a864886f71201020104")
KRB5_PRINCIPAL: Final = _oid("2a864886f71201020201")

_OM = POINTER(c_uint32)
_HANDLE = POINTER(c_void_p)
_SIGNATURES: Final = {
    "gss_import_name": (_OM, POINTER(Buffer), POINTER(Oid), _HANDLE),
    "gss_release_name": (_OM, _HANDLE),
    "gss_acquire_cred_from": (
        *(_OM, c_void_p, c_uint32, POINTER(OidSet), c_int, POINTER(KeyValueSet), _HANDLE, c_void_p, c_void_p),
    ),
    "gss_release_cred": (_OM, _HANDLE),
    "gss_inquire_cred": (_OM, c_void_p, _HANDLE, c_void_p, c_void_p, c_void_p),
    "gss_display_name": (_OM, c_void_p, POINTER(Buffer), c_void_p),
    "gss_init_sec_context": (
        *(_OM, c_void_p, _HANDLE, c_void_p, POINTER(Oid), c_uint32, c_uint32, c_void_p, POINTER(Buffer)),
        *(c_void_p, POINTER(Buffer), c_void_p, c_void_p),
    ),
    "gss_delete_sec_context": (_OM, _HANDLE, c_void_p),
    "gss_wrap": (_OM, c_void_p, c_int, c_uint32, POINTER(Buffer), c_void_p, POINTER(Buffer)),
    "gss_unwrap": (_OM, c_void_p, POINTER(Buffer), POINTER(Buffer), c_void_p, c_void_p),
    "gss_display_status": (_OM, c_uint32, c_int, POINTER(Oid), POINTER(c_uint32), POINTER(Buffer)),
    "gss_release_buffer": (_OM, POINTER(Buffer)),
}


@cache
def load() -> ctypes.CDLL:
    """The library, with the types of its functions. Raises Unconfigured when the host does not have it."""
    try:
        library = ctypes.CDLL(LIBRARY)
        for name, arguments in _SIGNATURES.items():
            function = getattr(library, name)
            function.argtypes, function.restype = arguments, c_uint32
    except (OSError, AttributeError) as exc:
        raise Unconfigured(
            f"Kerberos is not there: {LIBRARY} of MIT Kerberos 1.11 or newer is needed (Debian: libgssapi-krb5-2)"
        ) from exc
    return library


def buffer_of(data: bytes) -> tuple[Buffer, object]:
    """A buffer for the library to read, and what has to be kept alive as long as the buffer is."""
    octets = ctypes.create_string_buffer(data, len(data))
    return Buffer(len(data), ctypes.cast(octets, c_void_p)), octets


def take(buffer: Buffer) -> bytes:
    """The content of a buffer that the library filled, which is freed."""
    data = ctypes.string_at(buffer.value, buffer.length) if buffer.value else b""
    load().gss_release_buffer(byref(c_uint32()), byref(buffer))
    return data


def status_text(code: int, kind: int) -> str:
    """What the library says about a status; all its messages in one line."""
    library = load()
    messages: list[str] = []
    more = c_uint32()
    while True:
        text = Buffer()
        if library.gss_display_status(byref(c_uint32()), code, kind, byref(KRB5), byref(more), byref(text)):
            break
        messages.append(take(text).decode("utf-8", "replace"))
        if not more.value:
            break
    return "; ".join(messages)
