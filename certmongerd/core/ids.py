"""Identifiers that must not be mixed up."""

from typing import NewType

Nickname = NewType("Nickname", str)
"""The `id` of a request: unique without regard to case."""

CaName = NewType("CaName", str)
"""The `id` of a CA: unique without regard to case."""

ObjectPath = NewType("ObjectPath", str)
"""A D-Bus object path."""
