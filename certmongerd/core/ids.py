"""Identifiers that must not be mixed up."""

from typing import Final, NewType

Nickname = NewType("Nickname", str)
"""The `id` of a request: unique without regard to case."""

CaName = NewType("CaName", str)
"""The `id` of a CA: unique without regard to case."""

NO_CA: Final = CaName("")
"""Stands for "no CA chosen"."""

ObjectPath = NewType("ObjectPath", str)
"""A D-Bus object path."""
