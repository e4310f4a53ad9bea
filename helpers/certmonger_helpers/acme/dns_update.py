"""TXT records by dynamic update (RFC 2136), signed with a shared key (TSIG, RFC 8945)."""

import base64
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.tsigkeyring
import dns.update

from certmonger_helpers.acme.dns01 import TxtRecord
from certmonger_helpers.outcome import Unconfigured, Unreachable
from certmongerd.store.secret_file import secret_file

_LIMIT_S: Final = 20.0
_TTL_S: Final = 60
_KEY: Final = re.compile(r'key\s+"?([^"\s{]+)"?\s*\{([^}]*)\}', re.DOTALL)
_FIELD: Final = re.compile(r'(algorithm|secret)\s+"?([^"\s;]+)"?\s*;')


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsUpdate:
    """The primary server of a zone, and the key that it accepts updates with."""

    server: str
    """An address."""
    port: int
    key: dns.tsig.Key | None
    zone: str
    """Empty: found by asking the server."""

    async def add(self, record: TxtRecord) -> None:
        """Add one TXT record."""
        update = await self._update(record)
        update.add(record.name, _TTL_S, dns.rdatatype.TXT, f'"{record.value}"')
        await self._send(update)

    async def remove(self, record: TxtRecord) -> None:
        """Remove that TXT record."""
        update = await self._update(record)
        update.delete(record.name, dns.rdatatype.TXT, f'"{record.value}"')
        await self._send(update)

    async def _update(self, record: TxtRecord) -> dns.update.UpdateMessage:
        """An empty update of the record's zone."""
        zone = dns.name.from_text(self.zone) if self.zone else await self._zone_of(dns.name.from_text(record.name))
        update = dns.update.UpdateMessage(zone)
        if self.key is not None:
            update.use_tsig(self.key)
        return update

    async def _zone_of(self, name: dns.name.Name) -> dns.name.Name:
        """The nearest zone above *name* that the server has a SOA record of. Raises Unconfigured."""
        above = name
        while above != dns.name.root:
            answer = await self._ask(dns.message.make_query(above, dns.rdatatype.SOA))
            for found in answer.answer:
                if found.rdtype == dns.rdatatype.SOA and found.name == above:
                    return above
            above = above.parent()
        raise Unconfigured(f"The DNS server {self.server} has no zone for {name}; name it with --dns-zone")

    async def _send(self, update: dns.update.UpdateMessage) -> None:
        """Send an update, and judge the answer."""
        code = (await self._ask(update)).rcode()
        if code == dns.rcode.NOERROR:
            return
        text = f"The DNS server {self.server} did not accept the update: {dns.rcode.to_text(code)}"
        if code in (dns.rcode.REFUSED, dns.rcode.NOTAUTH, dns.rcode.NOTZONE):
            raise Unconfigured(text)
        raise Unreachable(text)

    async def _ask(self, message: dns.message.Message) -> dns.message.Message:
        """Exchange one message over TCP. Raises Unreachable, and Unconfigured for a signature that is not accepted."""
        try:
            return await dns.asyncquery.tcp(message, self.server, port=self.port, timeout=_LIMIT_S)
        except dns.tsig.PeerError as exc:
            raise Unconfigured(f"The DNS server {self.server} does not accept the TSIG key: {exc}") from exc
        except (dns.exception.DNSException, OSError, EOFError, ValueError) as exc:
            raise Unreachable(
                f"The DNS server {self.server} port {self.port} does not answer: {str(exc) or type(exc).__name__}"
            ) from exc


def read_tsig_key(path: str) -> dns.tsig.Key:
    """The key in a file that `tsig-keygen` wrote. Raises Unconfigured."""
    try:
        text = Path(secret_file(path)).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as exc:
        reason = getattr(exc, "strerror", None) or "it is no text"
        raise Unconfigured(f"The TSIG key file {path} cannot be read: {reason}") from exc
    found = _KEY.search(text)
    fields = dict(_FIELD.findall(found[2])) if found else {}
    if found is None or "secret" not in fields:
        raise Unconfigured(f"{path} does not hold a TSIG key as tsig-keygen writes them")
    try:
        secret = base64.b64decode(fields["secret"], validate=True)
        return dns.tsig.Key(found[1], secret, fields.get("algorithm", "hmac-sha256"))
    except (ValueError, dns.exception.DNSException) as exc:
        raise Unconfigured(f"The TSIG key in {path} cannot be used") from exc
