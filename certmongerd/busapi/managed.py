"""All objects with their properties, in one answer or page by page."""

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Final

from certmongerd.api import CA_PATH_PREFIX, ERROR_LIMITS_EXCEEDED, REQUEST_PATH_PREFIX, ROOT_PATH
from certmongerd.busapi.ca import CA
from certmongerd.busapi.extended_ca import EXTENDED_CA
from certmongerd.busapi.extended_request import EXTENDED_REQUEST
from certmongerd.busapi.marshal import AppendProperties, Marshalled, ObjectsWriter
from certmongerd.busapi.refusal import CallRefused
from certmongerd.busapi.request import REQUEST
from certmongerd.busapi.service import Service

MAX_MANAGED_BYTES: Final = 30 * 1024 * 1024
"""A bus with the usual limit (32 MiB, dbus-daemon(1)) cuts off the sender of a longer message, which is the daemon."""
PAGE_BYTES: Final = 4 * 1024 * 1024
"""A page ends with the object that reaches this. Several copies of it are in memory at once, on both sides."""
_TOO_MUCH: Final = "All objects together are more than fits into one message: ask for them one by one."
_OBJECTS_AT_ONCE: Final = 200


async def all_objects(service: Service) -> Marshalled:
    """Everything as it is at this moment; with many objects other calls are served in between. Raises CallRefused."""
    writer = ObjectsWriter()
    for number, (path, interfaces) in enumerate(_objects(service), 1):
        writer.append(path, interfaces)
        if len(writer) > MAX_MANAGED_BYTES:
            raise CallRefused(ERROR_LIMITS_EXCEEDED, "s", (_TOO_MUCH,))
        if number % _OBJECTS_AT_ONCE == 0:
            await asyncio.sleep(0)
    return writer.finish()


async def page_of_objects(
    service: Service,
    after: str,
    until: str = ROOT_PATH,
    *,
    names: frozenset[str] | None = None,
    most: int | None = None,
) -> Marshalled:
    """What follows the object at the path *after*, or the first page when that is the root object's path.

    Up to the object at the path *until*, or the last one of all; with all properties, or those called *names*; not more
    than *most* objects. The last page holds the root object too, without interfaces. It does not matter whether objects
    at these paths are there: the order is that of the numbers in paths, requests before CAs.
    """
    writer = ObjectsWriter()
    is_last = True
    end = None if until == ROOT_PATH else _place(until)
    for number, (path, interfaces) in enumerate(_objects(service, after, names), 1):
        if end is not None and _place(path) > end:
            break
        if number > 1 and (len(writer) > PAGE_BYTES or number - 1 == most):
            is_last = False
            break
        writer.append(path, interfaces)
        if number % _OBJECTS_AT_ONCE == 0:
            await asyncio.sleep(0)
    if is_last:
        writer.append(ROOT_PATH, {})
    return writer.finish()


def _objects(
    service: Service, after: str = ROOT_PATH, names: frozenset[str] | None = None
) -> Iterator[tuple[str, dict[str, AppendProperties]]]:
    """Paths behind *after*, with what appends the properties of each interface."""
    seen = _place(after)
    for path, request in tuple(service.requests().items()):
        if _place(path) > seen:
            yield (
                path,
                {
                    interface.name: partial(interface.marshal_properties, value=request, service=service, names=names)
                    for interface in (REQUEST, EXTENDED_REQUEST)
                },
            )
    for path, ca in tuple(service.cas().items()):
        if _place(path) > seen:
            yield (
                path,
                {
                    interface.name: partial(interface.marshal_properties, value=ca, service=service, names=names)
                    for interface in (CA, EXTENDED_CA)
                },
            )


def _place(path: str) -> tuple[int, int]:
    """Where the object at *path* comes in the order of pages; before all others when it is no request and no CA."""
    for kind, prefix in enumerate((REQUEST_PATH_PREFIX, CA_PATH_PREFIX)):
        number = path.removeprefix(prefix)
        if number != path and number.isdecimal() and number.isascii():
            return kind, int(number)
    return 0, 0
