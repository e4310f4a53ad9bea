"""Where the host's Kerberos keys are."""

import ctypes
from ctypes import byref, c_void_p
from pathlib import Path
from typing import Final

_LIBRARY: Final = "libkrb5.so.3"
_FALLBACK: Final = "FILE:/etc/krb5.keytab"
_LONGEST_NAME: Final = 4096


def default_keytab() -> str:
    """The name of the default keytab, as krb5.conf and the environment have it."""
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return _FALLBACK
    context = c_void_p()
    if library.krb5_init_context(byref(context)):
        return _FALLBACK
    try:
        name = ctypes.create_string_buffer(_LONGEST_NAME)
        failed = library.krb5_kt_default_name(context, name, _LONGEST_NAME)
    finally:
        library.krb5_free_context(context)
    return _FALLBACK if failed else name.value.decode("utf-8", "surrogateescape")


def unreadable_reason(keytab: str) -> str:
    """Why the file of *keytab* cannot be read; empty when it can, or when it is not a file."""
    kind, separator, path = keytab.partition(":")
    if separator and kind.upper() not in {"FILE", "WRFILE"}:
        return ""
    try:
        with Path(path if separator else keytab).open("rb"):
            return ""
    except OSError as exc:
        return exc.strerror or str(exc)
