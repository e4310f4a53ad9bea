"""Which daemon to talk to: the private one, the one on a bus, or one started for this command only."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from certmongerd.api import PRIVATE_ADDRESS_VARIABLE
from certmongerd.busapi.address import session_bus_address, system_bus_address
from certmongerd.busapi.blocking import BlockingConnection, BusError, BusUnavailable
from getcert.client import Client
from getcert.errors import ConnectionFailed


def _bus_connection(address: str) -> BlockingConnection:
    connection = _private_connection(address)
    try:
        connection.hello()
    except (BusUnavailable, BusError) as exc:
        connection.close()
        raise ConnectionFailed(address, str(exc)) from exc
    return connection


def _private_connection(address: str) -> BlockingConnection:
    try:
        return BlockingConnection.connect(address)
    except BusUnavailable as exc:
        raise ConnectionFailed(address, exc.reason) from exc


@contextmanager
def daemon_client(
    environment: Mapping[str, str], *, session: bool, verbose: bool, may_start: bool = True
) -> Iterator[Client]:
    """A client of the daemon that *environment* and the command line ask for.

    An address in CERTMONGER_PVT_ADDRESS comes first. Where there is no system bus, root gets a daemon of its own,
    which ends with the block, unless *may_start* forbids it. Raises ConnectionFailed.
    """
    private = environment.get(PRIVATE_ADDRESS_VARIABLE)
    if private:
        yield from _closing(_private_connection(private), verbose=verbose)
        return
    if session:
        address = session_bus_address(environment)
        if address is None:
            raise ConnectionFailed("", "there is no session bus in the environment")
        yield from _closing(_bus_connection(address), verbose=verbose)
        return
    try:
        connection = _bus_connection(system_bus_address(environment))
    except ConnectionFailed:
        if os.geteuid() != 0 or not may_start:
            raise
    else:
        yield from _closing(connection, verbose=verbose)
        return
    from getcert.temporary import temporary_daemon

    with temporary_daemon(environment, verbose=verbose) as own_address:
        yield from _closing(_private_connection(own_address), verbose=verbose)


def _closing(connection: BlockingConnection, *, verbose: bool) -> Iterator[Client]:
    with connection:
        yield Client(connection, verbose=verbose)
