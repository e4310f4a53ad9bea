"""Which file a call of a function in `os` is about."""

import os
from collections.abc import Mapping
from typing import Any


def place_of(args: tuple[Any, ...], named: Mapping[str, Any], position: int = 0) -> str:
    """The path that the argument at *position* means: a descriptor, a path, or a name in an open directory."""
    given = args[position]
    if isinstance(given, int):
        return os.readlink(f"/proc/self/fd/{given}")
    path = os.fspath(given)
    directory = named.get("dir_fd", named.get("dst_dir_fd" if position else "src_dir_fd"))
    base = "" if directory is None else os.readlink(f"/proc/self/fd/{directory}")
    return os.path.normpath(os.path.join(base, path))
