"""SUBMIT and POLL: checks the message, sends it, verifies the reply."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, assert_never

from certmonger_helpers.address import shown
from certmonger_helpers.protocol import ExitStatus as Status
from certmonger_helpers.protocol import Rejected, Reply, Unreachable
from certmonger_helpers.scep.material import NeedMessages, armour
from certmonger_helpers.scep.server import ScepServer
from certmonger_helpers.scep.trace import trace_message
from certmongerd.core.errors import InvalidValue
from certmongerd.scep import reply
from certmongerd.scep.caps import Capabilities
from certmongerd.scep.describe import describe_certificate
from certmongerd.scep.message import Outgoing, inspect_outgoing
from certmongerd.scep.oids import MessageType
from certmongerd.scep.trust import TrustedCertificates

_log = logging.getLogger(__name__)

ENROLMENTS: Final = frozenset({MessageType.PKCS_REQ, MessageType.RENEWAL_REQ})
POLLS: Final = frozenset({MessageType.CERT_POLL})
QUERIES: Final = frozenset({MessageType.GET_CERT, MessageType.GET_CRL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The messages that may be sent, DER; which one depends on what the server can do."""

    kind: str
    """What is expected, for people."""
    accepted: frozenset[MessageType]
    plain: bytes = b""
    """Signed with the current key."""
    rekey: bytes = b""
    """Signed with the candidate key of a rekey."""
    prefers_rekey: bool = False
    """Whether the Renewal feature is not wanted."""

    def choose(self, capabilities: Capabilities) -> bytes:
        """The message to send: of two, the current key's only to a server that offers Renewal."""
        if not self.plain or not self.rekey:
            return self.plain or self.rekey
        may_renew = capabilities.has_renewal and not self.prefers_rekey
        return self.plain if may_renew else self.rekey


async def submit(server: ScepServer, candidates: Candidates, trusted: TrustedCertificates) -> Reply:
    """Send the message that fits the server, and turn its verdict into output and status.

    Raises NeedMessages for a message that is not well-formed, before anything is
    sent; Rejected and Unreachable.
    """
    given = [message for message in (candidates.plain, candidates.rekey) if message] or [b""]  # which is refused
    inspected = {message: _inspect(message, candidates, trusted) for message in given}
    capabilities = await server.capabilities()
    message = candidates.choose(capabilities)
    outgoing = inspected[message]
    _log.info("sending messageType %s, transactionID %s", outgoing.message_type, outgoing.transaction_id)
    trace_message("sent", message)
    for certificate in trusted.all:
        _log.debug("known certificate of the server: %s", describe_certificate(certificate))
    body = await server.pki_operation(message, capabilities)
    trace_message("received", body)
    verdict = reply.open_reply(body, request=outgoing, trusted=trusted, now=datetime.now(UTC))
    _log.debug("verdict: %s", type(verdict).__name__)
    match verdict:
        case reply.Success(enveloped=enveloped):
            return Reply(output=armour(enveloped))
        case reply.Pending(cookie=cookie, note=note):
            if note:
                _log.warning("%s", note)
            return Reply(output=f"{cookie}\n", status=Status.WAIT)
        case reply.Rejected(text=text):
            raise Rejected(text)
        case reply.Invalid(reason=reason):
            _log.info("the reply was:\n%s", armour(body))
            raise Unreachable(f"The reply of {shown(server.url)} is not acceptable: {reason}")
        case _:
            assert_never(verdict)


def _inspect(message: bytes, candidates: Candidates, trusted: TrustedCertificates) -> Outgoing:
    """Check one message. Raises NeedMessages."""
    try:
        return inspect_outgoing(message, ra=trusted.ra, accepted=candidates.accepted)
    except InvalidValue as exc:
        _log.warning("%s message: %s", candidates.kind, exc.reason)
        raise NeedMessages(exc.reason) from exc
