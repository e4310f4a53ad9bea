"""The default credential cache, copied to where the process alone can see it (libkrb5)."""

import ctypes
from ctypes import byref, c_char_p, c_void_p
from typing import Final

from certmonger_helpers.outcome import Unreachable

_LIBRARY: Final = "libkrb5.so.3"


def default_cache_in_memory() -> str:
    """The name of a new cache in memory that has the tickets of the default one. Raises Unreachable."""
    library = ctypes.CDLL(_LIBRARY)
    context, default, copy, principal, name = c_void_p(), c_void_p(), c_void_p(), c_void_p(), c_char_p()
    failed = (
        library.krb5_init_context(byref(context))
        or library.krb5_cc_default(context, byref(default))
        or library.krb5_cc_get_principal(context, default, byref(principal))
        or library.krb5_cc_new_unique(context, b"MEMORY", None, byref(copy))
        or library.krb5_cc_initialize(context, copy, principal)
        or library.krb5_cc_copy_creds(context, default, copy)
        or library.krb5_cc_get_full_name(context, copy, byref(name))
    )
    if failed or name.value is None:
        raise Unreachable("The Kerberos credentials of the default cache cannot be copied")
    return name.value.decode("ascii")
