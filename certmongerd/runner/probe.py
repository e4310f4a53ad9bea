"""Asks a TLS service which certificate it presents."""

import asyncio
import ssl
from typing import Final

from certmongerd.core.deployment import Probe, parse_probe
from certmongerd.core.errors import InvalidValue
from certmongerd.pki.certs import parse_certificate
from certmongerd.runner.starttls import StartTlsFailed, open_tls

LIMIT_S: Final = 15.0
"""A service that was just told to load its certificate may take a while."""
_PAUSE_S: Final = 0.5
_CONNECT_LIMIT_S: Final = 5.0


async def probe_service(place: str, pem: str, limit_s: float = LIMIT_S) -> str:
    """Connect to *place* (see `parse_probe`) until the certificate *pem* is presented; why that failed, or empty.

    What the service sends is not verified, only compared.
    """
    try:
        service = parse_probe(place)
    except InvalidValue as error:
        return error.reason
    wanted = parse_certificate(pem).encoded
    loop = asyncio.get_running_loop()
    end = loop.time() + limit_s
    while True:
        failure = await _attempt(service, wanted)
        if not failure or loop.time() + _PAUSE_S > end:
            return f"{place} {failure}" if failure else ""
        await asyncio.sleep(_PAUSE_S)


async def _attempt(service: Probe, wanted: bytes) -> str:
    try:
        async with asyncio.timeout(_CONNECT_LIMIT_S):
            presented = await _presented(service)
    except TimeoutError:
        return "does not answer."
    except StartTlsFailed as error:
        return str(error)
    except OSError as error:  # ssl.SSLError is one
        return f"cannot be asked for its certificate: {error.strerror or error}"
    return "" if presented == wanted else "presents another certificate than the one that was stored."


async def _presented(service: Probe) -> bytes | None:
    """DER of the certificate that the service presents."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(service.host, service.port)
    try:
        await open_tls(service.opening, reader, writer)
        await writer.start_tls(context, server_hostname=service.host)
        connection = writer.get_extra_info("ssl_object")
        return connection.getpeercert(binary_form=True) if isinstance(connection, ssl.SSLObject) else None
    finally:
        writer.transport.abort()  # nothing more is wanted
