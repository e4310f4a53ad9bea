"""The default credential cache, copied to where only the process and its programs can see it (libkrb5)."""

import ctypes
from ctypes import byref, c_char_p, c_void_p
from typing import Final

from certmonger_helpers.outcome import Unreachable

_LIBRARY: Final = "libkrb5.so.3"


def copy_of_default_cache(place: str = "") -> str:
    """The name of a new cache that has the tickets of the default one: in memory, or at *place*. Raises Unreachable."""
    library = ctypes.CDLL(_LIBRARY)
    context, default, copy, principal, name = c_void_p(), c_void_p(), c_void_p(), c_void_p(), c_char_p()
    failed = (
        library.krb5_init_context(byref(context))
        or library.krb5_cc_default(context, byref(default))
        or library.krb5_cc_get_principal(context, default, byref(principal))
        or _new_cache(library, context, place, copy)
        or library.krb5_cc_initialize(context, copy, principal)
        or library.krb5_cc_copy_creds(context, default, copy)
        or library.krb5_cc_get_full_name(context, copy, byref(name))
    )
    if failed or name.value is None:
        raise Unreachable("The Kerberos credentials of the default cache cannot be copied")
    return name.value.decode("ascii")


def _new_cache(library: ctypes.CDLL, context: c_void_p, place: str, cache: c_void_p) -> int:
    """Name *cache*; an error of libkrb5, 0 for none."""
    if place:
        return int(library.krb5_cc_resolve(context, place.encode(), byref(cache)))
    return int(library.krb5_cc_new_unique(context, b"MEMORY", None, byref(cache)))
