"""Names, credentials and security contexts of a GSSAPI initiator."""

import ctypes
from collections.abc import Mapping
from ctypes import byref, c_uint32, c_void_p
from enum import IntFlag
from typing import Final, Self

from certmonger_helpers.kerberos import library
from certmonger_helpers.kerberos.library import Buffer, KeyValue, KeyValueSet, Oid, OidSet

__all__ = ["KRB5", "SPNEGO", "Credentials", "Flag", "GssError", "SecurityContext"]

KRB5: Final = library.KRB5
SPNEGO: Final = library.SPNEGO
_INDEFINITE: Final = 0xFFFFFFFF


class Flag(IntFlag):
    """Services of a context (RFC 2744, section 5.19)."""

    MUTUAL = 2
    REPLAY = 4
    SEQUENCE = 8
    CONFIDENTIALITY = 16
    INTEGRITY = 32


class GssError(Exception):
    """A GSSAPI call failed."""

    def __init__(self, major: int, minor: int) -> None:
        self.major = major
        is_told_by_major = major & library.GSS_ERROR_MASK == library.GSS_S_CREDENTIALS_EXPIRED
        minor_text = "" if is_told_by_major or not minor else library.status_text(minor, library.GSS_C_MECH_CODE)
        self.code = minor - (1 << 32) if minor >= 1 << 31 else minor
        """The minor status, which is the error code of libkrb5 where that is where the failure was."""
        super().__init__(minor_text or library.status_text(major, library.GSS_C_GSS_CODE))


def _check(major: int, minor: c_uint32) -> int:
    """*major* unless it is an error; then GssError."""
    if major & library.GSS_ERROR_MASK:
        raise GssError(major, minor.value)
    return major


class _Name:
    """A name in the library's form."""

    def __init__(self, text: str, kind: Oid) -> None:
        self.handle = c_void_p()
        minor = c_uint32()
        buffer, _keep = library.buffer_of(text.encode())
        _check(library.load().gss_import_name(byref(minor), byref(buffer), byref(kind), byref(self.handle)), minor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        library.load().gss_release_name(byref(c_uint32()), byref(self.handle))


class Credentials:
    """What proves who the client is. A context manager; GssError when there are no usable ones."""

    def __init__(self, *, mechanism: Oid, principal: str = "", service: str = "", store: Mapping[str, str]) -> None:
        """Find or get credentials for *mechanism*.

        *principal* is a Kerberos name, *service* a host-based one like `host@www.example.org`; neither: whatever is
        there. *store* says where to look, with MIT's keys `ccache` and `client_keytab`; empty: the default cache.
        """
        self.handle = c_void_p()
        if not principal and not service:
            self._acquire(c_void_p(), mechanism, store)
            return
        kind = library.KRB5_PRINCIPAL if principal else library.HOSTBASED_SERVICE
        with _Name(principal or service, kind) as name:
            self._acquire(name.handle, mechanism, store)

    def _acquire(self, name: c_void_p, mechanism: Oid, store: Mapping[str, str]) -> None:
        """Fill the handle."""
        minor = c_uint32()
        elements = (KeyValue * len(store))(*(KeyValue(key.encode(), value.encode()) for key, value in store.items()))
        pairs = KeyValueSet(len(store), ctypes.cast(elements, ctypes.POINTER(KeyValue)))
        mechanisms = OidSet(1, ctypes.pointer(mechanism))
        major = library.load().gss_acquire_cred_from(
            *(byref(minor), name, _INDEFINITE, byref(mechanisms), library.GSS_C_INITIATE),
            *(byref(pairs) if store else None, byref(self.handle), None, None),
        )
        _check(major, minor)

    def principal(self) -> str:
        """The client's name as Kerberos has it; tickets are fetched if that has not happened yet."""
        minor, name, text = c_uint32(), c_void_p(), Buffer()
        gss = library.load()
        _check(gss.gss_inquire_cred(byref(minor), self.handle, byref(name), None, None, None), minor)
        try:
            _check(gss.gss_display_name(byref(minor), name, byref(text), None), minor)
        finally:
            gss.gss_release_name(byref(c_uint32()), byref(name))
        return library.take(text).decode("utf-8", "replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        library.load().gss_release_cred(byref(c_uint32()), byref(self.handle))


class SecurityContext:
    """One authentication to one service, like `HTTP@www.example.org`. A context manager."""

    def __init__(self, credentials: Credentials, service: str, *, mechanism: Oid, flags: Flag) -> None:
        self._credentials = credentials
        self._service = service
        self._mechanism = mechanism
        self._flags = flags
        self._handle = c_void_p()
        self.is_complete = False

    def step(self, token: bytes | None) -> bytes:
        """What to send next, possibly nothing, after *token* was received (None: at the start). Raises GssError."""
        minor, output = c_uint32(), Buffer()
        received, _keep = library.buffer_of(token or b"")
        with _Name(self._service, library.HOSTBASED_SERVICE) as target:
            major = library.load().gss_init_sec_context(
                *(byref(minor), self._credentials.handle, byref(self._handle), target.handle, byref(self._mechanism)),
                *(int(self._flags), 0, None, byref(received) if token is not None else None),
                *(None, byref(output), None, None),
            )
        answer = library.take(output)
        self.is_complete = _check(major, minor) != library.GSS_S_CONTINUE_NEEDED
        return answer

    def wrap(self, data: bytes, *, is_confidential: bool) -> bytes:
        """*data*, protected. Raises GssError."""
        minor, output = c_uint32(), Buffer()
        plain, _keep = library.buffer_of(data)
        major = library.load().gss_wrap(
            byref(minor), self._handle, int(is_confidential), 0, byref(plain), None, byref(output)
        )
        _check(major, minor)
        return library.take(output)

    def unwrap(self, data: bytes) -> bytes:
        """What *data* protects. Raises GssError when it was changed, repeated or is of another context."""
        minor, output = c_uint32(), Buffer()
        protected, _keep = library.buffer_of(data)
        major = library.load().gss_unwrap(byref(minor), self._handle, byref(protected), byref(output), None, None)
        if _check(major, minor):
            raise GssError(major, minor.value)  # supplementary bits: a duplicate, or out of sequence
        return library.take(output)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        library.load().gss_delete_sec_context(byref(c_uint32()), byref(self._handle), None)
