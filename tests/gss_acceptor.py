"""The server's half of `Negotiate`: MIT's library verifies the tokens with the service's keytab."""

import ctypes
from ctypes import POINTER, byref, c_int, c_uint32, c_void_p
from pathlib import Path

from certmonger_helpers.kerberos.library import Buffer, KeyValue, KeyValueSet, buffer_of, load, take

_GSS_C_ACCEPT = 2


class Refused(Exception):
    """The token proves nothing."""


def _library() -> ctypes.CDLL:
    gss = load()
    gss.gss_accept_sec_context.restype = c_uint32
    gss.gss_accept_sec_context.argtypes = (
        *(POINTER(c_uint32), POINTER(c_void_p), c_void_p, POINTER(Buffer), c_void_p, POINTER(c_void_p)),
        *(c_void_p, POINTER(Buffer), c_void_p, c_void_p, c_void_p),
    )
    return gss


def accept(token: bytes, keytab: Path) -> tuple[str, bytes]:
    """The client's principal, and the token to answer with. Raises Refused."""
    gss = _library()
    minor, credentials, context, name = c_uint32(), c_void_p(), c_void_p(), c_void_p()
    pairs = (KeyValue * 2)(KeyValue(b"keytab", str(keytab).encode()), KeyValue(b"rcache", b"none:"))
    store = KeyValueSet(2, ctypes.cast(pairs, POINTER(KeyValue)))
    output, text = Buffer(), Buffer()
    received, _keep = buffer_of(token)
    if gss.gss_acquire_cred_from(
        byref(minor), None, 0, None, c_int(_GSS_C_ACCEPT), byref(store), byref(credentials), None, None
    ):
        raise AssertionError("the service has no key")
    try:
        major = gss.gss_accept_sec_context(
            *(byref(minor), byref(context), credentials, byref(received), None, byref(name)),
            *(None, byref(output), None, None, None),
        )
        answer = take(output)
        if major:
            raise Refused(f"{major:#x}")
        gss.gss_display_name(byref(minor), name, byref(text), None)
        return take(text).decode(), answer
    finally:
        gss.gss_delete_sec_context(byref(minor), byref(context), None)
        gss.gss_release_name(byref(minor), byref(name))
        gss.gss_release_cred(byref(minor), byref(credentials))
